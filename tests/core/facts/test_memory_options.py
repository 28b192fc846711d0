# SPDX-License-Identifier: GPL-2.0-or-later
"""What crashkernel= sets aside, at the ends of its ranges."""

from __future__ import annotations

import pytest

from agent.core.facts.memory_options import crash_kernel_kib, crash_low_kib

MIB = 1024
GIB = 1024 * MIB
RANGES = ("crashkernel=1G-4G:192M,4G-64G:256M",)


@pytest.mark.parametrize(
    ("ram_kib", "kib"),
    [
        (GIB - 128 * MIB, 0),
        (GIB - 128 * MIB + 1, 192 * MIB),  # RAM is rounded up to 128 MiB
        (GIB, 192 * MIB),
        (4 * GIB - 128 * MIB, 192 * MIB),
        (4 * GIB, 256 * MIB),
        (64 * GIB - 128 * MIB, 256 * MIB),
        (64 * GIB, 0),
    ],
)
def test_a_range_holds_from_its_start_up_to_its_end(ram_kib: int, kib: int) -> None:
    assert crash_kernel_kib(RANGES, ram_kib) == kib


@pytest.mark.parametrize(
    ("ram_kib", "low_kib"), [(4 * GIB + 512 * MIB, 256 * MIB), (4 * GIB + 512 * MIB - 4, 0)]
)
def test_a_crash_kernel_lies_high_where_it_just_fits_above_4_gib(
    ram_kib: int, low_kib: int
) -> None:
    options = ("crashkernel=512M,high",)
    assert crash_low_kib(options, ram_kib) == low_kib
    assert crash_kernel_kib(options, ram_kib) == 512 * MIB + low_kib
