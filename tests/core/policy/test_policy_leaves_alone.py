# SPDX-License-Identifier: GPL-2.0-or-later
"""What the policy leaves alone: what somebody did on purpose, and what has time."""

from __future__ import annotations

from typing import Any

from agent.core.account.situation import understand
from agent.core.policy.decide import EMPTY, decide
from agent.core.policy.history import remembered
from agent.core.policy.settings import PolicySettings
from sim_backend.guest.files import BALLOON
from tests.core.policy.test_policy_runs import FOLLOW, MIB, SELF, Story
from tests.support import captured
from tests.support.snapshots import a_pvh_guest

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
