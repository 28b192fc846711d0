# SPDX-License-Identifier: GPL-2.0-or-later
"""When a guest is short of memory: what is available decides, not an average that still decays."""

from __future__ import annotations

import pytest

from agent.core.account.shortage import least_available_kib, shortage
from agent.core.facts.snapshot import MemoryReading
from tests.support.snapshots import CALM, GIB, MIB, STALLED


def memory(available_kib: int, total_kib: int = GIB) -> MemoryReading:
    return MemoryReading(total_kib, available_kib, available_kib)


def test_what_has_to_stay_available_grows_with_the_guest() -> None:
    assert least_available_kib(memory(0, 128 * MIB)) == 8 * MIB
    assert least_available_kib(memory(0, 3300 * MIB)) == 100 * MIB


@pytest.mark.parametrize(("beside_kib", "short"), [(0, "none"), (-1, "short")])
def test_a_calm_guest_is_short_below_that_and_not_before(beside_kib: int, short: str) -> None:
    least_kib = least_available_kib(memory(0))
    assert shortage(memory(least_kib + beside_kib), CALM) == short
    assert shortage(memory(least_kib + beside_kib), None) == short


@pytest.mark.parametrize(("beside_kib", "short"), [(0, "none"), (-1, "stalled")])
def test_a_guest_that_waits_is_short_somewhat_earlier(beside_kib: int, short: str) -> None:
    least_kib = least_available_kib(memory(0))
    assert shortage(memory(3 * least_kib + beside_kib), STALLED) == short


def test_waiting_begins_at_the_percentage_given() -> None:
    waits = CALM._replace(full_avg10=5.0)
    assert shortage(memory(MIB), waits) == "stalled"
    assert shortage(memory(MIB), waits, 5.1) == "short"


def test_without_figures_nothing_is_said() -> None:
    assert shortage(None, STALLED) == "none"
