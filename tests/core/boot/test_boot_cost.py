# SPDX-License-Identifier: GPL-2.0-or-later
"""The cost of a boot against real kernels of every size, and its edges.

`BOOTS` was read from the logs of Debian's kernels booted with that much memory on an emulated PC,
with no hypervisor: the way an HVM guest boots.  Kept is what the "Memory:" line calls reserved less
what later lines free.  PV and the rest of Xen are in test_plan_against_real_guests.
"""

from __future__ import annotations

import tracemalloc
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.boot.cost import (
    LINUX_5_10,
    LINUX_6_1,
    LINUX_6_12,
    LINUX_7_2,
    BootShape,
    Kernel,
    boot_cost,
    hash_tables_kib,
    kernel_cost,
    section_pages,
    total_kib,
)
from agent.core.facts.kernel_release import KernelRelease
from agent.core.facts.memory_map import MemoryMap, Region, Span, memory_map
from agent.core.facts.units import PAGE_BYTES

MIB = 1 << 20
GIB = 1 << 30
RAM = "System RAM"


class Boot(NamedTuple):
    kernel: Kernel
    memory_mib: int
    kept_kib: int
    cpus: int = 1


BOOTS = (
    Boot(LINUX_6_1, 256, 50868),
    Boot(LINUX_6_1, 1024, 64312),
    Boot(LINUX_6_1, 3072, 101692),
    Boot(LINUX_6_1, 4096, 184388),
    Boot(LINUX_6_1, 6144, 223304),
    Boot(LINUX_6_1, 16384, 399436),
    Boot(LINUX_6_12, 256, 44036),
    Boot(LINUX_6_12, 1024, 57476),
    Boot(LINUX_6_12, 3072, 94860),
    Boot(LINUX_6_12, 4096, 177552),
    Boot(LINUX_6_12, 6144, 216464),
    Boot(LINUX_6_12, 16384, 392604),
    Boot(LINUX_5_10, 1024, 60352),
    Boot(LINUX_5_10, 6144, 218956),
    Boot(LINUX_5_10, 16384, 395112),
    Boot(LINUX_7_2, 1024, 61720),
    Boot(LINUX_7_2, 6144, 220712),
    Boot(LINUX_7_2, 16384, 396852),
    Boot(LINUX_5_10, 1024, 61108, cpus=4),
    Boot(LINUX_6_1, 1024, 65056, cpus=4),
    Boot(LINUX_6_1, 1024, 68036, cpus=16),
    Boot(LINUX_6_12, 1024, 58268, cpus=4),
    Boot(LINUX_7_2, 1024, 62476, cpus=4),
)


def pc(memory_mib: int) -> MemoryMap:
    """The map of an emulated PC: 3 GiB at most below 4 GiB, 128 KiB at their end reserved."""
    low = min(memory_mib * MIB, 3 * GIB)
    regions = [Region(0, 0x9FBFF, RAM), Region(0x100000, low - 0x20001, RAM)]
    if memory_mib * MIB > low:
        regions.append(Region(4 * GIB, 4 * GIB + memory_mib * MIB - low - 1, RAM))
    return memory_map(regions)


def shape(kernel: Kernel, firmware: MemoryMap, cpus: int = 1) -> BootShape:
    return BootShape("hvm", kernel, firmware, firmware.ram_kib, cpus=cpus)


# Debian 12's 686-pae kernel on a PC without a hypervisor: usable RAM of the map, MemTotal; KiB.
BOOTS_686 = ((261624, 243196), (523768, 502396), (1048056, 1021148), (2096632, 2059676))


@pytest.mark.parametrize(("usable_kib", "mem_total_kib"), BOOTS_686)
def test_a_kernel_of_32_bits_keeps_what_it_was_seen_to_keep(
    usable_kib: int, mem_total_kib: int
) -> None:
    low_kib = 0x9FC00 // 1024
    firmware = memory_map(
        [
            Region(0, 0x9FBFF, RAM),
            Region(0x100000, 0x100000 + (usable_kib - low_kib) * 1024 - 1, RAM),
        ]
    )
    shape = BootShape("hvm", kernel_cost(KernelRelease(6, 1)), firmware, usable_kib, bits=32)
    planned_kib = usable_kib - total_kib(boot_cost(shape))
    assert planned_kib == pytest.approx(mem_total_kib, rel=0.001)
    kept_kib = usable_kib - mem_total_kib
    assert total_kib(boot_cost(shape)) == pytest.approx(kept_kib, rel=0.01)


