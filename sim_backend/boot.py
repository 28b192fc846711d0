# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest has when its kernel is up: map, counters, cost; and whether it comes up at all.

Everything follows from the configuration: the map (`boot_map`), how the regime counts it, what
the map costs (`overhead`), and how much of it Xen has populated.
"""

from dataclasses import dataclass
from typing import Final, Literal

from agent.core.memory_map import MemoryMap, memory_map
from agent.core.snapshot import BootLog
from agent.core.units import PAGE_BYTES, PAGE_KIB
from sim_backend.boot_map import BOOT_SLACK_PAGES, build_map, reachable_pages
from sim_backend.driver import DriverStart
from sim_backend.guest_config import GuestConfig
from sim_backend.overhead import map_cost_kib, section_pages

# Pages Xen holds for the guest that the kernel does not count as current: the ISA window, page
# zero, special and ACPI pages.  PVH: from the limit at which a raised target was refused; HVM:
# from what `xl list` showed.
PVH_UNCOUNTED_PAGES: Final = 113
HVM_UNCOUNTED_PAGES: Final = 83
VGA_HOLE_PAGES: Final = 32
SPECIAL_PAGES: Final = 16
SCRATCH_PAGES: Final = 32768  # unpopulated-alloc's first range in a PVH guest

# MemTotal below which the kernel cannot start init, or hardly runs a program.
MEM_TOTAL_NO_KIB: Final = 24 * 1024
MEM_TOTAL_RISKY_KIB: Final = 64 * 1024
LOWMEM_32BIT_KIB: Final = 727 * 1024  # 896 MiB less Xen's hole and vmalloc, PAE

LAST_LINE_S: Final = 5.7  # the kernel's last word on memory, in its log

Verdict = Literal["yes", "risky", "no"]


@dataclass(frozen=True)
class Boot:
    """One boot; pages are Xen's, sizes KiB.

    nr_pages: what Xen populated for a PV guest.  xen_pages, max_pages, on_demand_pages: the
    hypervisor's side.  overhead_kib: current memory less MemTotal, for the life of the guest.
    """

    map: MemoryMap
    present_pages: int
    spanned_pages: int
    nr_pages: int
    driver: DriverStart
    unpopulated_pages: int
    scratch_pages: int
    xen_pages: int
    max_pages: int
    on_demand_pages: int
    mem_total_kib: int
    overhead_kib: int
    log: BootLog
    verdict: Verdict
    reason: str


def boot(config: GuestConfig) -> Boot:
    """Boot a guest of that configuration, on paper."""
    regime = config.image.regime
    firmware = memory_map(build_map(config))
    present = firmware.ram_pages - firmware.page_zero_pages
    nr_pages = config.memory_kib // PAGE_KIB
    if config.domain_type == "dom0-pvh":
        nr_pages = min(nr_pages, present)
    populated = nr_pages - config.released_pages if config.is_pv else present
    extra = reachable_pages(config) - nr_pages + config.released_pages if config.is_pv else 0
    unpopulated = extra if regime.pv_extra == "unpopulated" else 0
    ballooned = extra - unpopulated
    current = _current(config, nr_pages, present, unpopulated + ballooned, firmware.top)
    overhead = _overhead_kib(config, firmware, present)
    mem_total = populated * PAGE_KIB - overhead
    verdict, reason = _verdict(config, mem_total, overhead)
    physical = present * PAGE_KIB
    uncounted = _uncounted_pages(config)
    xen_pages, on_demand = populated, 0
    if not config.is_pv:
        xen_pages = _built_pages(config)
        on_demand = max(0, present + uncounted - xen_pages)
        xen_pages = present + uncounted - on_demand
    scratch = SCRATCH_PAGES if config.domain_type == "pvh" and regime.first >= (5, 9, 0) else 0
    low, high = _low_high(config, nr_pages, ballooned)
    return Boot(
        map=firmware,
        present_pages=present,
        spanned_pages=firmware.top // PAGE_BYTES - 1 + scratch,
        nr_pages=nr_pages,
        driver=DriverStart(
            current_pages=current,
            low_pages=low,
            high_pages=high,
            total_pages=current + ballooned,
            corrects_offset=regime.corrects_offset and not config.is_pv and not config.is_dom0,
            lowmem_room_pages=None if config.bits == 64 else low,
        ),
        unpopulated_pages=unpopulated,
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
        verdict=verdict,
        reason=reason,
    )


def _current(config: GuestConfig, nr_pages: int, present: int, beyond_pages: int, top: int) -> int:
    """Where `current_kb` starts (facts by kernel in the table of regimes)."""
    regime = config.image.regime
    if config.domain_type == "dom0-pvh":
        return nr_pages
    if not config.is_pv:
        return top // PAGE_BYTES if regime.hvm_current == "max-pfn" else present
    if config.is_dom0 and regime.dom0_current == "reservation":
        return nr_pages - config.released_pages
    if regime.pv_current == "nr-pages":
        return nr_pages
    if regime.pv_current == "present":
        return present - beyond_pages
    return nr_pages - config.released_pages


def _overhead_kib(config: GuestConfig, firmware: MemoryMap, present: int) -> int:
    spans = tuple(
        (span.start // PAGE_BYTES, -(-span.stop // PAGE_BYTES)) for span in firmware.ram_spans()
    )
    cost = map_cost_kib(config.domain_type, section_pages(spans), present, bits=config.bits)
    return config.image.base_kib[config.domain_type] + cost + config.boot_variation_kib


def _verdict(config: GuestConfig, mem_total_kib: int, overhead_kib: int) -> tuple[Verdict, str]:
    if config.bits == 32:
        lowmem_kib = min(config.memory_kib, LOWMEM_32BIT_KIB)
        if overhead_kib > lowmem_kib - MEM_TOTAL_NO_KIB:
            return "no", (
                f"the page structures of the map ({overhead_kib} KiB with the kernel) do not fit "
                f"into {lowmem_kib} KiB of low memory"
            )
    if not config.is_pv:
        mem_total_kib -= config.maxmem_kib - config.memory_kib
    if mem_total_kib < MEM_TOTAL_NO_KIB:
        return "no", f"{mem_total_kib} KiB would be left for programs"
    if mem_total_kib < MEM_TOTAL_RISKY_KIB:
        return "risky", f"only {mem_total_kib} KiB are left for programs"
    return "yes", f"{mem_total_kib} KiB are left for programs"


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
    low = max(0, min(ballooned, LOWMEM_32BIT_KIB // PAGE_KIB - nr_pages))
    return low, ballooned - low
