# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory blocks of a guest, and where hot-added memory lands.

Blocks are 128 MiB.  add_memory_resource() takes the lowest free place of the physical address
space that it may use, appends one entry to the firmware map whatever its size, and leaves the
blocks offline or brings them online, as `auto_online_blocks` says.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from agent.core.boot.cost import SECTION_PAGES
from agent.core.facts.memory_map import SYSTEM_RAM, MemoryMap, Region, memory_map
from agent.core.facts.snapshot import MemoryBlocks
from agent.core.facts.units import PAGE_BYTES

SCRATCH: Final = "Xen scratch"
BLOCK_BYTES: Final = SECTION_PAGES * PAGE_BYTES
HIGHEST_ADDRESS: Final = 1 << 39  # CONFIG_XEN_BALLOON_MEMORY_HOTPLUG_LIMIT: 512 GiB


class BlockTable:
    """The blocks, and the maps that grow with them."""

    def __init__(
        self, firmware: MemoryMap, auto_online: str, first_hot_add: int, scratch_pages: int = 0
    ) -> None:
        self.firmware = firmware
        self.auto_online = auto_online
        self.hot_added: list[Region] = []
        self._first_hot_add = first_hot_add
        self.scratch: tuple[Region, ...] = ()
        self._online: dict[int, bool] = {}
        for span in firmware.ram_spans():
            last = (span.stop - 1) // BLOCK_BYTES
            self._online.update(dict.fromkeys(range(span.start // BLOCK_BYTES, last + 1), True))
        if scratch_pages:
            self.add_scratch(scratch_pages)

    @property
    def online_hot_added_pages(self) -> int:
        return sum(stop - start for start, stop in self.online_hot_added_spans()) // PAGE_BYTES

    def online_hot_added_spans(self) -> list[tuple[int, int]]:
        """Start and end of each hot-added block that is online."""
        blocks = [block for region in self.hot_added for block in _blocks_of(region)]
        return [(b * BLOCK_BYTES, (b + 1) * BLOCK_BYTES) for b in blocks if self._online[b]]

    def reading(self) -> MemoryBlocks:
        """What /sys/devices/system/memory shows."""
        return MemoryBlocks(
            block_bytes=BLOCK_BYTES,
            online=tuple(sorted(block for block, online in self._online.items() if online)),
            offline=tuple(sorted(block for block, online in self._online.items() if not online)),
            auto_online=self.auto_online,
        )

    def add(self, pages: int) -> Region | None:
        """Hot-add whole sections; the new range, offline, or None when there is no room."""
        size = pages * PAGE_BYTES
        start = self._free_place(size)
        if start is None:
            return None
        region = Region(start, start + size - 1, SYSTEM_RAM)
        self.hot_added.append(region)
        self.firmware = memory_map((*self.firmware.in_order_read, region))
        self._online.update(dict.fromkeys(_blocks_of(region), False))
        return region

    def add_scratch(self, pages: int) -> None:
        """unpopulated-alloc takes address space for that many pages, in whole sections.

        Foreign pages are mapped there; it is neither RAM nor a memory block.  Nothing happens when
        there is no room.
        """
        size = -(-pages // SECTION_PAGES) * BLOCK_BYTES
        start = next((place for place in self._places() if self._is_free(place, size)), None)
        if start is not None:
            self.scratch = (*self.scratch, Region(start, start + size - 1, SCRATCH))

    @property
    def scratch_pages(self) -> int:
        return sum(region.size_bytes for region in self.scratch) // PAGE_BYTES

    def online(self, block: int) -> int:
        """Put a block online; the pages that came with it, 0 when it was online already.

        Raises:
            OSError: there is no such block.
        """
        if block not in self._online:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), f"memory{block}")
        if self._online[block]:
            return 0
        self._online[block] = True
        return SECTION_PAGES

    def _free_place(self, size: int) -> int | None:
        """The lowest aligned free range, in the order in which the kernel tries."""
        first = [self._first_hot_add] if self._first_hot_add and not self.hot_added else []
        for start in (*first, *self._places(by_address=not first)):
            if start + size <= HIGHEST_ADDRESS and self._is_free(start, size):
                return start
        return None

    def _places(self, *, by_address: bool = True) -> list[int]:
        """Aligned addresses behind each range that is taken."""
        ends = [region.end + 1 for region in (*self.firmware.regions, *self.scratch)]
        places = [-(-end // BLOCK_BYTES) * BLOCK_BYTES for end in ends]
        return sorted(places) if by_address else places

    def _is_free(self, start: int, size: int) -> bool:
        taken = (*self.firmware.regions, *self.scratch)
        return not any(r.start < start + size and r.end >= start for r in taken)


def _blocks_of(region: Region) -> range:
    return range(region.start // BLOCK_BYTES, (region.end + 1) // BLOCK_BYTES)
