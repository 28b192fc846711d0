# SPDX-License-Identifier: GPL-2.0-or-later
"""The map of a PVH dom0: the host's, where RAM that dom0 was not given is unusable.

Xen keeps the host's layout and marks what it does not populate.  Linux 6.9 and later call that
RAM again, at most ten times dom0's own, so that foreign pages can be mapped over it
(arch/x86/xen/enlighten_pvh.c, xen_reserve_extra_memory): RAM in the map, no memory behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agent.core.boot.map import EXTRA_MEM_RATIO, UNUSABLE
from agent.core.facts.memory_map import SYSTEM_RAM, Region
from agent.core.facts.units import PAGE_BYTES


def pvh_dom0_map(
    given: Iterable[Region], host: Iterable[Region], *, retyped: bool
) -> tuple[tuple[Region, ...], int]:
    """The map, and how many pages of it are RAM that dom0 was not given.

    `given` is the map if the host had no more than dom0 has, `host` the one with all of its RAM.
    """
    ends = {region.start: region.end for region in given if region.kind == SYSTEM_RAM}
    own_pages = sum((end + 1 - start) // PAGE_BYTES for start, end in ends.items())
    room = EXTRA_MEM_RATIO * own_pages * PAGE_BYTES if retyped else 0
    regions: list[Region] = []
    retyped_pages = 0
    for region in host:
        for part in _parts(region, ends):
            if part.kind != UNUSABLE or not room:
                regions.append(part)
                continue
            size = min(room, part.size_bytes)
            room -= size
            retyped_pages += size // PAGE_BYTES
            regions.append(Region(part.start, part.start + size - 1, SYSTEM_RAM))
            if size < part.size_bytes:
                regions.append(Region(part.start + size, part.end, UNUSABLE))
    return tuple(_merged(regions)), retyped_pages


def _parts(region: Region, ends: dict[int, int]) -> Iterator[Region]:
    """A region of the host, cut where dom0's memory ends."""
    if region.kind != SYSTEM_RAM:
        yield region
        return
    end = ends.get(region.start, region.start - 1)
    if end >= region.start:
        yield Region(region.start, end, SYSTEM_RAM)
    if end < region.end:
        yield Region(end + 1, region.end, UNUSABLE)


def _merged(regions: Iterable[Region]) -> list[Region]:
    """Neighbours of one kind become one entry (e820__update_table)."""
    merged: list[Region] = []
    for region in regions:
        if merged and merged[-1].kind == region.kind and merged[-1].end + 1 == region.start:
            merged[-1] = merged[-1]._replace(end=region.end)
        else:
            merged.append(region)
    return merged
