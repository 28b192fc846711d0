# SPDX-License-Identifier: GPL-2.0-or-later
"""Release numbers, and the table of what holds since which release."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.facts.kernel_regimes import REGIMES, UNKNOWN, regime_of
from agent.core.facts.kernel_release import KernelRelease, parse_kernel_release


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("6.1.0-56-amd64", KernelRelease(6, 1, 0)),
        ("6.12.107+deb13-amd64", KernelRelease(6, 12, 107)),
        ("2.6.32-5-xen-amd64", KernelRelease(2, 6, 32)),
        ("4.4.0-21-generic\n", KernelRelease(4, 4, 0)),
        ("7.2", KernelRelease(7, 2, 0)),
        ("5.10.223", KernelRelease(5, 10, 223)),
    ],
)
def test_a_release_begins_with_its_numbers(text: str, release: KernelRelease) -> None:
    assert parse_kernel_release(text) == release


@pytest.mark.parametrize("text", ["", "6", "linux 6.1", "v6.1", "٦.1", "-6.1"])
def test_what_does_not_begin_with_numbers_is_no_release(text: str) -> None:
    assert parse_kernel_release(text) is None


@given(st.text(max_size=40))
def test_any_text_is_a_release_or_none(text: str) -> None:
    assert isinstance(parse_kernel_release(text), (KernelRelease, type(None)))


def test_releases_compare_as_numbers_and_not_as_text() -> None:
    assert KernelRelease(5, 9) < KernelRelease(5, 10) < KernelRelease(6, 1)
    assert str(KernelRelease(5, 10, 223)) == "5.10.223"


def test_the_table_ascends_and_every_entry_names_its_source() -> None:
    since = [regime.since for regime in REGIMES]
    assert since == sorted(set(since))
    assert all(regime.source for regime in REGIMES)


@pytest.mark.parametrize(
    ("release", "holder", "target_diff", "gives_up"),
    [
        ((2, 6, 18), "balloon", False, False),
        ((2, 6, 32), "balloon", False, False),
        ((3, 16), "balloon", False, False),
        ((4, 12), "balloon", False, False),
        ((4, 13), "balloon", True, False),
        ((5, 4), "balloon", True, False),
        ((5, 9), "unpopulated-alloc", True, False),
        ((5, 10, 223), "unpopulated-alloc", True, True),
        ((5, 15), "either", True, True),
        ((6, 1, 192), "balloon", True, True),
        ((6, 6), "either", True, True),
        ((6, 12, 107), "unpopulated-alloc", True, True),
        ((7, 2, 13), "unpopulated-alloc", True, True),
    ],
)
def test_a_release_belongs_to_the_regime_it_was_seen_or_read_in(
    release: tuple[int, ...], holder: str, target_diff: bool, gives_up: bool
) -> None:
    regime = regime_of(KernelRelease(*release))
    assert (regime.extra_memory, regime.target_diff, regime.gives_up) == (
        holder, target_diff, gives_up,
    )  # fmt: skip


def test_a_kernel_that_does_not_tell_its_release_may_keep_the_extra_memory_anywhere() -> None:
    assert regime_of(None) == UNKNOWN
    assert UNKNOWN.extra_memory == "either"


def test_the_pages_a_driver_starts_from_changed_with_3_2_and_3_13() -> None:
    counted = {
        release: (regime_of(release).initial_count, regime_of(release).current_counts_released)
        for release in (KernelRelease(3, 1), KernelRelease(3, 2), KernelRelease(3, 13))
    }
    assert list(counted.values()) == [
        ("max-pfn", True), ("max-pfn", False), ("physical-pages", False),
    ]  # fmt: skip
