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

from agent.core.account.hot_added import hot_added_kib, hot_added_regions
from agent.core.facts.memory_map import MemoryMap
from agent.core.facts.snapshot import BalloonReading, DomainType, Snapshot
from agent.core.facts.units import PAGE_KIB, kib_to_pages, pages_to_kib

Method = Literal["boot-record", "kernel-log", "xapi-initial-target", "current-just-booted"]

# Real guests that nothing had been asked of were looked at 8 to 18.4 s after it, under emulation;
# the first one that had obeyed a mem-set was seen after 19.9 s.
JUST_BOOTED_S: Final = 19


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
    """

    nr_pages: NrPages | None
    ram_kib: int | None
    ram_exact: bool
    beyond_kib: int | None
    ballooned_kib: int | None = None

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


def boot_facts(snapshot: Snapshot) -> BootFacts:
    """The best that can be said of this boot from one snapshot; never raises."""
    firmware_map, balloon = snapshot.firmware_map, snapshot.balloon
    if firmware_map is None or balloon is None:
        return BootFacts(None, None, False, None)
    ram_kib, ram_exact = _boot_ram(snapshot, firmware_map)
    found = _populated_at_boot(snapshot, balloon)
    if found is None or found[0] < PAGE_KIB:
        return BootFacts(None, ram_kib, ram_exact, None)
    populated_kib, method, exact = found
    released_pages = snapshot.boot_log.released_pages if snapshot.boot_log else 0
    nr_pages = NrPages(kib_to_pages(populated_kib) + released_pages, method, exact)
    beyond_kib = ram_kib - uncounted_kib(firmware_map, snapshot.domain.domain_type) - populated_kib
    record = snapshot.boot_record
    return BootFacts(
        nr_pages,
        ram_kib,
        ram_exact,
        beyond_kib if beyond_kib >= 0 else None,
        record.ballooned_kib if record and method == "boot-record" else None,
    )


def _stands_still(balloon: BalloonReading) -> bool:
    """Whether current_kb cannot have changed between two files that were read."""
    if balloon.current_kib == balloon.target_kib or balloon.motion == "still":
        return True
    waits_for_retry = (balloon.retry_count or 0) > 1
    grows = (balloon.target_kib or 0) > (balloon.current_kib or 0)
    return not balloon.read_while_moving and (
        waits_for_retry or (grows and balloon.ballooned_kib == 0)
    )


def _boot_ram(snapshot: Snapshot, firmware_map: MemoryMap) -> tuple[int, bool]:
    """System RAM of the boot's map in KiB, and whether that is certain."""
    now_kib = firmware_map.ram_kib
    if snapshot.boot_record is not None:
        return snapshot.boot_record.e820_ram_kib, True
    log = snapshot.boot_log
    if log is not None:
        # "Memory: .../PHYSICALK" counts what has page structures: without page 0 and parts.
        partial_kib = now_kib - pages_to_kib(firmware_map.ram_pages)
        at_boot_kib = log.physical_kib + pages_to_kib(firmware_map.page_zero_pages) + partial_kib
        block = snapshot.blocks.block_bytes if snapshot.blocks else None
        added = hot_added_regions(firmware_map, block, at_boot_kib)
        if at_boot_kib + hot_added_kib(added) == now_kib:
            return at_boot_kib, True
    block = snapshot.blocks.block_bytes if snapshot.blocks else None
    return now_kib - hot_added_kib(hot_added_regions(firmware_map, block)), False


def _populated_at_boot(
    snapshot: Snapshot, balloon: BalloonReading
) -> tuple[int, Method, bool] | None:
    """current_kb when the boot was over, in KiB; the method; whether it is exact."""
    if snapshot.boot_record is not None:
        return snapshot.boot_record.current_kib, "boot-record", True
    current_kib = balloon.current_kib
    if current_kib is None:
        return None
    log, memory = snapshot.boot_log, snapshot.memory
    if not _stands_still(balloon):
        return None
    starts_populated = snapshot.domain.is_pv or snapshot.domain.is_dom0
    if starts_populated and log is not None and memory is not None:
        overhead_kib = current_kib - memory.total_kib
        if overhead_kib > 0:
            return log.mem_total_kib + overhead_kib, "kernel-log", True
    return _from_initial_target(snapshot, balloon) or _just_booted(snapshot, current_kib)


def _from_initial_target(
    snapshot: Snapshot, balloon: BalloonReading
) -> tuple[int, Method, bool] | None:
    """XAPI's memory/initial-target on the kernel's scale: less what the two targets differ by."""
    initial_kib, host_kib = snapshot.host.initial_target_kib, snapshot.host.target_kib
    if initial_kib is None or host_kib is None or balloon.target_kib is None:
        return None
    return initial_kib - (host_kib - balloon.target_kib), "xapi-initial-target", False


def _just_booted(snapshot: Snapshot, current_kib: int) -> tuple[int, Method, bool] | None:
    """What is populated now, if the kernel's own start has only just ended."""
    ended_s = snapshot.boot_log.ended_s if snapshot.boot_log else None
    if ended_s is None or snapshot.uptime_s is None:
        return None
    if snapshot.uptime_s - ended_s >= JUST_BOOTED_S:
        return None
    return current_kib, "current-just-booted", False
