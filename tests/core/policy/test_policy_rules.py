# SPDX-License-Identifier: GPL-2.0-or-later
"""Each rule of the policy at the very figures and moments where its answer changes.

The guest has 512 of 1024 MiB, uses 144020 KiB of them and needs 172032; it is looked at after
1000 s.
"""

from __future__ import annotations

from typing import Any, Final

import pytest

from agent.core.account.situation import understand
from agent.core.facts.snapshot import BootRecord, MemoryBlocks
from agent.core.policy import follow, guard, self_balloon
from agent.core.policy.asks import NO_ASKS
from agent.core.policy.decide import decide
from agent.core.policy.history import EMPTY, History, Nudge, is_at, noticed, refused
from agent.core.policy.reflex import next_peek_s, reflex
from agent.core.policy.settings import PolicySettings
from agent.core.policy.use import NOTHING_SEEN, Use, seen_use
from agent.core.policy.view import View, view
from tests.support.snapshots import (
    BLOCK,
    CALM,
    GIB,
    MIB,
    a_dom0,
    a_pv_guest,
    a_pvh_guest,
    guest_map,
)

HAS: Final = 512 * MIB
FLOOR: Final = 172032
NOW_S: Final = 1000.0
FOLLOW: Final = PolicySettings()
GUARD: Final = PolicySettings(mode="guard")
SELF: Final = PolicySettings(mode="self")
RECORD: Final = BootRecord(523900, 524288, 1048192, 524288, 1048576)


def looked(
    settings: PolicySettings = FOLLOW, now_s: float = NOW_S, history: Any = None, **guest: Any
) -> View:
    """What the rules see of the guest; `history`: what is remembered."""
    remembered = EMPTY._replace(**(history or {}))
    seen = view(understand(a_pv_guest(**guest)), remembered, settings, now_s)
    assert seen is not None
    return seen


# ---- follow


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


@pytest.mark.parametrize(("rewrites", "wait_s"), [(1, 4), (3, 16), (8, 512), (9, 600), (30, 600)])
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


def test_64_blocks_are_put_online_at_once_and_then_the_host_is_heard() -> None:
    assert lacks(64 * GIB, offline=tuple(range(8, 108))).blocks == tuple(range(8, 72))


@pytest.mark.parametrize(
    ("wakes", "wait_s"), [(0, 3), (1, 5), (2, 10), (3, 20), (7, 320), (8, 600), (30, 600)]
)
def test_a_driver_that_gave_up_is_woken_less_and_less_often(wakes: int, wait_s: float) -> None:
    for waited_s, reason in ((wait_s, "driver-gave-up"), (wait_s - 0.1, "given-up")):
        history = {"wakes": wakes, "wrote_s": NOW_S - waited_s}
        decision = follow.cancelled(looked(history=history, balloon={"target_kib": 768 * MIB}))
        assert decision is not None
        assert decision.reason == reason
        if reason == "given-up":
            assert decision.look_again_s == pytest.approx(NOW_S + 0.1)


@pytest.mark.parametrize(("target_mib", "aside_kib"), [(768, -4), (256, 4)])
def test_the_target_is_moved_a_page_towards_what_the_guest_has(
    target_mib: int, aside_kib: int
) -> None:
    seen = looked(history={"moved_s": NOW_S - 3}, balloon={"target_kib": target_mib * MIB})
    decision = follow.cancelled(seen)
    assert decision is not None
    assert decision.target_kib == target_mib * MIB + aside_kib
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


# ---- guard


def asked_for(kib: int, settings: PolicySettings = GUARD, **history: Any) -> View:
    return looked(settings, history=history, host={"target_kib": kib})


def test_a_new_target_of_the_hosts_is_waited_for_until_its_time_is_over() -> None:
    seen = asked_for(600 * MIB, host_since_s=NOW_S - GUARD.grace_s)
    assert guard.await_kernel(seen) is None
    decision = guard.await_kernel(seen._replace(now_s=NOW_S - 0.1))
    assert decision is not None
    assert (decision.reason, decision.look_again_s) == ("kernel-has-time", NOW_S)


