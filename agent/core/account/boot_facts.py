# SPDX-License-Identifier: GPL-2.0-or-later
"""What this boot started with: nr_pages, and the E820 RAM beyond it.

`xen_start_info->nr_pages` is exported nowhere.  The estimators, best first:

boot-record          the daemon's first readings of this boot; exact.
kernel-log           PV and dom0 of any type, which start with their memory populated: current_kb -
                     MemTotal is a constant of the boot, and the boot's log tells MemTotal at boot
                     to the page (`BootLog.mem_total_kib`); exact while the balloon stands still.
xapi-initial-target  memory/initial-target, which XAPI never changes.
current-just-booted  what is populated now, in the first 19 s after the kernel's own start;
                     not exact, the host may have been quick.

Nothing of an HVM or PVH guest tells it later.  The second was checked against real guests (PV on
Linux 5.10, 6.1, 6.12 and 7.2, dom0 as PV and as PVH) in many states, right to the page in each.

Relies on docs/design.md A7.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from agent.core.account.driver import driver_of
from agent.core.account.hot_added import hot_added_kib, hot_added_regions, offline_kib, without
from agent.core.facts.kernel_regimes import regime_of
from agent.core.facts.memory_map import MemoryMap, Region
from agent.core.facts.snapshot import BalloonReading, DomainType, Snapshot
from agent.core.facts.units import KIB, MIB_KIB, PAGE_KIB, kib_to_pages, pages_to_kib

Method = Literal["boot-record", "kernel-log", "xapi-initial-target", "current-just-booted"]

# Real guests that nothing had been asked of were looked at 8 to 18.4 s after it, under emulation;
# the first one that had obeyed a mem-set was seen after 19.9 s.
JUST_BOOTED_S: Final = 19
# By how much the host counts more than the kernel. Seen: 388 KiB (PVH) and 396 KiB (HVM without
# video memory); real ones add the video memory, 16 MiB at most by default, and XAPI's shim.
LARGEST_USUAL_KIB: Final = 128 * MIB_KIB


class NrPages(NamedTuple):
    """nr_pages and how it was found; `exact` only where nothing had to be assumed."""

    pages: int
    method: Method
    exact: bool


class BootFacts(NamedTuple):
    """The boot's own figures; KiB, None where unknown.

    Attributes:
        nr_pages: what the domain was started with.
        ram_kib: System RAM of the map as it was at boot, `ram_exact` if that is certain.
        beyond_kib: RAM of that map which was not populated: what the balloon and
            unpopulated-alloc held when the boot was over.
        ballooned_kib: what of it the balloon held; only a boot record tells.
        offlined_kib: RAM of the boot in blocks that somebody put offline; it stays populated.
        counted_kib: `ram_kib` as the driver counts it.
    """

    nr_pages: NrPages | None
    ram_kib: int | None
    ram_exact: bool
    beyond_kib: int | None
    ballooned_kib: int | None = None
    offlined_kib: int = 0
    counted_kib: int | None = None

    @property
    def certain(self) -> bool:
        """Whether `beyond_kib` follows from a record of the boot, not from an assumption."""
        return (
            self.beyond_kib is not None
            and self.ram_exact
            and bool(self.nr_pages and self.nr_pages.exact)
        )


def uncounted_kib(firmware_map: MemoryMap, domain_type: DomainType | None) -> int:
    """RAM of the map that never becomes a page of the driver, less what is one without being RAM.

    Positive for HVM and PVH (page 0, parts of pages), negative for a PV guest (the ISA window,
    which Xen populated).
    """
    partial_kib = firmware_map.ram_kib - pages_to_kib(firmware_map.ram_pages)
    if domain_type == "pv":
        return partial_kib - pages_to_kib(firmware_map.isa_hole_pages)
    if domain_type == "dom0-pv":
        return partial_kib
    return partial_kib + pages_to_kib(firmware_map.page_zero_pages)


def mapped_kib(firmware_map: MemoryMap, domain_type: DomainType | None) -> int:
    """RAM of the map as the driver counts it."""
    return firmware_map.ram_kib - uncounted_kib(firmware_map, domain_type)


def boot_facts(snapshot: Snapshot) -> BootFacts:
    """The best that can be said of this boot from one snapshot; never raises."""
    firmware_map, balloon = snapshot.firmware_map, snapshot.balloon
    if firmware_map is None or balloon is None:
        return BootFacts(None, None, False, None)
    ram_kib, ram_exact = _boot_ram(snapshot, firmware_map)
    offlined_kib = _offlined_kib(snapshot, firmware_map, ram_kib if ram_exact else None)
    counted_kib = ram_kib - uncounted_kib(firmware_map, snapshot.domain.domain_type)
    facts = BootFacts(None, ram_kib, ram_exact, None, None, offlined_kib, counted_kib)
    found = _populated_at_boot(snapshot, balloon, counted_kib, offlined_kib)
    if found is None or found[0] < PAGE_KIB:
        return facts
    populated_kib, method, exact = found
    released_pages = snapshot.boot_log.released_pages if snapshot.boot_log else 0
    if regime_of(snapshot.domain.kernel).current_counts_released:
        released_pages = 0  # they are in current_kb
    return facts._replace(
        nr_pages=NrPages(kib_to_pages(populated_kib) + released_pages, method, exact),
        beyond_kib=counted_kib - populated_kib if counted_kib >= populated_kib else None,
        ballooned_kib=snapshot.boot_record.ballooned_kib if snapshot.boot_record else None,
    )


def added_since(snapshot: Snapshot, boot: BootFacts) -> tuple[Region, ...]:
    """The ranges of the map that were hot-added after that boot, as far as the map tells."""
    if snapshot.firmware_map is None:
        return ()
    block = snapshot.blocks.block_bytes if snapshot.blocks else None
    boot_ram_kib = boot.ram_kib if boot.ram_exact else None
    return hot_added_regions(snapshot.firmware_map, block, boot_ram_kib)


def hole_kib(snapshot: Snapshot) -> int:
    """What an HVM or PVH kernel before Linux 3.13 counts as its memory and is a hole of the map.

    Its driver starts from the highest address (balloon_init, max_pfn) instead of from the pages.
    Distributions have the fix in older kernels: one that counts just the pages there are has it.
    """
    firmware_map, domain = snapshot.firmware_map or snapshot.iomem, snapshot.domain
    if firmware_map is None or domain.is_pv or domain.domain_type is None:
        return 0
    if regime_of(domain.kernel).initial_count != "max-pfn":
        return 0
    driver, counted_kib = driver_of(snapshot.balloon), mapped_kib(firmware_map, domain.domain_type)
    if driver is not None and driver.current_kib + driver.ballooned_kib == counted_kib:
        return 0
    return firmware_map.top // KIB - pages_to_kib(firmware_map.ram_pages)


def _offlined_kib(snapshot: Snapshot, firmware_map: MemoryMap, boot_ram_kib: int | None) -> int:
    """Of the blocks that are offline, what is none of the memory that was hot-added.

    The map of the boot tells; without it, in an HVM or PVH guest, the driver's counts do: a block
    of the boot is in them, a hot-added one that never was online is not.
    """
    blocks, driver = snapshot.blocks, driver_of(snapshot.balloon)
    if blocks is None or not blocks.offline:
        return 0
    whole_kib = offline_kib(firmware_map, blocks)
    if boot_ram_kib is not None:
        added = hot_added_regions(firmware_map, blocks.block_bytes, boot_ram_kib)
        return offline_kib(without(firmware_map, added), blocks)
    if driver is None or snapshot.domain.is_pv:
        return 0
    counted_kib = driver.current_kib + driver.ballooned_kib
    lacking_kib = mapped_kib(firmware_map, snapshot.domain.domain_type) - counted_kib
    return max(0, min(whole_kib, whole_kib - lacking_kib))


def _stands_still(balloon: BalloonReading) -> bool:
    """Whether current_kb cannot have changed between two files that were read."""
    if balloon.current_kib == balloon.target_kib or balloon.motion == "still":
        return True
    waits_for_retry = (balloon.retry_count or 0) > 1
    driver = driver_of(balloon)
    waits_for_more = driver is not None and driver.lacks_with_empty_balloon
    return not balloon.read_while_moving and (waits_for_retry or waits_for_more)


def _boot_ram(snapshot: Snapshot, firmware_map: MemoryMap) -> tuple[int, bool]:
    """System RAM of the boot's map in KiB, and whether that is certain."""
    now_kib = firmware_map.ram_kib
    if snapshot.boot_record is not None:
        return snapshot.boot_record.e820_ram_kib, True
    log, block = snapshot.boot_log, snapshot.blocks.block_bytes if snapshot.blocks else None
    if log is not None:
        # "Memory: .../PHYSICALK" counts what has page structures: without page 0 and parts.
        partial_kib = now_kib - pages_to_kib(firmware_map.ram_pages)
        at_boot_kib = log.physical_kib + pages_to_kib(firmware_map.page_zero_pages) + partial_kib
        added = hot_added_regions(firmware_map, block, at_boot_kib)
        if at_boot_kib + hot_added_kib(added) == now_kib:
            return at_boot_kib, True
    return now_kib - hot_added_kib(hot_added_regions(firmware_map, block)), False


