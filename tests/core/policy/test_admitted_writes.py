# SPDX-License-Identifier: GPL-2.0-or-later
"""When the kernel's target is read, and which writes are admitted, at the very limits."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.account.situation import understand
from agent.core.policy.decide import decide
from agent.core.policy.history import EMPTY, History
from agent.core.policy.reflex import next_peek_s
from agent.core.policy.settings import PolicySettings
from agent.core.policy.view import view
from tests.core.policy.looked_at import FLOOR, FOLLOW, GUARD, HAS, NOW_S
from tests.support.snapshots import (
    GIB,
    MIB,
    a_dom0,
    a_pv_guest,
    a_pvh_guest,
)


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


@pytest.mark.parametrize(("moved_s", "rests"), [(NOW_S - 10, True), (NOW_S - 9.9, False)])
def test_a_driver_domain_that_may_not_be_changed_is_left_in_peace_once_it_has_lent(
    moved_s: float, rests: bool
) -> None:
    known: dict[str, Any] = {
        "host_kib": HAS,
        "host_since_s": 0.0,
        "target_kib": 768 * MIB,
        "current_kib": HAS,
        "moved_s": moved_s,
    }
    lacking = a_pv_guest(balloon={"target_kib": 768 * MIB, "low_kib": 0})
    backend = PolicySettings(driver_domain=True)
    decision, _ = decide(understand(lacking), EMPTY._replace(**known), backend, NOW_S)
    assert decision.reason == "dom0"
    assert (decision.look_again_s is None) is rests


@pytest.mark.parametrize(
    ("balloon", "rests"),
    [
        ({}, True),
        ({"target_kib": 768 * MIB, "motion": "moved"}, False),
        ({"target_kib": 768 * MIB, "motion": "still", "retry_count": 3}, False),
        ({"target_kib": 768 * MIB, "motion": "still", "max_retry_count": 0}, False),
    ],
)
def test_a_dom0_that_may_not_be_changed_is_followed_while_it_moves_or_might(
    balloon: dict[str, Any], rests: bool
) -> None:
    history = EMPTY._replace(host_kib=HAS, host_since_s=0.0, target_kib=HAS, current_kib=HAS)
    guest = a_pv_guest(balloon=balloon)
    decision, _ = decide(understand(guest), history, PolicySettings(driver_domain=True), NOW_S)
    assert decision.reason == "dom0"
    assert (decision.look_again_s is None) is rests


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


@pytest.mark.parametrize(("before_s", "after_s"), [(6.0, 5.0), (20.0, 10.0)])
def test_a_target_below_the_floor_is_looked_at_again_after_5_s_or_half_its_age(
    before_s: float, after_s: float
) -> None:
    since_s, asked_kib = NOW_S - before_s, FLOOR - 4
    history = EMPTY._replace(
        host_kib=asked_kib, host_since_s=since_s, target_kib=HAS, target_since_s=since_s,
        current_kib=HAS,
    )  # fmt: skip
    situation = understand(a_pv_guest(host={"target_kib": asked_kib}))
    decision, _ = decide(situation, history, FOLLOW, NOW_S)
    assert (decision.reason, decision.look_again_s) == ("below-floor", NOW_S + after_s)


@pytest.mark.parametrize(
    ("host_kib", "reason"), [(GIB, "guard-over"), (GIB + 4, "beyond-static-max")]
)
def test_nor_does_a_guard_that_lets_go_write_more_than_the_domain_may_have(
    host_kib: int, reason: str
) -> None:
    history = EMPTY._replace(
        host_kib=host_kib, host_since_s=0.0, own_kib=HAS, target_kib=HAS, current_kib=HAS
    )
    situation = understand(a_pv_guest(host={"target_kib": host_kib}))
    decision, _ = decide(situation, history, GUARD, NOW_S)
    assert decision.reason == reason


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


@pytest.mark.parametrize(("offset_kib", "most_kib"), [(None, None), (388, GIB - 388)])
def test_the_hosts_limit_counts_once_the_kernels_scale_is_known(
    offset_kib: int | None, most_kib: int | None
) -> None:
    """Of a PVH guest; a PV guest's kernel counts as the host does."""
    known = EMPTY._replace(offset_kib=offset_kib)
    pvh = view(understand(a_pvh_guest(host={"static_max_kib": GIB})), known, FOLLOW, NOW_S)
    pv = view(understand(a_pv_guest()), known, FOLLOW, NOW_S)
    assert pvh is not None
    assert pv is not None
    assert (pvh.most_kib, pv.most_kib) == (most_kib, GIB)