def test_the_hosts_target_counts_again_from_what_the_guest_has() -> None:
    for aim_kib, released in ((HAS - 4, False), (HAS, True), (HAS + 4, True)):
        held = asked_for(aim_kib, own_kib=384 * MIB)._replace(target_kib=384 * MIB)
        decision = guard.release(held)
        assert (decision and decision.target_kib) == (aim_kib if released else None)


@pytest.mark.parametrize(
    ("target_kib", "released"), [(384 * MIB, True), (384 * MIB - 8, False), (HAS - 4, False)]
)
def test_only_what_the_agent_holds_itself_is_released(target_kib: int, released: bool) -> None:
    own_kib = HAS - 4 if target_kib == HAS - 4 else 384 * MIB  # a page off is at the host's
    held = asked_for(HAS, own_kib=own_kib)._replace(target_kib=target_kib)
    assert (guard.release(held) is not None) is released


def test_what_was_held_goes_on_to_hold_while_it_is_no_less_than_the_guest_needs() -> None:
    half_way_kib = HAS - (HAS - FLOOR) // 2
    assert guard.held_kib(asked_for(0)) == half_way_kib
    assert guard.held_kib(asked_for(0, own_kib=FLOOR)) == FLOOR
    assert guard.held_kib(asked_for(0, own_kib=FLOOR - 4)) == half_way_kib


@pytest.mark.parametrize(
    ("own_kib", "target_kib", "reason"),
    [
        (400 * MIB, 400 * MIB, None),
        (400 * MIB, 400 * MIB - 4, "guard-step"),
        (HAS, HAS, None),
        (HAS, HAS - 4, "guard-held"),
        (HAS + 4, HAS, "guard-held"),
    ],
)
def test_a_kernel_that_aims_lower_than_it_may_is_put_right(
    own_kib: int, target_kib: int, reason: str | None
) -> None:
    decision = guard.hold(asked_for(0, own_kib=own_kib)._replace(target_kib=target_kib))
    assert (decision and (decision.reason, decision.target_kib)) == (
        (reason, own_kib) if reason else None
    )


def shrunk(asked_kib: int, above_floor_kib: int, **history: Any) -> Any:
    """What is done where so much is left above the floor."""
    size_kib = FLOOR + above_floor_kib
    seen = asked_for(asked_kib, **history)
    return guard.guarded_shrink(seen._replace(current_kib=size_kib, target_kib=size_kib))


def test_less_than_4_mib_is_not_worth_a_step_unless_the_host_asks_for_just_that() -> None:
    assert shrunk(0, 4 * MIB).target_kib == FLOOR
    held = shrunk(0, 4 * MIB - 4)
    assert (held.reason, held.look_again_s) == ("held-at-floor", NOW_S + 2)
    assert "is not made smaller" in held.sentence
    assert shrunk(FLOOR + 4, 8).target_kib == FLOOR + 4
    assert shrunk(FLOOR + 8, 8) is None, "that is what it has"


@pytest.mark.parametrize(("asked_kib", "told"), [(64 * MIB, "64 MiB"), (-4, "0 KiB")])
def test_what_the_host_asks_for_is_told_and_never_as_less_than_nothing(
    asked_kib: int, told: str
) -> None:
    assert shrunk(asked_kib, 4).sentence.startswith(f"The host asks for {told};")
    held = asked_for(0, own_kib=HAS)._replace(target_kib=asked_kib, aim_kib=asked_kib)
    decision = guard.hold(held)
    assert decision is not None
    assert decision.sentence.startswith(f"The host asks for {told};")
    written = reflex(History(hold_kib=HAS, current_kib=HAS), asked_kib, NOW_S)
    assert written is not None
    assert written.sentence.startswith(f"The kernel was told to go to {told};")


def test_while_the_host_goes_on_asking_a_step_is_worth_it_from_16_mib() -> None:
    asks = NO_ASKS.another(NOW_S - 1, 0)
    air_kib = asks.air_kib(NOW_S) // 4 * 4
    assert air_kib > 0
    assert shrunk(0, air_kib + 16 * MIB, asks=asks).target_kib == FLOOR + air_kib
    held = shrunk(0, air_kib + 16 * MIB - 4, asks=asks)
    assert held.reason == "held-at-floor"
    assert "is not yet made smaller" in held.sentence


