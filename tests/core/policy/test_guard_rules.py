# SPDX-License-Identifier: GPL-2.0-or-later
"""Mode guard: each rule at the very figures and moments where its answer changes."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.policy import guard
from agent.core.policy.asks import NO_ASKS
from agent.core.policy.history import History, remembered
from agent.core.policy.reflex import reflex
from agent.core.policy.settings import PolicySettings
from agent.core.policy.view import View
from tests.core.policy.looked_at import FLOOR, GUARD, HAS, NOW_S, looked
from tests.support.snapshots import (
    MIB,
)


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
    ("unread_kib", "shrinks"), [(None, False), (HAS, False), (HAS - 4, True), (200, True)]
)
def test_where_the_hosts_target_cannot_be_read_what_the_kernel_made_of_it_counts(
    unread_kib: int | None, shrinks: bool
) -> None:
    seen = looked(GUARD, history={"unread_kib": unread_kib}, host={"target_kib": None})
    assert seen.asked_kib == unread_kib
    decision = guard.guarded_shrink(seen)
    assert (decision is not None) is shrinks
    assert decision is None or decision.numbers["aim_kib"] == unread_kib


def test_a_target_of_the_hosts_that_can_be_read_counts_before_what_the_kernel_made_of_another() -> (
    None
):
    assert asked_for(400 * MIB, unread_kib=200 * MIB).asked_kib == 400 * MIB


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


def test_a_step_is_remembered_as_the_agents_own_unless_it_ends_where_the_host_wants_it() -> None:
    for asked_kib, own_kib in ((0, HAS - (HAS - FLOOR) // 2), (HAS - 8 * MIB, None)):
        seen = asked_for(asked_kib)
        decision = guard.guarded_shrink(seen)
        assert decision is not None
        assert decision.reason == "guard-step"
        assert remembered(seen.history, decision, NOW_S).own_kib == own_kib


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
