# SPDX-License-Identifier: GPL-2.0-or-later
"""When the agent looks again where no event tells, and what it makes of how a host asks."""

from __future__ import annotations

import pytest

from agent.core.account.situation import understand
from agent.core.policy.asks import NO_ASKS
from agent.core.policy.decision import nothing
from agent.core.policy.history import History, wanted_kib
from agent.core.policy.looks import next_look_s
from agent.core.policy.settings import PolicySettings
from tests.support.snapshots import a_pv_guest

FOLLOW = PolicySettings(mode="follow")
GUARD = PolicySettings(mode="guard")
OWN = History(own_kib=4096)
ASKED = History(asks=NO_ASKS.another(94.01, 0))
ASKED_BEFORE = History(asks=NO_ASKS.another(94.0, 0))


@pytest.mark.parametrize(
    ("wish_s", "history", "settings", "stalls", "has_trigger", "look_s"),
    [
        (None, History(), FOLLOW, False, True, None),
        (105.0, History(), FOLLOW, False, True, 105.0),
        (None, History(), FOLLOW, True, True, 110.0),
        (105.0, History(), FOLLOW, True, True, 105.0),
        (130.0, History(), FOLLOW, True, True, 110.0),
        (None, OWN, GUARD, False, False, 110.0),
        (None, OWN, GUARD, False, True, None),
        (None, OWN, FOLLOW, False, False, None),
        (None, History(), GUARD, False, False, None),
        (None, ASKED, FOLLOW, False, True, 100.5),
        (None, ASKED_BEFORE, FOLLOW, False, True, None),
        (None, ASKED, GUARD, False, True, None),
    ],
)
def test_it_looks_again_when_it_wishes_or_where_no_event_will_tell(
    *,
    wish_s: float | None,
    history: History,
    settings: PolicySettings,
    stalls: bool,
    has_trigger: bool,
    look_s: float | None,
) -> None:
    decision = nothing("settled", "As the host wants it.", look_again_s=wish_s)
    found_s = next_look_s(
        decision, history, settings, 100.0, stalls=stalls, has_trigger=has_trigger
    )
    assert found_s == look_s


@pytest.mark.parametrize(("page_kib", "wanted"), [(4, 400008), (16, 400000), (64, 400000)])
def test_a_target_is_wanted_in_the_kernels_own_pages(page_kib: int, wanted: int) -> None:
    guest = a_pv_guest(domain={"page_kib": page_kib}, host={"target_kib": 400011})
    assert wanted_kib(understand(guest), History()) == wanted


def test_where_the_target_is_no_number_the_last_one_counts() -> None:
    guest = a_pv_guest(host={"target_kib": None, "target_text": "'lots'"})
    assert wanted_kib(understand(guest), History(host_kib=524288)) == 524288
    assert wanted_kib(understand(guest), History()) is None


@pytest.mark.parametrize(("asks", "after_s", "times"), [(10, 0.06, 30), (10, 30, 15), (40, 30, 30)])
def test_who_has_asked_often_may_ask_thrice_as_often_again_less_so_with_each_second(
    asks: int, after_s: float, times: int
) -> None:
    """One ask a minute: five more in five minutes is the least there is to be expected."""
    seen = NO_ASKS
    for number in range(asks):
        seen = seen.another(1000.0 + 60.0 * number, 0)
    last_s = 1000.0 + 60.0 * (asks - 1)
    assert seen.air_kib(last_s + after_s) == pytest.approx(times * seen.cost_kib, rel=0.01)
    assert seen.air_kib(last_s + 60) == 5 * seen.cost_kib
