# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the memory between current_kb and MemTotal went.

It is a constant of the boot: what the kernel reserved for the map it found then.  The structures of
memory that is hot-added later come out of free memory, not out of MemTotal (seen on real guests).

Relies on docs/design.md A7 and A8.
"""

from __future__ import annotations

from typing import NamedTuple

from agent.core.account.balloon_state import seen_moving
from agent.core.account.boot_facts import BootFacts, added_since
from agent.core.account.hot_added import without
from agent.core.boot.cost import FALLBACK_KERNEL, BootShape, CostPart, boot_cost, kernel_cost
from agent.core.facts.snapshot import Snapshot
from agent.core.facts.units import PAGE_KIB, pages_to_kib


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
    why = "put offline by hand: populated, and used by nobody"
    put_offline = CostPart("offline-blocks", boot.offlined_kib, why)
    why = "set aside for a crash kernel (crashkernel=)"
    set_aside = CostPart("crashkernel", snapshot.crash_kernel_kib or 0, why)
    for part in (put_offline, *_computed(snapshot, boot), set_aside):
        if part.kib and (moving or part.kib <= left_kib):  # an unusual kernel may have less
            terms.append(OverheadTerm(*part))
            left_kib -= part.kib
    return Overhead(whole_kib, (*terms, *_rest(snapshot, left_kib, moving=moving)))


def _rest(snapshot: Snapshot, left_kib: int, *, moving: bool) -> tuple[OverheadTerm, ...]:
    """What the kernel itself takes; of a moving balloon, also what moved between two files."""
    why = "the kernel's code and data, tables and reservations"
    domain_type, release = snapshot.domain.domain_type, snapshot.domain.kernel
    if domain_type is None or release is None or not moving:
        return (OverheadTerm("kernel", left_kib, why, inferred=True),)
    usual_kib = kernel_cost(release).base_kib(domain_type, bits=snapshot.domain.bits)
    moved = "the balloon moved between reading current_kb and MemTotal"
    return (
        OverheadTerm("kernel", usual_kib, f"{why}, as usual for this release", inferred=True),
        OverheadTerm("moved-while-reading", left_kib - usual_kib, moved, inferred=True),
    )


def _computed(snapshot: Snapshot, boot: BootFacts) -> tuple[CostPart, ...]:
    """What follows from the boot's map and the kernel's source."""
    domain_type, release = snapshot.domain.domain_type, snapshot.domain.kernel
    if domain_type is None or snapshot.firmware_map is None or snapshot.domain.page_kib != PAGE_KIB:
        return ()  # what is known is known of kernels with pages of 4 KiB
    firmware = without(snapshot.firmware_map, added_since(snapshot, boot))
    populated_kib = firmware.ram_kib
    if snapshot.domain.is_pv and boot.nr_pages is not None:
        populated_kib = pages_to_kib(boot.nr_pages.pages)
    kernel = kernel_cost(release) if release is not None else FALLBACK_KERNEL
    shape = BootShape(
        domain_type,
        kernel,
        firmware,
        populated_kib,
        snapshot.domain.bits,
        pci_possible=any(region.kind == "Unusable memory" for region in firmware.regions),
    )
    return tuple(part for part in boot_cost(shape) if part.name not in ("kernel", "per-cpu"))
