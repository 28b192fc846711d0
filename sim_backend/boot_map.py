# SPDX-License-Identifier: GPL-2.0-or-later
"""The E820 map a guest boots with, per guest type, as Linux shows it in /sys/firmware/memmap.

    PV    [0, reachable maxmem) with the ISA window reserved; with e820_host the host's shape
    PVH   the same up to 3.75 GiB, ACPI tables at 0xfc000000, special pages at 0xfeff8000
    HVM   EBDA and BIOS reserved, last page below the hole reserved, ACPI as non-volatile storage
    dom0  the host's map, cut to what dom0 may have

libxl_x86.c, xg_dom_x86.c, hvmloader, arch/x86/xen/setup.c; addresses from real guests.
"""

from typing import Final

from agent.core.memory_map import SYSTEM_RAM, Region
from agent.core.units import PAGE_BYTES, PAGE_KIB
from sim_backend.guest_config import GuestConfig

RESERVED: Final = "Reserved"
UNUSABLE: Final = "Unusable memory"
ISA_START: Final = 0xA0000
ISA_END: Final = 0x100000
FOUR_GIB: Final = 1 << 32
MMIO_HOLE_START: Final = 0xF0000000  # HVM_BELOW_4G_MMIO_START
EBDA_START: Final = 0x9FC00
DOM0_LOW_END: Final = 0x9F000
EXTRA_MEM_RATIO: Final = 10  # arch/x86/xen/setup.c
BOOT_SLACK_PAGES: Final = 256  # libxl lets a domain have 1 MiB more than its target

_HOST_TAIL: Final = (
    Region(0xFEC00000, 0xFEC00FFF, RESERVED),
    Region(0xFEE00000, 0xFEEFFFFF, RESERVED),
    Region(0xFFFC0000, 0xFFFFFFFF, RESERVED),
)
_HYPERTRANSPORT: Final = Region(0xFD00000000, 0xFFFFFFFFFF, RESERVED)


def reachable_pages(config: GuestConfig) -> int:
    """Pages the map may cover: maxmem, as far as the kernel's clamp lets it."""
    nr_pages = config.memory_kib // PAGE_KIB
    maxmem_pages = config.maxmem_kib // PAGE_KIB
    if not config.is_pv:
        return (config.maxmem_kib - config.videoram_kib) // PAGE_KIB
    if config.image.regime.map_limit == "hypervisor-limit":
        return min(maxmem_pages, nr_pages + BOOT_SLACK_PAGES)
    if config.image.regime.map_limit == "ten-in-all":
        return min(maxmem_pages, EXTRA_MEM_RATIO * nr_pages)
    return min(maxmem_pages, (EXTRA_MEM_RATIO + 1) * nr_pages)


def build_map(config: GuestConfig) -> tuple[Region, ...]:
    """The guest's map, in the order of /sys/firmware/memmap."""
    size = reachable_pages(config) * PAGE_BYTES
    match config.domain_type:
        case "pv":
            return _pv_on_host_map(config, size) if config.e820_host else _pv(config, size)
        case "pvh":
            return _pvh(size)
        case "hvm":
            return _hvm(size)
        case "dom0-pv":
            return _dom0(config, size + ISA_END - DOM0_LOW_END)
        case "dom0-pvh":
            return _dom0(config, size)


def _ram(start: int, stop: int) -> tuple[Region, ...]:
    return (Region(start, stop - 1, SYSTEM_RAM),) if stop > start else ()


def _low_and_isa() -> tuple[Region, ...]:
    return (Region(0, ISA_START - 1, SYSTEM_RAM), Region(ISA_START, ISA_END - 1, RESERVED))


def _pv(config: GuestConfig, size: int) -> tuple[Region, ...]:
    """One entry; a hole that swallowed boot pages moves as much RAM to the end."""
    if not config.released_pages:
        return (*_low_and_isa(), *_ram(ISA_END, size))
    hole = config.released_pages * PAGE_BYTES
    hole_start = config.memory_kib * 1024 // 2
    return (
        *_low_and_isa(),
        *_ram(ISA_END, hole_start),
        Region(hole_start, hole_start + hole - 1, RESERVED),
        *_ram(hole_start + hole, size + hole),
    )


def _pv_on_host_map(config: GuestConfig, size: int) -> tuple[Region, ...]:
    """e820_host=1: boot memory below the host's hole, the rest from 4 GiB up."""
    low_end = min(config.memory_kib * 1024, config.host_ram_end)
    unusable: tuple[Region, ...] = ()
    if low_end < config.host_ram_end:
        unusable = (Region(low_end, config.host_ram_end - 1, UNUSABLE),)
    return (
        *_low_and_isa(),
        *_ram(ISA_END, low_end),
        *unusable,
        Region(config.host_ram_end, 0xBFFFFFFF, RESERVED),
        *_HOST_TAIL,
        *_ram(FOUR_GIB, FOUR_GIB + size - low_end),
        _HYPERTRANSPORT,
    )


def _pvh(size: int) -> tuple[Region, ...]:
    low_end = min(size, MMIO_HOLE_START)
    return (
        *_low_and_isa(),
        *_ram(ISA_END, low_end),
        Region(0xFC000000, 0xFC00803F, "ACPI Tables"),
        Region(0xFEFF8000, 0xFEFFFFFF, RESERVED),
        *_ram(FOUR_GIB, FOUR_GIB + size - low_end),
    )


def _hvm(size: int) -> tuple[Region, ...]:
    low_end = min(size, MMIO_HOLE_START)
    return (
        Region(0, EBDA_START - 1, SYSTEM_RAM),
        Region(EBDA_START, ISA_START - 1, RESERVED),
        Region(0xF0000, ISA_END - 1, RESERVED),
        *_ram(ISA_END, low_end - PAGE_BYTES),
        Region(low_end - PAGE_BYTES, low_end - 1, RESERVED),
        Region(0xFC000000, 0xFC00AFFF, "ACPI Non-volatile Storage"),
        Region(0xFC00B000, 0xFFFFFFFF, RESERVED),
        *_ram(FOUR_GIB, FOUR_GIB + size - low_end),
    )


def _dom0(config: GuestConfig, size: int) -> tuple[Region, ...]:
    """The host's map; boot pages that fell into the hole were remapped behind the RAM."""
    low_end = min(size, config.host_ram_end)
    return (
        Region(0, DOM0_LOW_END - 1, SYSTEM_RAM),
        Region(EBDA_START, ISA_END - 1, RESERVED),
        *_ram(ISA_END, low_end),
        Region(config.host_ram_end, 0xBFFFFFFF, RESERVED),
        *_HOST_TAIL,
        *_ram(FOUR_GIB, FOUR_GIB + size - low_end),
        _HYPERTRANSPORT,
    )
