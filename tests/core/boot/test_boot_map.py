# SPDX-License-Identifier: GPL-2.0-or-later
"""The map that a guest boots with, at the sizes where a range of it begins or ends."""

from __future__ import annotations

from typing import get_args

import pytest

from agent.core.boot.map import GuestShape, build_map, reachable_pages
from agent.core.facts.kernel_regimes import Clamp
from agent.core.facts.memory_map import SYSTEM_RAM, memory_map
from agent.core.facts.snapshot import DomainType

MIB = 1024
GIB = 1024 * MIB

# Where RAM just reaches the hole for devices, one page less and more, and where there is none.
HOLES_KIB = (0xBFFDD000 >> 10, 0xFC000000 >> 10, 4 * GIB - 256 * MIB)
SIZES_KIB = (
    *(2 * MIB, GIB, 4 * GIB, 6 * GIB),
    *(hole_kib + more_kib for hole_kib in HOLES_KIB for more_kib in (-4, 0, 4)),
)


@pytest.mark.parametrize("e820_host", [False, True])
@pytest.mark.parametrize("size_kib", SIZES_KIB)
@pytest.mark.parametrize("domain_type", get_args(DomainType))
def test_no_range_is_empty_or_lies_in_another(
    domain_type: DomainType, size_kib: int, e820_host: bool
) -> None:
    shape = GuestShape(domain_type, size_kib, size_kib, e820_host=e820_host)
    regions = build_map(shape, "extra-10x")
    assert all(region.size_bytes > 0 for region in regions)
    assert not memory_map(regions).oddities


@pytest.mark.parametrize("released_pages", [1, 1000])
def test_a_hole_that_swallowed_boot_pages_moves_as_much_ram_behind_it(released_pages: int) -> None:
    shape = GuestShape("pv", 512 * MIB, GIB, released_pages=released_pages)
    mapped = memory_map(build_map(shape, "extra-10x"))
    whole = memory_map(build_map(shape._replace(released_pages=0), "extra-10x"))
    assert mapped.ram_pages == whole.ram_pages
    assert mapped.top == whole.top + released_pages * 4096
    assert not mapped.oddities


@pytest.mark.parametrize("size_kib", SIZES_KIB)
@pytest.mark.parametrize("domain_type", ["pvh", "hvm"])
def test_what_lies_above_4_gib_is_what_the_hole_took_below(
    domain_type: DomainType, size_kib: int
) -> None:
    hole_kib = {"pvh": 64 * MIB, "hvm": 256 * MIB}[domain_type]
    regions = build_map(GuestShape(domain_type, size_kib, size_kib), "extra-10x")
    above = [r for r in regions if r.kind == SYSTEM_RAM and r.start >= 1 << 32]
    moved_kib = max(0, size_kib - (4 * GIB - hole_kib))
    assert sum(region.size_bytes for region in above) == moved_kib * 1024


@pytest.mark.parametrize(
    ("clamp", "domain_type", "reach_mib"),
    [
        ("map-10x", "pv", 2560),
        ("extra-10x", "pv", 2816),
        ("max-reservation", "pv", 257),
        ("max-reservation", "dom0-pv", 2560),
        ("map-10x", "pvh", 8192),
        ("max-reservation", "hvm", 8192),
    ],
)
def test_how_far_linux_lets_the_map_reach(
    clamp: Clamp, domain_type: DomainType, reach_mib: int
) -> None:
    shape = GuestShape(domain_type, 256 * MIB, 8192 * MIB)
    assert reachable_pages(shape, clamp) == reach_mib * 256
