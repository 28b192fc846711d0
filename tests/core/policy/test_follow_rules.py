# SPDX-License-Identifier: GPL-2.0-or-later
"""Mode follow: each rule at the very figures and moments where its answer changes."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.facts.snapshot import MemoryBlocks
from agent.core.policy import follow
from agent.core.policy.history import Nudge
from agent.core.policy.settings import PolicySettings
from tests.core.policy.looked_at import FLOOR, FOLLOW, HAS, NOW_S, looked
from tests.support.snapshots import (
    BLOCK,
    GIB,
    MIB,
    guest_map,
)


def test_a_woken_driver_gets_its_target_back_when_that_is_due_and_the_guest_needs_no_more() -> None:
    history = {"nudge": Nudge(HAS + 4, HAS, NOW_S)}
    early = follow.finish_nudge(looked(now_s=NOW_S - 0.1, history=history))
    assert early is not None
    assert (early.reason, early.look_again_s) == ("waking", NOW_S)
    due = looked(history=history)
    for floor_kib in (FLOOR, HAS):
        decision = follow.finish_nudge(due._replace(floor_kib=floor_kib))
        assert decision is not None
        assert (decision.reason, decision.target_kib) == ("wake-finished", HAS)
    assert follow.finish_nudge(due._replace(floor_kib=HAS + 4)) is None


def test_all_that_the_domain_may_have_is_not_beyond_it() -> None:
    assert follow.beyond_static_max(looked(host={"target_kib": GIB})) is None
    decision = follow.beyond_static_max(looked(host={"target_kib": GIB + 4}))
    assert decision is not None
    assert (decision.reason, decision.look_again_s) == ("beyond-static-max", NOW_S + 30)


@pytest.mark.parametrize(("rewrites", "wait_s"), [(1, 4), (3, 16), (8, 512), (9, 600), (9999, 600)])
def test_a_target_that_is_ignored_again_and_again_is_written_less_and_less_often(
    rewrites: int, wait_s: float
) -> None:
    for waited_s, reason in ((wait_s, "target-ignored"), (wait_s - 0.1, "kernel-has-time")):
        history = {"host_since_s": 0.0, "rewrites": rewrites, "wrote_s": NOW_S - waited_s}
        decision = follow.target_ignored(looked(history=history, host={"target_kib": 600 * MIB}))
        assert decision is not None
        assert decision.reason == reason


@pytest.mark.parametrize(
    ("aim_mib", "target_kib", "waits"),
    [
        (600, FLOOR, True),
        (600, FLOOR - 4, False),
        (100, FLOOR - 4, True),  # the host wants less still
        (100, 100 * MIB - 8, False),
    ],
)
def test_a_target_that_harms_is_put_right_at_once(
    aim_mib: int, target_kib: int, waits: bool
) -> None:
    host = {"target_kib": aim_mib * MIB}
    seen = looked(history={"host_since_s": NOW_S}, host=host)._replace(floor_kib=FLOOR)
    decision = follow.target_ignored(seen._replace(target_kib=target_kib))
    assert decision is not None
    assert (decision.reason == "kernel-has-time") is waits


def lacks(
    kib: int, held_kib: int = 0, offline: tuple[int, ...] = (8, 9), tried: tuple[int, ...] = ()
) -> Any:
    """What is done for a target so much above; blocks 8 and 9 were hot-added."""
    last = max(10, *offline) if len(offline) > 4 else 10
    seen = looked(
        history={"tried_blocks": frozenset(tried)},
        firmware_map=guest_map(GIB, (8 * BLOCK, last * BLOCK - 1)),
        blocks=MemoryBlocks(BLOCK, tuple(range(8)), offline, "offline"),
        balloon={"target_kib": HAS + kib, "low_kib": held_kib},
    )
    return follow.blocks_offline(seen)


def test_as_many_blocks_are_put_online_as_the_target_needs() -> None:
    a_block = BLOCK // 1024
    assert lacks(a_block).blocks == (8,)
    assert lacks(a_block + 4).blocks == (8, 9)
    assert lacks(a_block, held_kib=a_block) is None
    assert lacks(a_block + 4, held_kib=a_block).blocks == (8,)
    assert "memory block 8, which is" in lacks(a_block).sentence
    assert "memory blocks 8 to 9, which are" in lacks(a_block + 4).sentence
    assert lacks(8, tried=(8,)).blocks == (9,)
    stays = lacks(8, tried=(8, 9))
    assert (stays.reason, stays.blocks) == ("blocks-stay-offline", ())
    assert stays.look_again_s >= NOW_S + 1


def test_no_block_beside_what_was_hot_added_is_put_online() -> None:
    assert lacks(GIB, offline=(7, 8, 9, 10)).blocks == (8, 9)


def test_where_no_map_tells_what_was_hot_added_no_block_is_put_online() -> None:
    seen = looked(
        firmware_map=None,
        blocks=MemoryBlocks(BLOCK, tuple(range(8)), (8, 9), "offline"),
        balloon={"target_kib": GIB, "low_kib": 0},
        boot_log=None,
    )
    decision = follow.blocks_offline(seen)
    assert decision is not None
    assert (decision.reason, decision.blocks) == ("blocks-stay-offline", ())


def test_64_blocks_are_put_online_at_once_and_then_the_host_is_heard() -> None:
    assert lacks(64 * GIB, offline=tuple(range(8, 108))).blocks == tuple(range(8, 72))


@pytest.mark.parametrize(
    ("wakes", "wait_s"), [(0, 3), (1, 5), (2, 10), (3, 20), (7, 320), (8, 600), (9999, 600)]
)
def test_a_driver_that_gave_up_is_woken_less_and_less_often(wakes: int, wait_s: float) -> None:
    for waited_s, reason in ((wait_s, "driver-gave-up"), (wait_s - 0.1, "given-up")):
        history = {"wakes": wakes, "wrote_s": NOW_S - waited_s}
        decision = follow.cancelled(looked(history=history, balloon={"target_kib": 768 * MIB}))
        assert decision is not None
        assert decision.reason == reason
        if reason == "given-up":
            assert decision.look_again_s == pytest.approx(NOW_S + 0.1)


@pytest.mark.parametrize("page_kib", [4, 64])
@pytest.mark.parametrize(("target_mib", "sign"), [(768, -1), (256, 1)])
def test_the_target_is_moved_a_page_of_the_kernels_towards_what_the_guest_has(
    target_mib: int, sign: int, page_kib: int
) -> None:
    seen = looked(
        history={"moved_s": NOW_S - 3},
        balloon={"target_kib": target_mib * MIB},
        domain={"page_kib": page_kib},
    )
    decision = follow.cancelled(seen)
    assert decision is not None
    assert decision.target_kib == target_mib * MIB + sign * page_kib
    assert decision.nudge_to_kib == target_mib * MIB
    assert decision.look_again_s == NOW_S + FOLLOW.cooldown_s
    too_early = follow.cancelled(seen._replace(now_s=NOW_S - 0.1))
    assert too_early is not None
    assert too_early.action == "none"


def test_what_a_driver_domain_lacks_is_lent_once_it_has_not_moved_for_10_s() -> None:
    backend = PolicySettings(driver_domain=True)
    lacking = {"target_kib": 768 * MIB, "low_kib": 0}
    for settings, since_s, lent in (
        (backend, NOW_S - 10, True),
        (backend, NOW_S - 9.9, False),
        (FOLLOW, NOW_S - 10, False),
    ):
        seen = looked(settings, history={"moved_s": since_s}, balloon=lacking)
        assert (follow.lent(seen) is not None) is lent


@pytest.mark.parametrize(
    ("released_pages", "host_kib", "goal_kib"),
    [
        (96, None, HAS + 384),
        (96, HAS + 4, HAS + 4),
        (96, HAS, None),
        (0, None, None),
    ],
)
def test_no_more_is_taken_again_than_was_released_and_the_host_lets_it_have(
    released_pages: int, host_kib: int | None, goal_kib: int | None
) -> None:
    seen = looked(
        PolicySettings(reclaim_released=True),
        boot_log={"released_pages": released_pages},
        host={"target_kib": host_kib},
    )
    decision = follow.released_pages(seen)
    assert (decision and decision.target_kib) == goal_kib
    smaller = seen._replace(current_kib=HAS - 4, target_kib=HAS - 4, aim_kib=None)
    assert follow.released_pages(smaller) is None, "somebody wanted it so"


@pytest.mark.parametrize(
    ("settings", "guest", "taken"),
    [
        ({}, {}, True),
        ({"reclaim_released": False}, {}, False),
        ({}, {"history": {"own_kib": HAS}}, False),
        ({}, {"balloon": {"target_kib": HAS + 4}}, False),
        ({}, {"balloon": {"low_kib": 0}}, False),  # nothing is held that could come back
        ({}, {"balloon": {"low_kib": None}}, False),
    ],
)
def test_released_pages_are_taken_only_where_nobody_else_has_a_say(
    settings: dict[str, Any], guest: dict[str, Any], taken: bool
) -> None:
    seen = looked(
        PolicySettings(**{"reclaim_released": True, **settings}),
        boot_log={"released_pages": 96},
        **{"host": {"target_kib": None}, **guest},
    )
    assert (follow.released_pages(seen) is not None) is taken


def test_which_blocks_were_hot_added_is_told_by_the_map_of_the_boot_alone() -> None:
    """Without the boot's own figures a block that is offline may be one that was hot-added."""
    blocks = MemoryBlocks(BLOCK, tuple(range(7)), (7,), "offline")
    for boot_log, online in (({}, ()), (None, (7,))):
        seen = looked(blocks=blocks, balloon={"target_kib": GIB, "low_kib": 0}, boot_log=boot_log)
        decision = follow.blocks_offline(seen)
        assert decision is not None
        assert decision.blocks == online


