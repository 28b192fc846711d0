# SPDX-License-Identifier: GPL-2.0-or-later
"""Which ranges of the firmware map were hot-added after boot, as far as the map itself tells.

The kernel appends a hot-added range to the firmware map under the next number
(drivers/firmware/memmap.c, firmware_map_add_hotplug), in whole memory blocks.  Linux merges RAM
ranges that touch before it publishes the boot's own (arch/x86/kernel/e820.c,
e820__update_table), and publishes those in address order.

Relies on docs/design.md A2 and A9.
"""

from __future__ import annotations

from agent.core.facts.memory_map import SYSTEM_RAM, MemoryMap, Region, Span, memory_map
from agent.core.facts.snapshot import MemoryBlocks
from agent.core.facts.units import pages_to_kib


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
            surplus_kib -= candidates[-found].kib
        return candidates[len(candidates) - found :] if surplus_kib == 0 else ()
    return candidates[_first_that_stands_apart(candidates, firmware_map) :]


def without(firmware_map: MemoryMap, added: tuple[Region, ...]) -> MemoryMap:
    """The map as it was before those ranges were hot-added."""
    if not added:
        return firmware_map
    later = frozenset(added)  # there may be thousands
    return memory_map([region for region in firmware_map.in_order_read if region not in later])


def hot_added_kib(regions: tuple[Region, ...]) -> int:
    """What they add to the RAM of the map."""
    return sum(region.kib for region in regions)


def offline_kib(firmware_map: MemoryMap, blocks: MemoryBlocks) -> int:
    """System RAM inside the memory blocks that are offline, in KiB."""
    size = blocks.block_bytes
    spans = (Span(block * size, (block + 1) * size) for block in blocks.offline)
    return pages_to_kib(firmware_map.ram_pages_in(spans))


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


def _first_that_stands_apart(candidates: tuple[Region, ...], firmware_map: MemoryMap) -> int:
    """Which of the last entries is the first that a boot's own map would not have there.

    It lies behind its address order, or touches RAM it would have merged with.
    """
    ordered = firmware_map.in_order_read
    before = ordered[: len(ordered) - len(candidates)]
    reach = max((region.end for region in before), default=-1)
    ends_of_ram = {region.end for region in before if region.kind == SYSTEM_RAM}
    for index, region in enumerate(candidates):
        if reach > region.end or region.start - 1 in ends_of_ram:
            return index
        reach = max(reach, region.end)
        ends_of_ram.add(region.end)
    return len(candidates)
