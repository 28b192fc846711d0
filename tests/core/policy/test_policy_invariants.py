# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds in every run, whatever host, guest, kernel and clock do: I1, I2, I3, I6 and I7.

I1  no target is written that takes the guest below its floor, or above static-max.
I2  at most one target is written per cooldown.
I3  every look ends in a decision.
I6  the same situation, memory and moment give the same decision.
I7  mode observe writes nothing.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from agent.core.account.situation import understand
from agent.core.policy.decide import decide
from agent.core.policy.decision import Decision
from agent.core.policy.history import EMPTY, moved, remembered
from agent.core.policy.settings import MODES, PolicySettings
from sim_backend.guest.kernel_images import DEBIAN_11, DEBIAN_12, DEBIAN_13
from sim_backend.hypervisor import Host
from tests.core.policy.test_policy_runs import Story

MIB = 1024
IMAGES = {"5.10": DEBIAN_11, "6.1": DEBIAN_12, "6.12": DEBIAN_13}
GARBAGE = ("", "abc", "-1", "0x80000", "1e6", " 524288", "9" * 40, "0", "1", str(2**64 - 1))

moments = st.floats(0, 120)
sizes_mib = st.integers(100, 1100)
faults = st.one_of(
    st.tuples(st.just("host-writes"), sizes_mib.map(lambda mib: str(mib * MIB))),
    st.tuples(st.just("host-writes"), st.sampled_from(GARBAGE)),
    st.tuples(st.just("static-max"), sizes_mib.map(lambda mib: str(mib * MIB))),
    st.tuples(st.just("static-max"), st.sampled_from(GARBAGE)),
    st.tuples(st.just("target-gone"), st.none()),
    st.tuples(st.just("workload"), st.integers(0, 700)),
    st.tuples(st.just("host-full"), st.none()),
    st.tuples(st.just("host-free"), st.none()),
    st.tuples(st.just("by-hand"), st.integers(0, 2000)),
    st.tuples(st.just("refuse"), st.booleans()),
    st.tuples(st.just("look"), st.none()),
    st.tuples(st.just("move"), st.none()),
)
runs = st.lists(st.tuples(moments, faults), max_size=25)
policy_fields: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(MODES),
        "floor_kib": st.none() | sizes_mib.map(lambda mib: mib * MIB),
        "online_blocks": st.booleans(),
        "reclaim_released": st.booleans(),
        "cooldown_s": st.sampled_from([0.5, 1.0, 5.0]),
        "grace_s": st.sampled_from([0.5, 2.0]),
        "self_interval_s": st.sampled_from([1.0, 10.0]),
        "self_calm_s": st.sampled_from([5.0, 60.0]),
    }
)
policies = policy_fields.map(lambda fields: PolicySettings(**fields))
guests = st.fixed_dictionaries(
    {
        "domain_type": st.sampled_from(["pv", "pvh", "hvm"]),
        "image": st.sampled_from(list(IMAGES.values())),
        "memory_kib": st.sampled_from([256, 512]).map(lambda mib: mib * MIB),
    }
)


def plan(story: Story, when_s: float, kind: str, value: Any) -> None:
    domain, store = story.domain, story.domain.store
    taken = [0]

    def refuse() -> None:
        domain.write_refusal = errno.EIO if value else None

    def fill() -> None:
        taken[0] += domain.host.take_for_another(1 << 40)

    def move() -> None:
        story.toolstack.migrate(domain, Host())
        story.agent.history = moved(story.agent.history)  # as when the domid changes

    actions: dict[str, Callable[[], Any]] = {
        "host-writes": lambda: store.write("memory/target", value),
        "static-max": lambda: store.write("memory/static-max", value),
        "target-gone": lambda: store.remove("memory/target"),
        "workload": lambda: domain.change_workload(anon_kib=value * MIB),
        "host-full": fill,
        "host-free": lambda: domain.host.return_from_another(1 << 40),
        "by-hand": lambda: domain.driver.set_target_pages(value * 256),
        "refuse": refuse,
        "look": story.look,
        "move": move,
    }
    story.at(when_s, lambda: actions[kind]() if domain.alive else None)


def lowest_allowed_kib(decided: Any, policy: PolicySettings) -> int:
    current_kib: int = decided.situation.snapshot.balloon.current_kib
    floor_kib = policy.floor_kib
    if floor_kib is None:
        floor_kib = decided.situation.headroom.floor_kib
    return min(current_kib, floor_kib if floor_kib is not None else current_kib)


