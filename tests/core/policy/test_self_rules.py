# SPDX-License-Identifier: GPL-2.0-or-later
"""Mode self: each rule at the very figures where its answer changes.

1 GiB is allowed, of which a quarter is to stay available.
"""

from __future__ import annotations

from typing import Any, Final

import pytest

from agent.core.account.shortage import least_available_kib
from agent.core.policy import self_balloon
from agent.core.policy.settings import PolicySettings
from agent.core.policy.use import NOTHING_SEEN, Use
from agent.core.policy.view import View
from tests.core.policy.looked_at import HAS, NOW_S, SELF, looked
from tests.support.snapshots import (
    CALM,
    GIB,
    MIB,
)

RESERVE: Final = 256 * MIB


def of_own_mind(available_kib: int = 380268, use: Use = NOTHING_SEEN, **more: Any) -> View:
    history = {"use": use, **more.pop("history", {})}
    host = {"target_kib": GIB}
    memory = {"available_kib": available_kib}
    return looked(SELF, history=history, host=host, memory=memory, **more)


GOAL: Final = HAS - 380268 + RESERVE


@pytest.mark.parametrize(("allowed_mib", "reserve_mib"), [(200, 64), (256, 64), (260, 65)])
def test_the_reserve_is_a_quarter_and_64_mib_at_least(allowed_mib: int, reserve_mib: int) -> None:
    small = looked(SELF, host={"target_kib": allowed_mib * MIB})
    assert self_balloon.reserve_kib(small) == reserve_mib * MIB


def test_the_reserve_is_of_a_fraction_of_a_percent_as_well() -> None:
    of_1000_mib = looked(SELF._replace(self_reserve_percent=12.5), host={"target_kib": 1000 * MIB})
    assert self_balloon.reserve_kib(of_1000_mib) == 125 * MIB


def test_without_a_target_of_the_hosts_there_is_no_goal() -> None:
    assert self_balloon.goal_kib(looked(SELF, host={"target_kib": None})) is None


def test_a_floor_that_is_configured_above_what_the_guest_has_is_part_of_the_goal() -> None:
    settings = SELF._replace(floor_kib=600 * MIB)
    assert self_balloon.goal_kib(looked(settings, host={"target_kib": GIB})) == 600 * MIB


def test_where_the_host_does_not_tell_what_it_allows_the_reserve_is_a_share_of_what_there_is() -> (
    None
):
    assert self_balloon.reserve_kib(looked(SELF, host={"target_kib": None})) == HAS // 4


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


def test_it_is_urgent_also_where_next_to_nothing_is_available_and_no_program_waits_yet() -> None:
    seen = of_own_mind(pressure=CALM)
    assert seen.snapshot.memory
    least_kib = least_available_kib(seen.snapshot.memory)
    assert self_balloon.is_urgent(of_own_mind(least_kib - 1, pressure=CALM))
    assert not self_balloon.is_urgent(of_own_mind(least_kib, pressure=CALM))


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


@pytest.mark.parametrize(
    ("more_kib", "motion", "reason"),
    [
        (65536, "moved", "self-stays"),
        (65536, "unknown", "unclear"),
        (65536, "still", "driver-gave-up"),
        (-65536, "still", None),
    ],
)
def test_on_its_way_up_to_its_own_target_it_is_not_given_the_hosts(
    more_kib: int, motion: str, reason: str | None
) -> None:
    balloon = {"target_kib": HAS + more_kib, "motion": motion}
    seen = of_own_mind(history={"own_kib": HAS + more_kib}, balloon=balloon)
    stays = self_balloon.stay(seen)
    assert (stays.reason if stays else None) == reason


def test_a_guest_that_has_just_what_the_host_allows_stays_there() -> None:
    at_it = looked(SELF, history={"own_kib": HAS})
    assert self_balloon.stay(at_it) is not None
    assert self_balloon.stay(at_it._replace(aim_kib=HAS - 4)) is None
