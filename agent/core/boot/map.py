# SPDX-License-Identifier: GPL-2.0-or-later
"""The E820 map a guest boots with, per guest type, as Linux shows it in /sys/firmware/memmap.

    PV    [0, reachable maxmem) with the ISA window reserved; with e820_host the host's shape
    PVH   the same up to 64 MiB below 4 GiB, ACPI tables at 0xfc000000, special pages at 0xfeff8000
    HVM   EBDA and BIOS reserved, last page below the hole reserved, ACPI as non-volatile storage
    dom0  the host's map, cut to what dom0 may have

libxl_x86.c, xg_dom_x86.c, hvmloader, arch/x86/xen/setup.c; addresses from real guests.

Relies on docs/design.md A5.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.core.facts.bounds import LARGEST_KIB
from agent.core.facts.kernel_regimes import Clamp
from agent.core.facts.memory_map import FOUR_GIB, ISA_END, ISA_START, SYSTEM_RAM, Region
from agent.core.facts.snapshot import DomainType, is_pv
from agent.core.facts.units import KIB, MIB_KIB, PAGE_BYTES, PAGE_KIB

RESERVED: Final = "Reserved"
UNUSABLE: Final = "Unusable memory"
HVM_HOLE_KIB: Final = 256 * MIB_KIB  # HVM_BELOW_4G_MMIO_LENGTH
PVH_HOLE_START: Final = 0xFC000000  # where the ACPI tables lie; seen with 6 GiB
EBDA_START: Final = 0x9FC00
DOM0_LOW_END: Final = 0x9F000
EXTRA_MEM_RATIO: Final = 10  # arch/x86/xen/setup.c
BOOT_SLACK_PAGES: Final = 256  # libxl lets a domain have 1 MiB more than its target

_HOST_TAIL: Final = (
    Region(0xFEC00000, 0xFEC00FFF, RESERVED),
    Region(0xFEE00000, 0xFEEFFFFF, RESERVED),
    Region(0xFFFC0000, 0xFFFFFFFF, RESERVED),
)
_LOW_AND_ISA: Final = (
    Region(0, ISA_START - 1, SYSTEM_RAM),
    Region(ISA_START, ISA_END - 1, RESERVED),
)
_HYPERTRANSPORT: Final = Region(0xFD00000000, 0xFFFFFFFFFF, RESERVED)


class GuestShape(NamedTuple):
    """What a toolstack was asked for, as far as the map depends on it; KiB.

    released_pages: pages of the boot allocation that lie in a hole of the map.
    host_ram_end: where the host's RAM below 4 GiB ends; matters with e820_host and in dom0.
    mmio_hole_kib: what an HVM guest's hole for devices takes below 4 GiB.
    most_kib: more than that a PV kernel does not map.
    """

    domain_type: DomainType
    memory_kib: int
    maxmem_kib: int
    videoram_kib: int = 0
    e820_host: bool = False
    released_pages: int = 0
    host_ram_end: int = 0xBFFDD000
    mmio_hole_kib: int = HVM_HOLE_KIB
    most_kib: int = LARGEST_KIB


def reachable_pages(shape: GuestShape, clamp: Clamp) -> int:
    """Pages the map may cover: maxmem, as far as the kernel's clamp lets it.

    The clamps of arch/x86/xen/setup.c: ten times nr_pages in all (until 3.0), the hypervisor's
    limit at boot (3.1; dom0's is its maximum), ten times nr_pages besides nr_pages.
    """
    nr_pages = shape.memory_kib // PAGE_KIB
    if not is_pv(shape.domain_type):
        return (shape.maxmem_kib - shape.videoram_kib) // PAGE_KIB
    most_pages = min(shape.maxmem_kib, shape.most_kib) // PAGE_KIB
    if clamp == "max-reservation" and shape.domain_type != "dom0-pv":
        return min(most_pages, nr_pages + BOOT_SLACK_PAGES)
    if clamp != "extra-10x":
        return min(most_pages, EXTRA_MEM_RATIO * nr_pages)
    return min(most_pages, (EXTRA_MEM_RATIO + 1) * nr_pages)


def build_map(shape: GuestShape, clamp: Clamp) -> tuple[Region, ...]:
    """The guest's map, in the order of /sys/firmware/memmap."""
    size = reachable_pages(shape, clamp) * PAGE_BYTES
    if shape.domain_type == "pv":
        return _pv_on_host_map(shape, size) if shape.e820_host else _pv(shape, size)
    if shape.domain_type == "pvh":
        return _pvh(size)
    if shape.domain_type == "hvm":
        return _hvm(shape, size)
    if shape.domain_type == "dom0-pv":
        return _dom0(shape, size + ISA_END - DOM0_LOW_END)
    return _dom0(shape, size)


def _range(start: int, stop: int, kind: str = SYSTEM_RAM) -> tuple[Region, ...]:
    return (Region(start, stop - 1, kind),) if stop > start else ()


def _pv(shape: GuestShape, size: int) -> tuple[Region, ...]:
    """One entry; a hole that swallowed boot pages moves as much RAM to the end."""
    if not shape.released_pages:
        return (*_LOW_AND_ISA, *_range(ISA_END, size))
    hole = shape.released_pages * PAGE_BYTES
    hole_start = shape.memory_kib * KIB // 2
    return (
        *_LOW_AND_ISA,
        *_range(ISA_END, hole_start),
        Region(hole_start, hole_start + hole - 1, RESERVED),
        *_range(hole_start + hole, size + hole),
    )


def _pv_on_host_map(shape: GuestShape, size: int) -> tuple[Region, ...]:
    """e820_host=1: boot memory below the host's hole, the rest from 4 GiB up."""
    low_end = min(shape.memory_kib * KIB, shape.host_ram_end)
    return (
        *_LOW_AND_ISA,
        *_range(ISA_END, low_end),
        *_range(low_end, shape.host_ram_end, UNUSABLE),
        Region(shape.host_ram_end, 0xBFFFFFFF, RESERVED),
        *_HOST_TAIL,
        *_range(FOUR_GIB, FOUR_GIB + size - low_end),
        _HYPERTRANSPORT,
    )


def _pvh(size: int) -> tuple[Region, ...]:
    low_end = min(size, PVH_HOLE_START)
    return (
        *_LOW_AND_ISA,
        *_range(ISA_END, low_end),
        Region(PVH_HOLE_START, PVH_HOLE_START + 0x803F, "ACPI Tables"),
        Region(0xFEFF8000, 0xFEFFFFFF, RESERVED),
        *_range(FOUR_GIB, FOUR_GIB + size - low_end),
    )


def _hvm(shape: GuestShape, size: int) -> tuple[Region, ...]:
    low_end = min(size, FOUR_GIB - shape.mmio_hole_kib * KIB)
    return (
        Region(0, EBDA_START - 1, SYSTEM_RAM),
        Region(EBDA_START, ISA_START - 1, RESERVED),
        Region(0xF0000, ISA_END - 1, RESERVED),
        *_range(ISA_END, low_end - PAGE_BYTES),
        Region(low_end - PAGE_BYTES, low_end - 1, RESERVED),
        Region(0xFC000000, 0xFC00AFFF, "ACPI Non-volatile Storage"),
        Region(0xFC00B000, 0xFFFFFFFF, RESERVED),
        *_range(FOUR_GIB, FOUR_GIB + size - low_end),
    )


def _dom0(shape: GuestShape, size: int) -> tuple[Region, ...]:
    """The host's map; boot pages that fell into the hole were remapped behind the RAM."""
    low_end = min(size, shape.host_ram_end)
    return (
        Region(0, DOM0_LOW_END - 1, SYSTEM_RAM),
        Region(EBDA_START, ISA_END - 1, RESERVED),
        *_range(ISA_END, low_end),
        Region(shape.host_ram_end, 0xBFFFFFFF, RESERVED),
        *_HOST_TAIL,
        *_range(FOUR_GIB, FOUR_GIB + size - low_end),
        _HYPERTRANSPORT,
    )