@pytest.mark.parametrize(
    ("above_kib", "step_kib"),
    [(16 * MIB, 16 * MIB), (32 * MIB, 16 * MIB), (33 * MIB, 16.5 * MIB), (64 * MIB, 32 * MIB)],
)
def test_a_step_is_half_of_the_room_and_16_mib_at_least(above_kib: int, step_kib: float) -> None:
    assert shrunk(0, above_kib).target_kib == FLOOR + above_kib - step_kib


def test_no_new_step_is_taken_while_one_is_under_way() -> None:
    for own_kib, reason in (
        (FLOOR, "guard-shrinks"),
        (FLOOR + 4, "guard-shrinks"),
        (FLOOR - 4, "guard-step"),
    ):
        seen = asked_for(0, own_kib=own_kib)._replace(target_kib=own_kib)
        decision = guard.guarded_shrink(seen)
        assert decision is not None
        assert decision.reason == reason


def test_a_guest_that_was_held_where_it_is_takes_the_next_step_when_there_is_room() -> None:
    decision = guard.guarded_shrink(asked_for(0, own_kib=HAS))
    assert decision is not None
    assert decision.target_kib == HAS - (HAS - FLOOR) // 2


def test_a_target_held_above_what_a_guest_has_stays_while_it_needs_all_it_has() -> None:
    own_kib = HAS + 4 * MIB
    held = asked_for(0, own_kib=own_kib)._replace(target_kib=own_kib, floor_kib=HAS)
    decision = guard.guarded_shrink(held)
    assert decision is not None
    assert decision.reason == "held-at-floor"


def test_what_the_kernel_aims_at_already_is_not_written_again() -> None:
    asked_kib = HAS - 8 * MIB
    decision = guard.guarded_shrink(asked_for(asked_kib)._replace(target_kib=asked_kib))
    assert decision is not None
    assert (decision.action, decision.reason) == ("none", "guard-shrinks")


def test_a_driver_that_gave_up_on_the_way_to_the_floor_is_woken() -> None:
    stopped = {"target_kib": FLOOR, "motion": "still"}
    seen = looked(GUARD, history={"own_kib": FLOOR}, host={"target_kib": 0}, balloon=stopped)
    decision = guard.guarded_shrink(seen)
    assert decision is not None
    assert (decision.reason, decision.look_again_s) == ("driver-gave-up", NOW_S + 2)


# ---- self: 1 GiB is allowed, of which a quarter is to stay available

RESERVE: Final = 256 * MIB


def of_own_mind(available_kib: int = 380268, use: Use = NOTHING_SEEN, **more: Any) -> View:
    history = {"use": use, **more.pop("history", {})}
    host = {"target_kib": GIB}
    memory = {"available_kib": available_kib}
    return looked(SELF, history=history, host=host, memory=memory, **more)


GOAL: Final = HAS - 380268 + RESERVE


def test_what_is_needed_is_what_is_in_use_and_the_reserve_or_the_peak_and_half_of_it() -> None:
    assert self_balloon.reserve_kib(of_own_mind()) == RESERVE
    assert self_balloon.goal_kib(of_own_mind()) == GOAL
    peak = Use(peak_kib=400 * MIB)
    assert self_balloon.goal_kib(of_own_mind(use=peak)) == 400 * MIB + RESERVE // 2
    assert self_balloon.goal_kib(of_own_mind(available_kib=380267)) == GOAL + 4, "whole pages"


@pytest.mark.parametrize(
    ("available_kib", "lost_us", "avg10", "urgent"),
    [
        (RESERVE - 1, 40_000, 0.0, True),
        (RESERVE, 40_000, 0.0, False),
        (RESERVE - 1, 39_999, 0.0, False),
        (RESERVE - 1, 0, 5.0, True),
        (RESERVE - 1, 0, 4.99, False),
    ],
)
def test_it_is_urgent_where_programs_wait_and_the_reserve_is_not_whole(
    available_kib: int, lost_us: int, avg10: float, urgent: bool
) -> None:
    pressure = CALM._replace(some_avg10=avg10)
    seen = of_own_mind(available_kib, Use(lost_us=lost_us), pressure=pressure)
    assert self_balloon.is_urgent(seen) is urgent


