# SPDX-License-Identifier: GPL-2.0-or-later
"""Which rules a kernel goes by: those of the newest regime that began before it, or with it."""

from __future__ import annotations

import pytest

from agent.core.facts.kernel_regimes import REGIMES, UNKNOWN, Regime, regime_of
from agent.core.facts.kernel_release import KernelRelease


@pytest.mark.parametrize("regime", REGIMES, ids=lambda regime: str(regime.since))
def test_a_regime_begins_with_its_first_release(regime: Regime) -> None:
    assert regime_of(regime.since) is regime
    assert regime_of(regime.since._replace(patch=regime.since.patch + 1)) is regime


@pytest.mark.parametrize(
    ("old", "new"), zip(REGIMES, REGIMES[1:]), ids=lambda regime: str(regime.since)
)
def test_until_then_the_one_before_it_holds(old: Regime, new: Regime) -> None:
    assert old.since < new.since
    since = new.since
    last = KernelRelease(since.major, since.minor - 1, 999)
    if since.minor == 0:
        last = KernelRelease(since.major - 1, 999, 999)
    if since.patch:
        last = since._replace(patch=since.patch - 1)
    assert regime_of(last) is old


def test_before_the_first_the_first_holds_and_of_no_release_the_newest_is_assumed() -> None:
    assert regime_of(KernelRelease(2, 6, 5)) is REGIMES[0]
    assert regime_of(None) is UNKNOWN


def test_who_gets_the_memory_beyond_nr_pages_changed_with_these_releases() -> None:
    changed = [(str(r.since), r.extra_memory) for r in REGIMES if r.since >= (5, 9)]
    assert changed == [
        ("5.9.0", "unpopulated-alloc"),
        ("5.10.0", "unpopulated-alloc"),
        ("5.15.0", "either"),
        ("5.18.0", "balloon"),
        ("6.2.0", "either"),
        ("6.9.0", "unpopulated-alloc"),
    ]
    older = [str(r.since) for r in REGIMES if r.since < (5, 9)]
    assert older == ["2.6.26", "3.1.0", "3.2.0", "3.13.0", "4.13.0"]
