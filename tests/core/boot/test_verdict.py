# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a guest comes up with what Linux leaves it, at the edges of each answer."""

from __future__ import annotations

import pytest

from agent.core.boot.verdict import (
    MEM_TOTAL_NO_KIB,
    MEM_TOTAL_RISKY_KIB,
    boot_verdict,
    low_memory_kib,
)

MIB = 1024
GIB = 1024 * MIB


@pytest.mark.parametrize(
    ("mem_total_kib", "boots"),
    [
        (MEM_TOTAL_RISKY_KIB, "yes"),
        (MEM_TOTAL_RISKY_KIB - 1, "risky"),
        (MEM_TOTAL_NO_KIB, "risky"),
        (MEM_TOTAL_NO_KIB - 1, "no"),
        (-5, "no"),
    ],
)
def test_what_is_left_decides(mem_total_kib: int, boots: str) -> None:
    verdict = boot_verdict(GIB, GIB - mem_total_kib, mem_total_kib)
    assert verdict.boots == boots
    assert verdict.code == (None if boots == "yes" else "memory-too-small")


@pytest.mark.parametrize(("kib", "words"), [(0, "nothing"), (-4, "nothing"), (4, "4 KiB")])
def test_what_is_left_is_never_told_as_less_than_nothing(kib: int, words: str) -> None:
    assert boot_verdict(GIB, GIB - kib, kib).reason == f"{words} would be left for programs"


@pytest.mark.parametrize("is_pv", [True, False])
@pytest.mark.parametrize("memory_kib", [4 * GIB, 512 * MIB])
def test_the_tables_of_32_bits_must_fit_into_low_memory(is_pv: bool, memory_kib: int) -> None:
    most_kib = min(memory_kib, low_memory_kib(is_pv=is_pv)) - MEM_TOTAL_NO_KIB
    for overhead_kib, boots in ((most_kib, True), (most_kib + 1, False)):
        left_kib = memory_kib - overhead_kib
        verdict = boot_verdict(memory_kib, overhead_kib, left_kib, bits=32, is_pv=is_pv)
        assert (verdict.code != "low-memory-32bit") is boots
    assert low_memory_kib(is_pv=True) < low_memory_kib(is_pv=False)