def test_half_of_the_reserve_is_enough_to_be_at_ease_and_one_percent_of_waiting_is_not() -> None:
    assert not self_balloon.is_tight(of_own_mind(RESERVE // 2))
    assert self_balloon.is_tight(of_own_mind(RESERVE // 2 - 1))
    assert self_balloon.is_calm(of_own_mind(RESERVE // 2))
    assert not self_balloon.is_calm(of_own_mind(RESERVE // 2 - 1))
    for avg60, calm in ((0.99, True), (1.0, False)):
        seen = of_own_mind(pressure=CALM._replace(some_avg60=avg60))
        assert self_balloon.is_calm(seen) is calm


@pytest.mark.parametrize(
    ("kept_kib", "resumed_kib"),
    [(GOAL - 4, None), (GOAL, HAS), (GIB - 4, GIB - 4), (GIB, None)],
)
def test_what_it_kept_is_enough_again_while_that_is_what_it_needs(
    kept_kib: int, resumed_kib: int | None
) -> None:
    seen = of_own_mind(balloon={"target_kib": GIB}, history={"kept_kib": kept_kib})
    decision = self_balloon.resume(seen)
    assert (decision and decision.target_kib) == resumed_kib
    assert self_balloon.resume(seen._replace(current_kib=GIB)) is None, "it has all of it"


def test_more_is_taken_from_32_mib_on_and_by_the_page_where_it_is_tight() -> None:
    def takes(target_kib: int, available_kib: int = 380268) -> int | None:
        decision = self_balloon.take_back(
            of_own_mind(available_kib)._replace(target_kib=target_kib)
        )
        return decision and decision.target_kib

    assert takes(GOAL - 32 * MIB) == GOAL
    assert takes(GOAL - 32 * MIB + 4) is None
    tight_kib = HAS - (RESERVE // 2 - 4) + RESERVE
    assert takes(tight_kib - 4, RESERVE // 2 - 4) == tight_kib
    assert takes(tight_kib, RESERVE // 2 - 4) is None


def test_where_it_is_tight_it_grows_by_an_eighth_and_32_mib_at_least() -> None:
    for has_kib, grown_kib in ((HAS, HAS + HAS // 8), (200 * MIB, 232 * MIB)):
        small = PolicySettings(mode="self", self_reserve_percent=0, self_reserve_kib=40 * MIB)
        seen = of_own_mind(20 * MIB - 4)._replace(
            settings=small, current_kib=has_kib, target_kib=100 * MIB, floor_kib=0
        )
        decision = self_balloon.take_back(seen)
        assert decision is not None
        assert decision.target_kib == grown_kib


def gives(surplus_kib: int, calm_s: float = 60.0, gave_s_ago: float = 10.0) -> int | None:
    """How much of it a guest gives that has been calm for so long."""
    history = {"calm_since_s": NOW_S - calm_s, "gave_s": NOW_S - gave_s_ago}
    seen = of_own_mind(history=history)._replace(target_kib=GOAL + surplus_kib)
    decision = self_balloon.give_back(seen)
    if decision is None:
        return None
    assert decision.target_kib is not None
    return seen.target_kib - decision.target_kib


def test_what_is_beyond_32_mib_is_given_back_after_a_calm_minute_an_eighth_at_a_time() -> None:
    assert gives(32 * MIB) is None
    assert gives(32 * MIB + 4) == 16 * MIB
    assert gives(128 * MIB + 32) == 16 * MIB + 4
    assert gives(256 * MIB) == 32 * MIB
    assert gives(256 * MIB, calm_s=59.9) is None
    assert gives(256 * MIB, gave_s_ago=9.9) is None


def test_at_its_own_target_below_the_hosts_it_stays_and_looks_by_how_fast_its_use_grows() -> None:
    def looks_s(grew_kib_s: float, available_kib: int = 380268) -> float | None:
        seen = of_own_mind(available_kib, Use(grew_kib_s=grew_kib_s), history={"own_kib": HAS})
        decision = self_balloon.stay(seen)
        assert decision is not None
        assert decision.reason == "self-stays"
        assert decision.look_again_s is not None
        return decision.look_again_s - NOW_S

    room_kib = 380268 - RESERVE // 2
    assert looks_s(0.0) == 10
    assert looks_s(room_kib / 8) == pytest.approx(4)
    assert looks_s(room_kib / 100) == 10
    assert looks_s(room_kib * 100.0) == 0.5
    assert looks_s(1.0, RESERVE // 2) == 0.5


def test_a_guest_that_has_just_what_the_host_allows_stays_there() -> None:
    at_it = looked(SELF, history={"own_kib": HAS})
    assert self_balloon.stay(at_it) is not None
    assert self_balloon.stay(at_it._replace(aim_kib=HAS - 4)) is None


# ---- what is remembered


@pytest.mark.parametrize(("off_kib", "at_it"), [(-8, False), (-4, True), (4, True), (8, False)])
def test_a_page_off_is_at_the_target(off_kib: int, at_it: bool) -> None:
    assert is_at(HAS + off_kib, HAS) is at_it
    assert not is_at(None, HAS)


def test_what_was_held_is_forgotten_where_the_host_lets_the_guest_have_what_it_has() -> None:
    history = EMPTY._replace(own_kib=HAS, wrote_kib=HAS, target_kib=HAS, current_kib=HAS)
    for current_kib, own_kib in ((HAS, None), (HAS + 8, HAS)):
        guest = a_pv_guest(balloon={"current_kib": current_kib, "target_kib": HAS})
        assert noticed(history, understand(guest), NOW_S, asked=False).own_kib == own_kib


def test_only_to_ask_for_less_than_the_guest_has_is_an_ask() -> None:
    for host_kib, many in ((HAS - 4, 1), (HAS, 0), (HAS + 4, 0)):
        guest = a_pv_guest(host={"target_kib": host_kib})
        seen = noticed(EMPTY, understand(guest), NOW_S, asked=True)
        assert (seen.asks.many, seen.asks_less) == (many, many == 1)


def test_the_agents_own_target_is_no_ask_of_the_hosts() -> None:
    own_kib = 400 * MIB
    history = EMPTY._replace(own_kib=own_kib, target_kib=HAS, current_kib=HAS, host_kib=0)
    for target_kib, many in ((own_kib, 0), (own_kib - 4, 1)):
        guest = a_pv_guest(balloon={"target_kib": target_kib}, host={"target_kib": 0})
        seen = noticed(history, understand(guest), NOW_S, asked=False)
        assert seen.asks.many == many


def test_what_an_ask_costs_is_told_by_a_guest_that_is_held_above_it() -> None:
    own_kib, usual_kib = HAS + 8 * MIB, NO_ASKS.cost_kib
    history = EMPTY._replace(own_kib=own_kib, target_kib=HAS, current_kib=HAS)
    for host_kib, cost_kib in ((own_kib - 4, 8 * MIB), (own_kib, usual_kib)):
        situation = understand(a_pv_guest(host={"target_kib": host_kib}))
        known = history._replace(host_kib=host_kib)
        assert noticed(known, situation, NOW_S, asked=False).asks.cost_kib == cost_kib


@pytest.mark.parametrize(
    ("changes", "learned_kib"),
    [
        ({}, 388),
        ({"host": {"target_kib": 600 * MIB}}, None),  # the kernel has not settled there
        ({"balloon": {"current_kib": 523000}}, None),
        ({"host": {"static_max_kib": 2 * GIB}}, None),  # which was rewritten: one source alone
        ({"host": {"target_kib": 600 * MIB}, "boot_record": RECORD}, 388),
        ({"host": {"static_max_kib": None}}, None),
    ],
)
def test_the_offset_is_learned_where_static_max_and_the_kernel_agree_or_the_boot_was_recorded(
    changes: dict[str, Any], learned_kib: int | None
) -> None:
    seen = noticed(EMPTY, understand(a_pvh_guest(**changes)), NOW_S, asked=False)
    assert seen.offset_kib == learned_kib


@pytest.mark.parametrize(
    ("host", "known_kib", "asked", "begins_anew"),
    [
        ({"target_kib": HAS}, HAS, False, False),
        ({"target_kib": HAS}, HAS, True, True),
        ({"target_kib": HAS + 4}, HAS, False, True),
        ({"target_kib": None}, HAS, False, False),
    ],
)
def test_a_target_of_the_hosts_counts_from_when_it_was_written_or_became_another(
    host: dict[str, Any], known_kib: int, asked: bool, begins_anew: bool
) -> None:
    history = EMPTY._replace(host_kib=known_kib, host_since_s=5.0, target_kib=HAS, rewrites=3)
    seen = noticed(history, understand(a_pv_guest(host=host)), NOW_S, asked=asked)
    assert (seen.host_since_s == NOW_S) is begins_anew
    assert (seen.rewrites == 0) is begins_anew
    assert seen.host_kib == (host["target_kib"] or known_kib)


@pytest.mark.parametrize(
    ("host", "asks_less"),
    [
        ({"target_kib": HAS}, False),
        ({"target_kib": HAS - 4}, True),
        ({"target_kib": None}, True),  # it cannot be told
        ({"target_kib": None, "target_text": "'lots'"}, True),
    ],
)
def test_a_host_of_which_nothing_is_known_may_ask_for_less(
    host: dict[str, Any], asks_less: bool
) -> None:
    history = EMPTY._replace(host_kib=HAS, target_kib=HAS)
    seen = noticed(history, understand(a_pv_guest(host=host)), NOW_S, asked=False)
    assert seen.asks_less is asks_less


def test_blocks_that_did_not_come_online_are_tried_again_after_a_minute() -> None:
    situation = understand(a_pv_guest())
    history = EMPTY._replace(tried_blocks=frozenset({8}), tried_since_s=NOW_S - 60)
    assert noticed(history, situation, NOW_S, asked=False).tried_blocks == frozenset()
    assert noticed(history, situation, NOW_S - 0.1, asked=False).tried_blocks == {8}


def test_a_refused_write_is_tried_again_after_a_millisecond_then_twice_as_long_up_to_30_s() -> None:
    for refusals, delay_s in ((0, 0.001), (1, 0.002), (10, 1.024), (14, 16.384), (15, 30.0)):
        history = refused(EMPTY._replace(refusals=refusals), 0.0)
        assert history.retry_s == pytest.approx(delay_s)
        assert history.refusals == refusals + 1


@pytest.mark.parametrize(
    ("after_s", "many"), [(-1.0, 1), (0.0, 3), (0.059, 3), (0.06, 4), (299.9, 4), (300.0, 1)]
)
def test_asks_are_one_within_60_ms_and_begin_anew_after_five_minutes(
    after_s: float, many: int
) -> None:
    asks = NO_ASKS._replace(at_s=0.0, gap_s=10.0, many=3)
    assert asks.another(after_s, 0).many == many


def test_a_single_ask_is_forgotten_after_a_minute() -> None:
    asks = NO_ASKS.another(0.0, 0)
    assert asks.air_kib(30.0) == 2 * asks.cost_kib, "another in 30 s, and one more after that"
    assert asks.air_kib(59.0) > 0
    assert asks.air_kib(60.0) == 0


def test_a_peak_counts_for_one_to_two_spans() -> None:
    use = Use(seen_s=100.0, in_use_kib=8, peak_kib=900 * MIB, peak_since_s=100.0)
    now = understand(a_pv_guest())
    in_use_kib = HAS - 380268

    def after(elapsed_s: float) -> tuple[int, int]:
        found = seen_use(use, now, 100.0 + elapsed_s, 60.0)
        return found.peak_kib, found.peak_before_kib

    assert after(59.0) == (900 * MIB, 0)
    assert after(60.0) == (in_use_kib, 900 * MIB)
    assert after(119.0) == (in_use_kib, 900 * MIB)
    assert after(120.0) == (in_use_kib, 0)


def test_two_looks_at_one_moment_forget_no_peak() -> None:
    use = Use(seen_s=100.0, in_use_kib=8, peak_kib=900 * MIB, peak_since_s=100.0)
    assert seen_use(use, understand(a_pv_guest()), 100.0, 60.0) == use


@pytest.mark.parametrize(("elapsed_s", "counts"), [(0.1, True), (0.09, False)])
def test_how_fast_use_grows_is_not_told_from_two_looks_at_once(
    elapsed_s: float, counts: bool
) -> None:
    use = Use(seen_s=0.0)
    found = seen_use(use, understand(a_pv_guest()), elapsed_s, 60.0)
    assert (found.seen_s == elapsed_s) is counts
    assert (found.grew_kib_s > 0) is counts


def test_a_reflex_is_tried_again_when_that_is_due() -> None:
    history = History(hold_kib=HAS, current_kib=HAS, retry_s=20.0)
    assert reflex(history, HAS - 4, 19.9) is None
    assert reflex(history, HAS - 4, 20.0) is not None
    assert reflex(history, HAS, 20.0) is None


# ---- when the kernel's target is read, and what is admitted


@pytest.mark.parametrize(
    ("now_s", "followed", "after_s"),
    [
        (0.09, True, 0.001),
        (0.1, True, None),
        (0.1, False, 0.01),
        (1.99, False, 0.01),
        (2.0, False, None),
    ],
)
def test_the_kernels_target_is_read_closely_for_a_moment_after_an_ask(
    now_s: float, followed: bool, after_s: float | None
) -> None:
    history = History(hold_kib=HAS, host_since_s=0.0, followed=followed)
    found_s = next_peek_s(history, now_s)
    assert (found_s and found_s - now_s) == (after_s and pytest.approx(after_s))


def test_after_a_refusal_it_is_read_only_while_it_is_below_what_holds() -> None:
    refuses = History(hold_kib=HAS, refusals=1, retry_s=20.0, followed=True)
    assert next_peek_s(refuses._replace(target_kib=HAS - 4), 10.0) == 20.0
    assert next_peek_s(refuses._replace(target_kib=HAS), 10.0) is None


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        ({"wrote_s": NOW_S - 1.0}, "target-ignored"),
        ({"wrote_s": NOW_S - 0.9}, "cooldown"),
        ({"retry_s": NOW_S}, "target-ignored"),
        ({"retry_s": NOW_S + 0.1}, "refused-before"),
    ],
)
def test_a_write_is_due_a_second_after_the_last_or_when_a_refused_one_is_tried_again(
    history: dict[str, Any], reason: str
) -> None:
    host_kib = 600 * MIB
    known: dict[str, Any] = {
        "host_kib": host_kib,
        "host_since_s": 0.0,
        "target_kib": HAS,
        "current_kib": HAS,
    }
    situation = understand(a_pv_guest(host={"target_kib": host_kib}))
    decision, _ = decide(situation, EMPTY._replace(**known, **history), FOLLOW, NOW_S)
    assert decision.reason == reason
    if decision.action == "none":
        due_s = max(history.get("wrote_s", 0.0) + 1.0, history.get("retry_s", 0.0))
        assert decision.look_again_s == due_s


@pytest.mark.parametrize(
    ("host_kib", "reason"),
    [
        (FLOOR, "target-ignored"),
        (FLOOR - 4, "below-floor"),
        (GIB, "target-ignored"),
        (GIB + 4, "beyond-static-max"),
    ],
)
def test_the_floor_and_the_maximum_themselves_may_be_written(host_kib: int, reason: str) -> None:
    history = EMPTY._replace(
        host_kib=host_kib, host_since_s=0.0, target_kib=HAS, target_since_s=0.0, current_kib=HAS
    )
    situation = understand(a_pv_guest(host={"target_kib": host_kib}))
    assert decide(situation, history, FOLLOW, NOW_S)[0].reason == reason


def test_to_hold_a_guest_where_it_is_waits_for_no_cooldown() -> None:
    history = EMPTY._replace(
        host_kib=0, host_since_s=NOW_S, own_kib=HAS, wrote_kib=HAS, wrote_s=NOW_S - 0.1,
        target_kib=HAS, current_kib=HAS,
    )  # fmt: skip
    guest = a_pv_guest(balloon={"target_kib": HAS - 4 * MIB}, host={"target_kib": 0})
    decision, _ = decide(understand(guest), history, GUARD, NOW_S)
    assert (decision.reason, decision.target_kib) == ("guard-held", HAS)


def test_dom0_is_looked_at_until_the_kernel_should_have_followed() -> None:
    situation = understand(a_dom0())
    for since_s, looks in ((NOW_S - FOLLOW.grace_s, False), (NOW_S - 1.9, True)):
        history = EMPTY._replace(host_since_s=since_s, target_kib=GIB, current_kib=GIB)
        decision, _ = decide(situation, history, FOLLOW, NOW_S)
        assert decision.reason == "dom0"
        assert (decision.look_again_s is not None) is looks
