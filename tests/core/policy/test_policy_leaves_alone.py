# SPDX-License-Identifier: GPL-2.0-or-later
"""What the policy leaves alone: what somebody did on purpose, and what has time."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.account.situation import understand
from agent.core.policy.decide import decide
from agent.core.policy.follow import cancelled
from agent.core.policy.history import EMPTY, noticed, remembered
from agent.core.policy.settings import PolicySettings
from agent.core.policy.view import View, view
from sim_backend.guest.files import BALLOON
from tests.core.policy.test_policy_runs import FOLLOW, MIB, SELF, Story
from tests.support import captured
from tests.support.snapshots import a_pv_guest, a_pvh_guest

BETWEEN_LOOKS_S = 20.0


def test_a_block_of_the_boots_own_memory_that_somebody_put_offline_stays_offline() -> None:
    snapshot = captured.snapshot_of("pv-512-1024-k510/memset-768")
    assert snapshot.blocks is not None
    hot_added, by_hand = snapshot.blocks.offline, snapshot.blocks.online[1]
    blocks = snapshot.blocks._replace(
        online=tuple(block for block in snapshot.blocks.online if block != by_hand),
        offline=(by_hand, *hot_added),
    )
    situation, history = understand(snapshot._replace(blocks=blocks)), EMPTY
    put_online: set[int] = set()
    for look in range(5):
        now_s = look * BETWEEN_LOOKS_S
        decision, history = decide(situation, history, PolicySettings(), now_s)
        history = remembered(history, decision, now_s)
        put_online.update(decision.blocks)

    assert put_online == set(hot_added)


@pytest.mark.parametrize(
    ("sources", "why"),
    [
        ({"xenstore": "malformed: no answer within 1.5 s"}, "no answer within 1.5 s"),
        ({"xenstore": "absent"}, "xenstore is absent"),
        ({"xenstore.memory/target": "denied"}, "memory/target is denied"),
        ({"xenstore.memory/target": "absent"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("mode", ["observe", "follow", "guard", "self"])
def test_of_a_host_that_could_not_be_asked_nothing_is_said(
    sources: dict[str, str], why: str | None, mode: Any
) -> None:
    guest = a_pv_guest(host={"target_kib": None}, sources={"xenstore": "ok"} | sources)
    decision, _ = decide(understand(guest), EMPTY, PolicySettings(mode=mode), 100.0)
    assert decision.action == "none"
    if why is None:
        assert (decision.reason, decision.sentence) == (
            "no-host-target",
            "The host asks for nothing.",
        )
    else:
        assert decision.reason == "host-silent"
        assert decision.sentence == f"What the host asks for is not known: {why}."


@pytest.mark.parametrize("mode", ["observe", "follow", "guard", "self"])
@pytest.mark.parametrize("to_dom0", [False, True])
def test_a_crash_kernel_is_left_alone_in_every_mode(mode: Any, to_dom0: bool) -> None:
    settings = PolicySettings(mode=mode, act_in_dom0=to_dom0, reclaim_released=True)
    guest = a_pv_guest(host={"target_kib": 100 * MIB}, balloon={"target_kib": 100 * MIB})
    decision, history = decide(understand(guest), EMPTY, settings, 100.0)
    assert (decision.action != "none") is (mode in ("guard", "self"))

    dumps = guest._replace(kernel_options=("quiet", "elfcorehdr=0x7f000000"))
    decision, history = decide(understand(dumps), EMPTY, settings, 100.0)
    assert (decision.action, decision.reason) == ("none", "crash-kernel")
    assert history.hold_kib is None


def test_who_makes_dom0_smaller_by_hand_gets_what_he_wanted() -> None:
    config: dict[str, Any] = {
        "domain_type": "dom0-pv",
        "memory_kib": 1024 * MIB,
        "maxmem_kib": 1024 * MIB,
        "released_pages": 2560,
    }
    story = Story(FOLLOW._replace(reclaim_released=True), **config)
    story.at(10, lambda: story.domain.write_file(f"{BALLOON}/target_kb", str(800 * MIB)))
    story.at(30, story.look)  # as at a ping to the watchdog
    story.run(60)

    assert story.current_mib == 800
    assert story.written == [1024, 800]


def test_a_guest_of_its_own_mind_gives_back_only_after_a_calm_minute_and_step_by_step() -> None:
    story = Story(SELF)
    story.mem_set(1, 1024)
    story.clock.every(1.0, story.look)
    story.run(900)

    gave_s = [
        decided.when_s - story.start_s
        for decided in story.agent.record
        if decided.decision.reason == "self-give-back"
    ]
    assert len(gave_s) > 4
    assert gave_s[0] >= SELF.self_calm_s
    assert min(b - a for a, b in zip(gave_s, gave_s[1:])) >= SELF.self_interval_s


def test_without_the_hosts_scale_only_a_balloon_off_its_target_is_looked_at_again() -> None:
    rests = a_pvh_guest(host={"target_kib": 1048576, "static_max_kib": None})
    moves = a_pvh_guest(
        host={"target_kib": 1048576, "static_max_kib": None},
        balloon={"target_kib": 700000, "motion": "moved"},
    )
    (resting, _), (moving, _) = (
        decide(understand(snapshot), EMPTY, PolicySettings(), 100.0) for snapshot in (rests, moves)
    )
    assert resting.reason == moving.reason == "offset-unknown"
    assert resting.look_again_s is None
    assert moving.look_again_s is not None


def gave_up(has_mib: int, needs_mib: int) -> View:
    """A driver that stopped 4 MiB above its target, in a guest that needs so much."""
    story = Story(FOLLOW)
    story.mem_set(1, has_mib - 4)
    story.run(30)
    snapshot = story.domain.snapshot()
    assert snapshot.balloon is not None
    balloon = snapshot.balloon._replace(current_kib=has_mib * MIB)
    situation = understand(snapshot._replace(balloon=balloon))._replace(state="cancelled")
    seen = view(situation, EMPTY, FOLLOW, story.clock.now_s)
    assert seen is not None
    return seen._replace(floor_kib=needs_mib * MIB)


@pytest.mark.parametrize(
    ("needs_mib", "reason"),
    [(384, "driver-gave-up"), (385, "no-room-to-shrink"), (400, "no-room-to-shrink")],
)
def test_a_driver_that_gave_up_shrinking_is_woken_where_there_are_16_mib_to_give(
    needs_mib: int, reason: str
) -> None:
    decision = cancelled(gave_up(400, needs_mib))
    assert decision is not None
    assert decision.reason == reason


def test_what_a_guest_still_sinks_to_stays_the_agents_own_target_until_it_is_there() -> None:
    domain = gave_up(400, 300)
    sinking = EMPTY._replace(own_kib=396 * MIB, wrote_kib=396 * MIB, target_kib=396 * MIB)
    assert noticed(sinking, domain.situation, 10.0, asked=False).own_kib == 396 * MIB
    balloon = domain.snapshot.balloon
    assert balloon is not None
    arrived = domain.snapshot._replace(balloon=balloon._replace(current_kib=396 * MIB))
    assert noticed(sinking, understand(arrived), 10.0, asked=False).own_kib is None
