# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest has when its kernel is up: map, counters, cost; and whether it comes up at all.

Everything follows from the configuration: the map (`agent.core.boot.map`), how the regime counts
it, what the map costs (`agent.core.boot.cost`), and how much of it Xen has populated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agent.core.boot.cost import BootShape, boot_cost, kernel_cost, total_kib
from agent.core.boot.map import BOOT_SLACK_PAGES, GuestShape, build_map, reachable_pages
from agent.core.boot.verdict import BootVerdict, boot_verdict, low_memory_kib
from agent.core.facts.memory_map import MemoryMap, memory_map
from agent.core.facts.snapshot import BootLog
from agent.core.facts.units import PAGE_BYTES, PAGE_KIB
from sim_backend.guest.config import GuestConfig
from sim_backend.guest.dom0_map import pvh_dom0_map
from sim_backend.guest.driver import DriverStart

# Pages Xen holds for the guest that the kernel does not count as current: the ISA window, page
# zero, special and ACPI pages.  PVH: from the limit at which a raised target was refused; HVM:
# from what `xl list` showed.
PVH_UNCOUNTED_PAGES: Final = 113
HVM_UNCOUNTED_PAGES: Final = 83
VGA_HOLE_PAGES: Final = 32
SPECIAL_PAGES: Final = 16
SCRATCH_PAGES: Final = 32768  # unpopulated-alloc's first range in a PVH guest

LAST_LINE_S: Final = 5.7  # the kernel's last word on memory, in its log


@dataclass(frozen=True)
class Boot:
    """One boot; pages are Xen's, sizes KiB.

    xen_pages, max_pages, on_demand_pages: the hypervisor's side.  overhead_kib: current memory
    less MemTotal, for the life of the guest.
    """

    map: MemoryMap
    present_pages: int
    spanned_pages: int
    driver: DriverStart
    unpopulated_pages: int
    scratch_pages: int
    xen_pages: int
    max_pages: int
    on_demand_pages: int
    mem_total_kib: int
    overhead_kib: int
    log: BootLog
    verdict: BootVerdict