@pytest.mark.parametrize(
    ("aim_mib", "available_kib", "host_since_s", "at_once"),
    [
        (768, 13000, NOW_S - 60, True),
        (768, 380268, NOW_S - 60, False),
        (256, 13000, NOW_S - 60, False),
        (768, 13000, NOW_S - 1, False),
    ],
)
def test_a_guest_that_is_short_for_want_of_what_the_host_gave_long_ago_gets_it_at_once(
    aim_mib: int, available_kib: int, host_since_s: float, at_once: bool
) -> None:
    history = {"host_since_s": host_since_s, "target_since_s": NOW_S - 1}
    seen = looked(
        history=history, host={"target_kib": aim_mib * MIB}, memory={"available_kib": available_kib}
    )
    decision = follow.target_ignored(seen._replace(floor_kib=FLOOR))
    assert decision is not None
    assert (decision.reason == "target-ignored") is at_once


@pytest.mark.parametrize(
    ("balloon", "reason"),
    [
        ({"motion": "moved"}, "moving"),
        ({"motion": "still", "retry_count": 2}, "retrying"),
        ({"motion": "unknown"}, "unclear"),
    ],
)
def test_a_balloon_off_its_target_is_called_what_it_was_seen_to_be(
    balloon: dict[str, Any], reason: str
) -> None:
    decision = follow.on_its_way(looked(balloon={"target_kib": 768 * MIB, **balloon}))
    assert (decision.action, decision.reason) == ("none", reason)
    assert decision.look_again_s == NOW_S + 30
    beyond = looked(balloon={"target_kib": 2 * GIB})
    assert follow.on_its_way(beyond).reason == "unreachable"