@pytest.mark.parametrize(
    "boot", BOOTS, ids=lambda boot: f"{boot.kernel.release}-{boot.memory_mib}-{boot.cpus}"
)
def test_what_a_kernel_keeps_is_right_from_256_mib_to_16_gib(boot: Boot) -> None:
    kept_kib = total_kib(boot_cost(shape(boot.kernel, pc(boot.memory_mib), boot.cpus)))
    assert abs(kept_kib - boot.kept_kib) <= 40


def test_a_release_takes_the_figures_of_the_newest_measured_one_before_it() -> None:
    assert kernel_cost(KernelRelease(6, 1, 192)).measured
    assert kernel_cost(KernelRelease(6, 1)).pv_kib == LINUX_6_1.pv_kib
    between = kernel_cost(KernelRelease(6, 6))
    assert (between.pv_kib, between.measured) == (LINUX_6_1.pv_kib, False)
    assert kernel_cost(KernelRelease(4, 4)).pv_kib == LINUX_5_10.pv_kib
    assert kernel_cost(KernelRelease(9, 0)).pv_kib == LINUX_7_2.pv_kib


def test_struct_pages_come_by_whole_sections_and_holes_between_them_cost_nothing() -> None:
    assert section_pages([Span(0, 1)]) == 32768
    assert section_pages([Span(0, 128 * MIB)]) == 32768
    assert section_pages([Span(0, 128 * MIB + 1)]) == 65536
    assert section_pages([Span(0, 640 << 10), Span(1 * MIB, 2 * MIB)]) == 32768
    assert section_pages([Span(0, GIB), Span(4 * GIB, 5 * GIB)]) == 16 * 32768


@pytest.mark.parametrize(
    ("pages", "kib"),
    [(0, 0), (128928, 768), (257951, 1536), (262400, 3072), (1419168, 12288)],
)
def test_the_hash_tables_are_powers_of_two(pages: int, kib: int) -> None:
    assert hash_tables_kib(pages) == kib


def test_beyond_64_gib_the_hash_tables_grow_more_slowly() -> None:
    gib_pages = 262144
    assert hash_tables_kib(128 * gib_pages) == hash_tables_kib(64 * gib_pages)
    assert hash_tables_kib(256 * gib_pages) == 2 * hash_tables_kib(64 * gib_pages)


def _part_kib(part: str, *release: int, firmware: MemoryMap | None = None, **more: Any) -> int:
    """What one part costs a PV guest of 1 GiB, or one of another kind."""
    firmware = pc(8192) if firmware is None else firmware
    guest = BootShape("pv", kernel_cost(KernelRelease(*release)), firmware, GIB // 1024)
    return sum(cost.kib for cost in boot_cost(guest._replace(**more)) if cost.name == part)


def test_since_linux_6_10_the_hash_tables_are_sized_by_what_is_free() -> None:
    assert _part_kib("hash-tables", 6, 9) == 12288
    assert _part_kib("hash-tables", 6, 10) == _part_kib("hash-tables", 6, 12) == 1536


def test_bounce_buffers_need_memory_beyond_4_gib_or_the_hosts_map_since_linux_6_5() -> None:
    to_4_gib = memory_map([Region(0, 4 * GIB - 1, RAM)])
    beyond = memory_map([Region(0, 4 * GIB + PAGE_BYTES - 1, RAM)])
    assert not _part_kib("swiotlb", 6, 1, firmware=to_4_gib, domain_type="hvm")
    assert _part_kib("swiotlb", 6, 1, firmware=beyond, domain_type="hvm")
    assert not _part_kib("swiotlb", 6, 4, pci_possible=True)
    assert _part_kib("swiotlb", 6, 5, pci_possible=True)


def test_since_linux_5_13_a_slot_of_the_bounce_buffers_takes_24_bytes() -> None:
    old_kib = 64 * 1024 + 32768 * 12 // 1024
    assert _part_kib("swiotlb", 5, 12, domain_type="hvm") == old_kib
    assert _part_kib("swiotlb", 5, 13, domain_type="hvm") == old_kib + 32768 * 12 // 1024


@given(st.integers(16, 1 << 20), st.integers(16, 1 << 20))
def test_a_larger_map_never_costs_less(one_mib: int, other_mib: int) -> None:
    small, large = sorted((one_mib, other_mib))
    costs = [total_kib(boot_cost(shape(LINUX_6_1, pc(size)))) for size in (small, large)]
    assert costs == sorted(costs)


def test_a_range_to_the_last_address_takes_no_memory_to_sum() -> None:
    tracemalloc.start()
    pages = section_pages([Span(0, 1 << 45)])
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert pages == (1 << 45) // PAGE_BYTES
    assert most_bytes < 100_000