def had_kib(decided: Any) -> int:
    """What a guest that is held may keep, whatever static-max says."""
    current_kib: int = decided.situation.snapshot.balloon.current_kib
    return max(current_kib, decided.before.own_kib or 0)


def protects(decided: Any) -> bool:
    """Whether a write stops a shrink and makes the guest no larger than it was."""
    aimed_kib = decided.situation.snapshot.balloon.target_kib
    return bool(aimed_kib < decided.decision.target_kib <= had_kib(decided))


def refused(decided: Any, run: list[tuple[float, tuple[str, Any]]], start_s: float) -> bool:
    """Whether the kernel refused that write, so that it was none."""
    said = sorted((start_s + when_s, value) for when_s, (kind, value) in run if kind == "refuse")
    return any(value for when_s, value in said if when_s <= decided.when_s)


def check_limits(decided: Any, policy: PolicySettings) -> None:
    decision: Decision = decided.decision
    if decision.target_kib is None:
        return
    snapshot = decided.situation.snapshot
    assert decision.target_kib >= lowest_allowed_kib(decided, policy)
    if snapshot.host.static_max_kib is not None:
        assert decision.target_kib <= max(snapshot.host.static_max_kib, had_kib(decided))
    assert decision.target_kib % 4 == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(guest=guests, policy=policies, run=runs)
def test_the_promises_hold_in_every_run(
    guest: dict[str, Any], policy: PolicySettings, run: list[tuple[float, tuple[str, Any]]]
) -> None:
    story = Story(policy, **guest)
    for when_s, (kind, value) in run:
        plan(story, when_s, kind, value)
    story.run(200)

    record = story.agent.record
    for decided in record:
        check_limits(decided, policy)
        again, _ = decide(
            decided.situation, decided.before, policy, decided.when_s, asked=decided.asked
        )
        assert again == decided.decision
    writes = [d for d in record if d.decision.action == "write-target"]
    for earlier, later in zip(writes, writes[1:]):
        waited = later.when_s - earlier.when_s >= policy.cooldown_s - 1e-6
        assert waited or protects(later) or refused(earlier, run, story.start_s)
    if policy.mode == "observe":
        assert all(decided.decision.action == "none" for decided in record)
    assert len(record) < 200 / 0.05 + 10 * len(run)


@pytest.mark.parametrize("mode", MODES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_clock_that_stands_still_or_jumps_causes_no_burst(mode: Any, data: st.DataObject) -> None:
    story = Story(PolicySettings(mode=mode))
    story.mem_set(0, 768)
    story.run(0.2)
    situation = understand(story.domain.snapshot())
    policy = PolicySettings(mode=mode)
    now_s, history, writes = 1000.0, EMPTY, 0
    steps = data.draw(st.lists(st.sampled_from([0.0, 0.001, 600.0]), min_size=20, max_size=60))
    for step_s in steps:
        now_s += step_s
        decision, history = decide(situation, history, policy, now_s)
        history = remembered(history, decision, now_s)
        writes += decision.action == "write-target"
    assert writes <= 1 + sum(step_s > 1 for step_s in steps)


@given(
    current=st.none() | st.integers(0, 2**64),
    target=st.none() | st.integers(0, 2**64),
    host=st.none() | st.integers(0, 2**64),
    static_max=st.none() | st.integers(0, 2**64),
    available=st.integers(0, 2**40),
    policy=policies,
    nows=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=5),
)
@settings(max_examples=600, deadline=None)
def test_no_numbers_however_odd_end_in_an_exception(  # noqa: PLR0917 - hypothesis names them
    current: int | None,
    target: int | None,
    host: int | None,
    static_max: int | None,
    available: int,
    policy: PolicySettings,
    nows: list[float],
) -> None:
    snapshot = ODD.domain.snapshot()
    assert snapshot.balloon is not None
    assert snapshot.memory is not None
    snapshot = snapshot._replace(
        balloon=snapshot.balloon._replace(current_kib=current, target_kib=target),
        host=snapshot.host._replace(target_kib=host, static_max_kib=static_max),
        memory=snapshot.memory._replace(available_kib=available),
    )
    history = EMPTY
    for now_s in nows:
        decision, history = decide(understand(snapshot), history, policy, now_s)
        history = remembered(history, decision, now_s)
        assert decision.reason


ODD = Story(PolicySettings(mode="observe"))