def _populated_at_boot(
    snapshot: Snapshot, balloon: BalloonReading, counted_kib: int, offlined_kib: int
) -> tuple[int, Method, bool] | None:
    """current_kb when the boot was over, in KiB; the method; whether it is exact."""
    if snapshot.boot_record is not None:
        return snapshot.boot_record.current_kib, "boot-record", True
    current_kib = balloon.current_kib
    if current_kib is None or not _stands_still(balloon):
        return None
    log, memory = snapshot.boot_log, snapshot.memory
    starts_populated = snapshot.domain.is_pv or snapshot.domain.is_dom0
    if starts_populated and log is not None and memory is not None:
        overhead_kib = current_kib - memory.total_kib - offlined_kib
        if overhead_kib > 0:
            exact = log.whole and (log.tells_released or not _counts_apart(snapshot))
            return log.mem_total_kib + overhead_kib, "kernel-log", exact
    return _from_initial_target(snapshot, counted_kib) or _just_booted(snapshot, current_kib)


def _counts_apart(snapshot: Snapshot) -> bool:
    """Whether what a PV kernel released at boot has to be added to what it has."""
    regime = regime_of(snapshot.domain.kernel)
    return snapshot.domain.is_pv and not regime.current_counts_released


def _from_initial_target(snapshot: Snapshot, counted_kib: int) -> tuple[int, Method, bool] | None:
    """XAPI's memory/initial-target, less what the host counts of static-max and the map lacks.

    What memory/target and target_kb differ by does not tell that: either may have been set since.
    """
    host, domain, offset_kib = snapshot.host, snapshot.domain, 0
    if host.initial_target_kib is None:
        return None
    if not domain.is_pv:
        if host.static_max_kib is None:
            return None
        offset_kib = domain.whole_pages_kib(host.static_max_kib) - counted_kib
    populated_kib = host.initial_target_kib - offset_kib
    if not 0 <= offset_kib <= LARGEST_USUAL_KIB or not 0 < populated_kib <= counted_kib:
        return None
    return populated_kib, "xapi-initial-target", False


def _just_booted(snapshot: Snapshot, current_kib: int) -> tuple[int, Method, bool] | None:
    """What is populated now, if the kernel's own start has only just ended."""
    ended_s = snapshot.boot_log.ended_s if snapshot.boot_log else None
    uptime_s = snapshot.uptime_s
    if ended_s is None or uptime_s is None or uptime_s - ended_s >= JUST_BOOTED_S:
        return None
    return current_kib, "current-just-booted", False
