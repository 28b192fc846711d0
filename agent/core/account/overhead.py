# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the memory between current_kb and MemTotal went.

It is a constant of the boot: what the kernel reserved for the map it found then.  The structures of
memory that is hot-added later come out of free memory, not out of MemTotal (seen on real guests).

Relies on docs/design.md A7 and A8.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from agent.core.account.balloon_state import seen_moving
from agent.core.account.boot_facts import BootFacts
from agent.core.account.hot_added import hot_added_regions
from agent.core.boot.cost import FALLBACK_KERNEL, BootShape, CostPart, boot_cost, kernel_cost
from agent.core.facts.memory_map import SYSTEM_RAM, MemoryMap, memory_map
from agent.core.facts.snapshot import Snapshot
from agent.core.facts.units import pages_to_kib

_CRASHKERNEL: Final = re.compile(r"crashkernel=(\d{1,9})([KMG])(?:@.*)?", re.ASCII | re.IGNORECASE)
_SUFFIX_KIB: Final = {"K": 1, "M": 1 << 10, "G": 1 << 20}


class OverheadTerm(NamedTuple):
    """One part of what Linux keeps for itself; `inferred`: it is what was left over."""

    name: str
    kib: int
    why: str
    inferred: bool = False


class Overhead(NamedTuple):
    """current_kb - MemTotal and its parts, in KiB."""

    kib: int
    terms: tuple[OverheadTerm, ...]


def overhead(snapshot: Snapshot, boot: BootFacts) -> Overhead | None:
    """None unless both current_kb and MemTotal are known."""
    balloon, memory = snapshot.balloon, snapshot.memory
    if balloon is None or balloon.current_kib is None or memory is None:
        return None
    whole_kib = left_kib = balloon.current_kib - memory.total_kib
    terms: list[OverheadTerm] = []
    moving = seen_moving(snapshot)
    for part in (*_computed(snapshot, boot), *_crash_kernel(snapshot)):
        if moving or part.kib <= left_kib:  # an unusual kernel may have less
            terms.append(OverheadTerm(*part))
            left_kib -= part.kib
    return Overhead(whole_kib, (*terms, *_rest(snapshot, left_kib, moving=moving)))


def _rest(snapshot: Snapshot, left_kib: int, *, moving: bool) -> tuple[OverheadTerm, ...]:
    """What the kernel itself takes; of a moving balloon, also what moved between two files."""
    why = "the kernel's code and data, tables and reservations"
    domain_type, release = snapshot.domain.domain_type, snapshot.domain.kernel
    if domain_type is None or release is None or not moving:
        return (OverheadTerm("kernel", left_kib, why, inferred=True),)
    usual_kib = kernel_cost(release).base_kib(domain_type)
    return (
        OverheadTerm("kernel", usual_kib, f"{why}, as usual for this release", inferred=True),
        OverheadTerm(
            "moved-while-reading", left_kib - usual_kib,
            "the balloon moved between reading current_kb and MemTotal", inferred=True,
        ),
    )  # fmt: skip


def _computed(snapshot: Snapshot, boot: BootFacts) -> tuple[CostPart, ...]:
    """What follows from the boot's map and the kernel's source."""
    domain_type, release = snapshot.domain.domain_type, snapshot.domain.kernel
    if domain_type is None or snapshot.firmware_map is None:
        return ()
    firmware = _map_at_boot(snapshot, snapshot.firmware_map, boot)
    populated_kib = firmware.ram_kib
    if snapshot.domain.is_pv and boot.nr_pages is not None:
        populated_kib = pages_to_kib(boot.nr_pages.pages)
    kernel = kernel_cost(release) if release is not None else FALLBACK_KERNEL
    shape = BootShape(
        domain_type,
        kernel,
        firmware,
        populated_kib,
        pci_possible=any(region.kind == "Unusable memory" for region in firmware.regions),
    )
    return tuple(part for part in boot_cost(shape) if part.name not in ("kernel", "per-cpu"))


def _map_at_boot(snapshot: Snapshot, firmware: MemoryMap, boot: BootFacts) -> MemoryMap:
    """The firmware map without what was hot-added since."""
    block = snapshot.blocks.block_bytes if snapshot.blocks else None
    added = hot_added_regions(firmware, block, boot.ram_kib if boot.ram_exact else None)
    if not added:
        return firmware
    return memory_map(
        [
            region
            for region in firmware.in_order_read
            if region.kind != SYSTEM_RAM or region not in added
        ]
    )


def _crash_kernel(snapshot: Snapshot) -> tuple[CostPart, ...]:
    """What crashkernel= set aside, where it names a plain size."""
    for option in snapshot.kernel_options:
        match = _CRASHKERNEL.fullmatch(option)
        if match is not None:
            size_kib = int(match.group(1)) * _SUFFIX_KIB[match.group(2).upper()]
            return (CostPart("crashkernel", size_kib, f"set aside for a crash kernel ({option})"),)
    return ()
