# SPDX-License-Identifier: GPL-2.0-or-later
"""Which ranges of the firmware map were hot-added after boot, as far as the map itself tells.

The kernel appends a hot-added range to the firmware map under the next number
(drivers/firmware/memmap.c, firmware_map_add_hotplug), in whole memory blocks.  Linux merges RAM
ranges that touch before it publishes the boot's own (arch/x86/kernel/e820.c,
e820__update_table), and publishes those in address order.

Relies on docs/design.md A2 and A9.
"""

from __future__ import annotations

from agent.core.facts.memory_map import SYSTEM_RAM, MemoryMap, Region
from agent.core.facts.snapshot import MemoryBlocks
from agent.core.facts.units import KIB, pages_to_kib


def hot_added_regions(
    firmware_map: MemoryMap, block_bytes: int | None, boot_ram_kib: int | None = None
) -> tuple[Region, ...]:
    """The hot-added ranges, oldest first.

    With `boot_ram_kib` (the System RAM of the boot's map) this is exact.  Without it, a range
    counts when it stands where a boot's own never stands; one that stands like a boot's own
    (as Linux 6.12 adds its first one, at 4 GiB) is not found.
    """
    candidates = _trailing_blocks(firmware_map, block_bytes)
    if boot_ram_kib is not None:
        surplus_kib = firmware_map.ram_kib - boot_ram_kib
        found = 0
        while found < len(candidates) and surplus_kib > 0:
            found += 1
            surplus_kib -= candidates[-found].size_bytes // KIB
        return candidates[len(candidates) - found :] if surplus_kib == 0 else ()
    for index, region in enumerate(candidates):
        if _stands_apart(region, firmware_map):
            return candidates[index:]
    return ()


def hot_added_kib(regions: tuple[Region, ...]) -> int:
    """Their size."""
    return sum(region.size_bytes for region in regions) // KIB


def offline_kib(firmware_map: MemoryMap, blocks: MemoryBlocks) -> int:
    """System RAM inside the memory blocks that are offline, in KiB."""
    size = blocks.block_bytes
    return sum(
        pages_to_kib(firmware_map.ram_within_pages(block * size, (block + 1) * size))
        for block in blocks.offline
    )


def _trailing_blocks(firmware_map: MemoryMap, block_bytes: int | None) -> tuple[Region, ...]:
    """The last entries of the map that have the shape of hot-added memory."""
    if not block_bytes:
        return ()
    trailing: list[Region] = []
    for region in reversed(firmware_map.in_order_read):
        aligned = region.start % block_bytes == 0 and region.size_bytes % block_bytes == 0
        if region.kind != SYSTEM_RAM or not aligned:
            break
        trailing.append(region)
    return tuple(reversed(trailing))


def _stands_apart(region: Region, firmware_map: MemoryMap) -> bool:
    """Whether a range lies behind its address order, or touches RAM it would have merged with."""
    position = firmware_map.in_order_read.index(region)
    before = firmware_map.in_order_read[:position]
    return any(
        earlier.end > region.end or (earlier.kind == SYSTEM_RAM and earlier.end + 1 == region.start)
        for earlier in before
    )