def boot(config: GuestConfig) -> Boot:
    """Boot a guest of that configuration, on paper."""
    regime = config.image.regime
    shape, clamp = _shape(config), regime.map_limit
    regions, retyped = build_map(shape, clamp), 0
    if config.domain_type == "dom0-pvh":
        host = build_map(shape._replace(maxmem_kib=config.maxmem_kib), clamp)
        regions, retyped = pvh_dom0_map(regions, host, retyped=regime.pvh_dom0_extra != "unusable")
    firmware = memory_map((*regions, *config.odd_regions))
    present = firmware.ram_pages - firmware.page_zero_pages
    nr_pages = config.memory_kib // PAGE_KIB
    populated = nr_pages - config.released_pages if config.is_pv else present - retyped
    extra = reachable_pages(shape, clamp) - nr_pages + config.released_pages if config.is_pv else 0
    unpopulated = extra if regime.pv_extra == "unpopulated" else 0
    unit = config.balloon_unit_pages
    ballooned = -(-(extra - unpopulated) // unit) * unit
    current = _current(config, nr_pages, present, unpopulated + ballooned, firmware.top)
    current -= retyped if regime.pvh_dom0_extra == "not-counted" else 0
    current -= current % unit
    overhead = _overhead_kib(config, firmware, retyped * PAGE_KIB)
    mem_total = populated * PAGE_KIB - overhead
    physical = present * PAGE_KIB
    xen_pages, on_demand = _given_pages(config, populated)
    scratch = SCRATCH_PAGES if config.domain_type == "pvh" and regime.first >= (5, 9, 0) else 0
    low, high = _low_high(config, nr_pages, ballooned)
    return Boot(
        map=firmware,
        present_pages=present,
        spanned_pages=firmware.top // PAGE_BYTES - 1 + scratch,
        driver=DriverStart(
            current_pages=current,
            low_pages=low,
            high_pages=high,
            corrects_offset=regime.corrects_offset and not config.is_pv and not config.is_dom0,
            lowmem_room_pages=None if config.bits == 64 else low,
            unit_pages=unit,
            is_built=config.image.balloon,
        ),
        unpopulated_pages=unpopulated + retyped,
        scratch_pages=scratch,
        xen_pages=xen_pages,
        max_pages=_max_pages(config),
        on_demand_pages=on_demand,
        mem_total_kib=mem_total,
        overhead_kib=overhead,
        log=BootLog(
            physical_kib=physical,
            reserved_kib=physical + config.image.freed_kib - mem_total,
            freed_later_kib=config.image.freed_kib,
            released_pages=config.released_pages,
            ended_s=LAST_LINE_S,
        ),
        verdict=_verdict(config, mem_total, overhead),
    )


def _current(config: GuestConfig, nr_pages: int, present: int, beyond_pages: int, top: int) -> int:
    """Where `current_kb` starts (facts by kernel in the table of regimes)."""
    regime = config.image.regime
    if not config.is_pv:
        return top // PAGE_BYTES if regime.hvm_current == "max-pfn" else present
    if regime.pv_current == "nr-pages":
        return nr_pages
    if regime.pv_current == "present":
        return present - beyond_pages
    return nr_pages - config.released_pages


def _shape(config: GuestConfig) -> GuestShape:
    """A PVH dom0 has RAM as far as Xen populated it; `dom0_map` adds the rest of the host's."""
    return GuestShape(
        domain_type=config.domain_type,
        memory_kib=config.memory_kib,
        maxmem_kib=config.maxmem_kib if config.domain_type != "dom0-pvh" else config.memory_kib,
        videoram_kib=config.videoram_kib,
        e820_host=config.e820_host,
        released_pages=config.released_pages,
    )


def _overhead_kib(config: GuestConfig, firmware: MemoryMap, unpopulated_kib: int) -> int:
    """current_kb less MemTotal; `unpopulated_kib` is RAM of the map that dom0 was not given."""
    shape = BootShape(
        domain_type=config.domain_type,
        kernel=kernel_cost(config.image.release),
        firmware=firmware,
        populated_kib=config.memory_kib if config.is_pv else firmware.ram_kib - unpopulated_kib,
        bits=config.bits,
        pci_possible=config.e820_host,
    )
    return total_kib(boot_cost(shape)) + config.boot_variation_kib


def _verdict(config: GuestConfig, mem_total_kib: int, overhead: int) -> BootVerdict:
    """Of what is left once the balloon holds what lies beyond the memory."""
    if not config.is_pv and not config.is_dom0:
        mem_total_kib -= config.maxmem_kib - config.memory_kib
    return boot_verdict(
        config.memory_kib, overhead, mem_total_kib, bits=config.bits, is_pv=config.is_pv
    )


def _given_pages(config: GuestConfig, populated: int) -> tuple[int, int]:
    """What Xen holds for the guest, and what of its memory is there on demand only."""
    if config.is_pv:
        return populated, 0
    whole = populated + _uncounted_pages(config)
    on_demand = max(0, whole - _built_pages(config))
    return whole - on_demand, on_demand


def _uncounted_pages(config: GuestConfig) -> int:
    if config.domain_type == "pvh":
        return PVH_UNCOUNTED_PAGES
    if config.domain_type == "hvm":
        return HVM_UNCOUNTED_PAGES + config.videoram_kib // PAGE_KIB
    return 0


def _built_pages(config: GuestConfig) -> int:
    """What libxl populates of an HVM or PVH guest: its target, and special pages beside it."""
    pages = config.memory_kib // PAGE_KIB + SPECIAL_PAGES
    return pages - VGA_HOLE_PAGES if config.domain_type == "hvm" else pages


def _max_pages(config: GuestConfig) -> int:
    if config.is_dom0:
        return config.maxmem_kib // PAGE_KIB
    return config.memory_kib // PAGE_KIB + BOOT_SLACK_PAGES


def _low_high(config: GuestConfig, nr_pages: int, ballooned: int) -> tuple[int, int]:
    """How the balloon divides into low_kb and high_kb; on 64 bits all memory is low."""
    if config.bits == 64:
        return ballooned, 0
    low = max(0, min(ballooned, low_memory_kib(is_pv=config.is_pv) // PAGE_KIB - nr_pages))
    return low, ballooned - low
