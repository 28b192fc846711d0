# SPDX-License-Identifier: GPL-2.0-or-later
"""What the policy remembers, at the very moments where it begins and ends to count."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.account.situation import understand
from agent.core.policy.asks import LONG_AGO_S, NO_ASKS
from agent.core.policy.decision import Decision
from agent.core.policy.history import (
    EMPTY,
    History,
    Nudge,
    is_at,
    noticed,
    refused,
    remembered,
)
from agent.core.policy.reflex import reacted, reflex
from agent.core.policy.use import Use, seen_use
from tests.core.policy.looked_at import HAS, NOW_S, RECORD
from tests.support.snapshots import (
    GIB,
    MIB,
    a_pv_guest,
    a_pvh_guest,
)


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


TRIED_BEFORE = EMPTY._replace(
    wrote_s=3.0, wrote_kib=HAS, refusals=7, retry_s=9.0, nudge=Nudge(1, 2, 3.0), wakes=2, rewrites=1
)
WRITTEN: dict[str, Any] = {
    "wrote_s": 5.0,
    "wrote_kib": 400,
    "refusals": 0,
    "retry_s": LONG_AGO_S,
    "nudge": None,
}


@pytest.mark.parametrize(
    ("purpose", "before", "changed"),
    [
        ("follow", {"own_kib": 7, "kept_kib": 8, "gave_s": 1.0}, {"own_kib": None}),
        ("insist", {}, {"rewrites": 2}),
        ("guard", {"kept_kib": 8}, {"own_kib": 400}),
        ("give-back", {"own_kib": 7}, {"own_kib": 400, "kept_kib": 400, "gave_s": 5.0}),
        ("take-back", {"gave_s": 1.0}, {"own_kib": 400, "kept_kib": 400}),
        ("reclaim", {"unread_kib": 7}, {"unread_kib": 400}),
        ("reclaim", {}, {}),
        ("follow", {"unread_kib": 7}, {}),
        ("follow", {"hold_kib": 500}, {"hold_kib": 400}),
        ("follow", {"hold_kib": 300}, {}),
    ],
)
def test_a_target_that_was_written_begins_anew_and_is_remembered_by_what_it_was_for(
    purpose: Any, before: dict[str, Any], changed: dict[str, Any]
) -> None:
    history = TRIED_BEFORE._replace(**before)
    decision = Decision("write-target", "settled", "", target_kib=400, purpose=purpose)
    assert remembered(history, decision, 5.0) == history._replace(**WRITTEN, **changed)


@pytest.mark.parametrize(("unread_kib", "then_kib"), [(None, None), (700, 200)])
def test_after_a_reflex_the_kernel_has_been_told_otherwise_just_now(
    unread_kib: int | None, then_kib: int | None
) -> None:
    history = TRIED_BEFORE._replace(
        hold_kib=400, current_kib=500, retry_s=0.0, unread_kib=unread_kib, followed=False
    )
    decision = reflex(history, 200, 5.0)
    assert decision is not None
    told: dict[str, Any] = {
        "target_since_s": 5.0,
        "foreign_s": 5.0,
        "followed": True,
        "unread_kib": then_kib,
    }
    after = history._replace(**WRITTEN, own_kib=400)._replace(**told)
    assert reacted(history, decision, 5.0) == after


@pytest.mark.parametrize(("look_again_s", "due_s"), [(8.0, 8.0), (None, 5.0)])
def test_a_target_that_wakes_the_driver_is_known_with_what_it_is_to_be_moved_back_to(
    look_again_s: float | None, due_s: float
) -> None:
    history = TRIED_BEFORE._replace(own_kib=7)
    decision = Decision(
        "write-target", "waking", "", {}, 400, "wake", (), look_again_s, nudge_to_kib=396
    )
    woken = {**WRITTEN, "nudge": Nudge(400, 396, due_s), "wakes": 3}
    assert remembered(history, decision, 5.0) == history._replace(**woken)


@pytest.mark.parametrize(("target_kib", "waking"), [(HAS - 4, True), (HAS - 8, False)])
def test_a_wake_up_is_over_when_somebody_else_has_set_the_target(
    target_kib: int, waking: bool
) -> None:
    nudge = Nudge(HAS - 4, HAS, NOW_S)
    known: dict[str, Any] = {
        "target_kib": HAS,
        "current_kib": HAS,
        "host_kib": HAS,
        "wrote_kib": HAS - 4,
    }
    history = EMPTY._replace(nudge=nudge, **known)
    situation = understand(a_pv_guest(balloon={"target_kib": target_kib}))
    seen = noticed(history, situation, NOW_S, asked=False)
    assert seen.nudge == (nudge if waking else None)


def test_blocks_that_were_tried_are_added_to_those_before_and_nothing_else_is_another() -> None:
    first = remembered(TRIED_BEFORE, Decision("online-block", "settled", "", blocks=(8,)), 5.0)
    assert first == TRIED_BEFORE._replace(tried_blocks=frozenset({8}), tried_since_s=5.0)
    second = remembered(first, Decision("online-block", "settled", "", blocks=(9,)), 6.0)
    assert second == first._replace(tried_blocks=frozenset({8, 9}))
    assert remembered(second, Decision("none", "settled", ""), 7.0) == second


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
