# SPDX-License-Identifier: GPL-2.0-or-later
"""Protection never waits: what was found by attack, each as the story in which it killed."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agent.core.account.situation import understand
from agent.core.policy.asks import GOES_ON_S, NO_ASKS
from agent.core.policy.decide import RULES, decide
from agent.core.policy.follow import target_ignored
from agent.core.policy.guard import hold
from agent.core.policy.history import (
    EMPTY,
    REFUSED_LAST_S,
    UNIT_KIB,
    History,
    Nudge,
    moved,
    refused,
    remembered,
)
from agent.core.policy.reflex import CLOSE_EVERY_S, next_peek_s, reacted, reflex
from agent.core.policy.view import view
from sim_backend.guest.kernel_images import DEBIAN_12, image_of
from sim_backend.host.libxl import simple_guest
from tests.core.policy.test_policy_runs import FOLLOW, GUARD, MIB, SELF, Story
from tests.daemon.test_whole_runs import Run

Plan = Callable[[Run], None]


def told(run: Run, when_s: float, action: Callable[[], object]) -> None:
    clock = run.domain.clock
    clock.at(clock.now_s + when_s, action)


def asks(run: Run, when_s: float, mib: int) -> None:
    told(run, when_s, lambda: run.toolstack.mem_set(run.domain, mib * MIB))


def held(mode: Any, plan: Plan, **guest: Any) -> Run:
    """The real loop beside a guest of 512 MiB with 300 in use, as the host does what is planned."""
    run = Run(GUARD._replace(mode=mode), **guest)
    run.domain.change_workload(anon_kib=300 * MIB)
    run.virtual.start()
    run.virtual.run(run.began_s + 20.0)
    plan(run)
    run.virtual.run(run.began_s + 60.0)
    return run


def second(gap_s: float, mib: int) -> Plan:
    def plan(run: Run) -> None:
        asks(run, 0.0, 200)
        asks(run, gap_s, mib)

    return plan


def lowered(run: Run) -> None:
    asks(run, 0.0, 400)
    told(run, 10.0, lambda: run.toolstack.mem_max(run.domain, 400 * MIB))
    asks(run, 11.0, 200)


def refusing(run: Run) -> None:
    def refuse(number: int | None) -> None:
        run.virtual.root.refusal = number

    told(run, 0.0, lambda: refuse(errno.EIO))
    asks(run, 0.0, 200)
    told(run, 0.03, lambda: refuse(None))


@pytest.mark.parametrize("mode", ["guard", "self"])
@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(second(0.3, 201), id="another value within the cooldown"),
        pytest.param(second(0.05, 200), id="the same value while the kernel acts"),
        pytest.param(second(3.0, 200), id="the same value while it is held"),
        pytest.param(lowered, id="after static-max was lowered"),
        pytest.param(refusing, id="when the first write fails"),
    ],
)
def test_nothing_is_killed_however_the_host_asks(mode: Any, plan: Plan) -> None:
    assert held(mode, plan).domain.memory.oom_kills == 0


@pytest.mark.parametrize("mode", ["guard", "self"])
@pytest.mark.parametrize("text", ["0x80000", "0", str(200 * MIB)])
def test_a_target_below_the_floor_is_held_that_was_there_when_the_daemon_started(
    mode: Any, text: str
) -> None:
    story = Story(GUARD._replace(mode=mode))
    story.domain.change_workload(anon_kib=300 * MIB)
    story.domain.store.write("memory/target", text)
    story.run(40)
    assert story.domain.memory.oom_kills == 0


HELD = History(
    current_kib=446 * MIB, target_kib=446 * MIB, own_kib=446 * MIB, hold_kib=446 * MIB, wrote_s=9.9
)


def test_a_reflex_puts_back_what_holds_and_nothing_else() -> None:
    decision = reflex(HELD, 200 * MIB, 10.0)
    assert decision is not None
    assert decision.target_kib == 446 * MIB
    assert reflex(HELD, 446 * MIB, 10.0) is None
    assert reflex(HELD, 700 * MIB, 10.0) is None
    assert reflex(HELD._replace(hold_kib=None), 200 * MIB, 10.0) is None


@pytest.mark.parametrize("less_kib", [4, UNIT_KIB - 4])
def test_what_the_kernel_cuts_off_to_whole_units_is_not_written_again(less_kib: int) -> None:
    wrote = HELD._replace(wrote_kib=446 * MIB)
    assert reflex(wrote, 446 * MIB - less_kib, 10.0) is None
    assert reflex(wrote, 446 * MIB - UNIT_KIB, 10.0) is not None
    assert reflex(HELD, 446 * MIB - less_kib, 10.0) is not None


@pytest.mark.parametrize("mode", ["follow", "guard", "self"])
def test_nor_is_a_kernel_that_cuts_targets_to_2_mib_told_the_same_again_and_again(
    mode: str,
) -> None:
    guest = {"image": image_of("2.6.32"), "cmdline": "balloon_hugepages"}
    run = held(mode, lambda run: asks(run, 0.0, 451), **guest)
    assert run.domain.target_kib == 450 * MIB
    assert len(run.virtual.root.writes) <= 10


def test_what_the_kernel_cut_of_the_agents_own_target_is_its_own_still() -> None:
    run = Run(SELF, image=image_of("2.6.32"), cmdline="balloon_hugepages")
    run.virtual.start()
    run.virtual.run(run.began_s + 300.0)
    targets_kib = [write.target_kib for write in run.virtual.root.writes]
    assert targets_kib == sorted(targets_kib, reverse=True)
    assert run.domain.current_kib < 400 * MIB


@pytest.mark.parametrize("mode", ["guard", "self"])
def test_what_the_kernel_cut_of_a_step_is_no_ask_of_the_hosts(mode: Any) -> None:
    run = Run(GUARD._replace(mode=mode))
    run.domain.change_workload(anon_kib=100 * MIB)
    run.domain.driver._start = replace(run.domain.driver._start, unit_pages=16)  # 64 KiB a page
    run.virtual.start()
    run.virtual.run(run.began_s + 20.0)
    asks(run, 0.0, 200)
    run.virtual.run(run.began_s + 400.0)
    assert run.virtual.daemon._turn.history.asks.many == 1


@pytest.mark.parametrize(
    ("less_kib", "is_own"), [(-4, False), (0, True), (UNIT_KIB - 4, True), (UNIT_KIB, False)]
)
def test_a_target_is_its_own_as_far_as_the_kernel_may_have_cut_it(
    less_kib: int, is_own: bool
) -> None:
    wrote = HELD._replace(wrote_kib=446 * MIB)
    assert wrote.is_own(446 * MIB - less_kib) is is_own


def test_nor_is_a_kernel_that_cannot_hot_add_told_to_have_more_than_there_is() -> None:
    def larger(run: Run) -> None:
        told(run, 0.0, lambda: run.toolstack.mem_max(run.domain, 1024 * MIB))
        asks(run, 0.1, 1000)

    run = held("self", larger, maxmem_kib=512 * MIB, image=DEBIAN_12._replace(hotplug=False))
    assert run.domain.target_kib == run.domain.current_kib == 512 * MIB
    assert len(run.virtual.root.writes) <= 10


@pytest.mark.parametrize(
    ("wrote", "less_kib", "writes"),
    [(True, UNIT_KIB - 4, False), (True, UNIT_KIB, True), (False, UNIT_KIB - 4, True)],
)
def test_nor_does_a_whole_look_write_it_again(wrote: bool, less_kib: int, writes: bool) -> None:
    _, domain = simple_guest(domain_type="pv", memory_kib=512 * MIB, maxmem_kib=512 * MIB)
    situation, held_kib = understand(domain.snapshot()), 512 * MIB
    history = EMPTY._replace(own_kib=held_kib, wrote_kib=held_kib if wrote else None)
    seen = view(situation, history, GUARD, 0.0)
    assert seen is not None
    decision = hold(seen._replace(target_kib=held_kib - less_kib))
    assert (decision is not None) is writes


@pytest.mark.parametrize("hand_kib", [384 * MIB, 768 * MIB])
@pytest.mark.parametrize(
    ("available_kib", "age_s", "waits"),
    [(300 * MIB, 1.0, True), (300 * MIB, FOLLOW.grace_s, False), (4 * MIB, 1.0, False)],
)
def test_a_target_written_by_hand_is_waited_for_unless_the_guest_is_short_for_it(
    hand_kib: int, available_kib: int, age_s: float, waits: bool
) -> None:
    _, domain = simple_guest(domain_type="pv", memory_kib=512 * MIB, maxmem_kib=1024 * MIB)
    snapshot = domain.snapshot()
    assert snapshot.memory
    memory = snapshot.memory._replace(available_kib=available_kib)
    history = EMPTY._replace(host_since_s=0.0, target_since_s=1000.0 - age_s)
    seen = view(understand(snapshot._replace(memory=memory)), history, FOLLOW, 1000.0)
    assert seen is not None
    decision = target_ignored(seen._replace(target_kib=hand_kib, floor_kib=128 * MIB))
    assert decision is not None
    too_low = hand_kib < 512 * MIB  # more than the host asked for starves nobody
    assert (decision.reason == "kernel-has-time") is (waits or (not too_low and age_s == 1.0))


def test_after_an_ask_the_kernels_target_is_read_each_millisecond_until_it_has_acted() -> None:
    asked = HELD._replace(host_since_s=10.0)
    assert next_peek_s(asked, 10.0) == pytest.approx(10.0 + CLOSE_EVERY_S)
    assert next_peek_s(asked, 11.0) is not None
    assert next_peek_s(asked._replace(followed=True), 11.0) is None
    decision = reflex(asked, 200 * MIB, 11.0)
    assert decision is not None
    assert next_peek_s(reacted(asked, decision, 11.0), 11.01) is not None


def test_a_write_that_is_refused_is_tried_again_at_once_and_then_less_and_less_often() -> None:
    history, now_s, waits_s = HELD, 10.0, []
    for _ in range(30):
        history = refused(history, now_s)
        assert reflex(history, 200 * MIB, now_s) is None
        waits_s.append(history.retry_s - now_s)
        now_s = history.retry_s
    assert waits_s[0] <= CLOSE_EVERY_S
    assert waits_s[-1] == REFUSED_LAST_S


def test_a_kernel_that_refuses_is_not_asked_before_the_next_try_is_due() -> None:
    refuses = HELD._replace(target_kib=200 * MIB, refusals=5, retry_s=20.0, host_since_s=10.0)
    assert next_peek_s(refuses, 10.0) == 20.0
    assert next_peek_s(refuses, 25.0) == pytest.approx(25.0 + CLOSE_EVERY_S)


def test_another_domain_number_neither_lifts_the_cooldown_nor_what_is_held() -> None:
    after = moved(HELD)
    assert (after.wrote_s, after.hold_kib, after.own_kib) == (9.9, 446 * MIB, 446 * MIB)
    assert after.host_kib is None


def test_a_driver_that_is_being_woken_is_held_when_the_guest_comes_to_need_more() -> None:
    story = Story(GUARD)
    story.mem_set(1, 300)
    story.run(90)
    sunk_kib = story.domain.current_kib
    nudge = Nudge(sunk_kib - 60 * MIB + 4, sunk_kib - 60 * MIB, 0.0)
    story.domain.driver.set_target_pages(nudge.written_kib // 4)
    story.domain.change_workload(anon_kib=150 * MIB)
    record = story.agent.record[-1]
    history = story.agent.history._replace(
        nudge=nudge, wrote_s=story.clock.now_s, wrote_kib=nudge.written_kib, own_kib=None
    )
    situation = record.situation._replace(
        snapshot=story.domain.snapshot(), headroom=record.situation.headroom
    )
    decision, _ = decide(situation, history, GUARD, story.clock.now_s)
    assert decision.reason in ("guard-held", "guard-step")


def test_the_air_for_more_asks_follows_from_how_often_they_come_and_melts_away() -> None:
    once = NO_ASKS.another(100.0, 0)
    often = once.another(101.0, 0)
    assert often.air_kib(101.0) >= GOES_ON_S * often.cost_kib
    assert 0 < once.air_kib(130.0) < once.air_kib(105.0)
    assert once.air_kib(100.0 + GOES_ON_S) == often.air_kib(101.0 + GOES_ON_S) == 0
    assert NO_ASKS.air_kib(0.0) == 0


def test_where_static_max_moves_with_the_target_the_limit_is_that_of_hotplug() -> None:
    _, domain = simple_guest(domain_type="pv", memory_kib=512 * MIB, maxmem_kib=512 * MIB)
    snapshot = domain.snapshot()
    host = snapshot.host._replace(hotplug_max_kib=2048 * MIB)
    for host_says, most_kib in ((snapshot.host, 512 * MIB), (host, 2048 * MIB)):
        seen = view(understand(snapshot._replace(host=host_says)), EMPTY, GUARD, 0.0)
        assert seen is not None
        assert seen.most_kib == most_kib


def test_what_an_ask_has_cost_here_is_kept_in_mind() -> None:
    asks_seen = NO_ASKS.another(1.0, 0).cost_seen(12 * MIB)
    assert asks_seen.cost_kib == 12 * MIB
    assert asks_seen.another(500.0, 12 * MIB).cost_seen(13 * MIB).cost_kib == 12 * MIB


@pytest.mark.parametrize("mode", list(RULES))
def test_every_rule_of_a_mode_stands_once(mode: Any) -> None:
    assert len(set(RULES[mode])) == len(RULES[mode])
    assert all(callable(rule) for rule in RULES[mode])


@pytest.mark.parametrize("settings", [GUARD, SELF])
@pytest.mark.parametrize("acts", [False, True])
def test_released_pages_are_taken_again_in_every_mode_in_dom0_too(
    settings: Any, acts: bool
) -> None:
    story = Story(
        settings._replace(reclaim_released=True, act_in_dom0=acts),
        domain_type="dom0-pv",
        memory_kib=1024 * MIB,
        maxmem_kib=1024 * MIB,
        released_pages=2560,
    )
    before_mib = story.current_mib
    story.run(10)
    assert story.current_mib == before_mib + 10


def test_a_decision_not_carried_out_leaves_the_history_as_it_was() -> None:
    decision = reflex(HELD, 200 * MIB, 10.0)
    assert decision is not None
    assert refused(HELD, 10.0).own_kib == HELD.own_kib
    assert remembered(EMPTY, decision, 10.0).own_kib == 446 * MIB
