# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the memory between current_kb and MemTotal went."""

from typing import Final, NamedTuple

from agent.core.boot_facts import is_pv
from agent.core.snapshot import Snapshot

STRUCT_PAGE_BYTES: Final = 64  # include/linux/mm_types.h; 64 bit, usual configuration
P2M_ENTRY_BYTES: Final = 8  # arch/x86/xen/p2m.c, one word per page of a PV guest


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


def overhead(snapshot: Snapshot) -> Overhead | None:
    """None unless both current_kb and MemTotal are known."""
    balloon, memory = snapshot.balloon, snapshot.memory
    if balloon is None or balloon.current_kib is None or memory is None:
        return None
    whole_kib = balloon.current_kib - memory.total_kib
    terms: list[OverheadTerm] = []
    if snapshot.zones is not None:
        pages = snapshot.zones.present_pages
        terms.append(
            OverheadTerm(
                "struct-pages",
                pages * STRUCT_PAGE_BYTES // 1024,
                "64 bytes for each page of the map, ballooned or not",
            )
        )
        if is_pv(snapshot.domain.domain_type):
            terms.append(
                OverheadTerm(
                    "p2m", pages * P2M_ENTRY_BYTES // 1024, "8 bytes for each page of a PV guest"
                )
            )
    rest_kib = whole_kib - sum(term.kib for term in terms)
    terms.append(
        OverheadTerm(
            "kernel", rest_kib, "the kernel's code and data, tables and reservations", inferred=True
        )
    )
    return Overhead(whole_kib, tuple(terms))
