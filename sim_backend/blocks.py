# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory blocks of a guest, and where hot-added memory lands.

Blocks are 128 MiB.  add_memory_resource() takes the lowest free place of the physical address
space that it may use, appends one entry to the firmware map whatever its size, and leaves the
blocks offline or brings them online, as `auto_online_blocks` says.
"""

from typing import Final

from agent.core.memory_map import SYSTEM_RAM, MemoryMap, Region, memory_map
from agent.core.snapshot import MemoryBlocks
from agent.core.units import PAGE_BYTES
from sim_backend.overhead import SECTION_PAGES

BLOCK_BYTES: Final = SECTION_PAGES * PAGE_BYTES
HIGHEST_ADDRESS: Final = 1 << 39  # CONFIG_XEN_BALLOON_MEMORY_HOTPLUG_LIMIT: 512 GiB


class BlockTable:
    """The blocks, and the maps that grow with them."""

    def __init__(
        self, firmware: MemoryMap, auto_online: str, first_hot_add: int, scratch_bytes: int = 0
    ) -> None:
        self.firmware = firmware
        self.auto_online = auto_online
        self.hot_added: list[Region] = []
        self._first_hot_add = first_hot_add
        self._scratch_bytes = scratch_bytes
        self._online: dict[int, bool] = {}
        for span in firmware.ram_spans():
            last = (span.stop - 1) // BLOCK_BYTES
            self._online.update(dict.fromkeys(range(span.start // BLOCK_BYTES, last + 1), True))

    @property
    def offline_pages(self) -> int:
        """Pages of all offline blocks."""
        return sum(not online for online in self._online.values()) * SECTION_PAGES

    @property
    def online_hot_added_pages(self) -> int:
        """Hot-added pages that are online."""
        blocks = [block for region in self.hot_added for block in _blocks_of(region)]
        return sum(self._online[block] for block in blocks) * SECTION_PAGES

    def state_of(self, block: int) -> str | None:
        """`online`, `offline`, or None when there is no such block."""
        online = self._online.get(block)
        return None if online is None else "online" if online else "offline"

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

    def online(self, block: int) -> int:
        """Put a block online; the pages that came with it, 0 when it was online already.

        Raises:
            KeyError: there is no such block.
        """
        if self._online[block]:
            return 0
        self._online[block] = True
        return SECTION_PAGES

    def _free_place(self, size: int) -> int | None:
        """The lowest aligned free range, in the order in which the kernel tries."""
        candidates = [region.end + 1 for region in self.firmware.regions]
        if self._first_hot_add and not self.hot_added:
            candidates = [self._first_hot_add, *candidates]
        else:
            candidates.sort()
        for candidate in candidates:
            start = -(-candidate // BLOCK_BYTES) * BLOCK_BYTES
            if start + size <= HIGHEST_ADDRESS and self._is_free(start, size):
                return start
        return None

    def _is_free(self, start: int, size: int) -> bool:
        if any(r.start < start + size and r.end >= start for r in self.firmware.regions):
            return False
        scratch_start = -(-self._boot_top() // BLOCK_BYTES) * BLOCK_BYTES
        scratch_stop = scratch_start + self._scratch_bytes
        return not (scratch_start < start + size and scratch_stop > start)

    def _boot_top(self) -> int:
        boot_ram = [r for r in self.firmware.regions if r.kind == SYSTEM_RAM]
        added = set(self.hot_added)
        return max((r.end + 1 for r in boot_ram if r not in added), default=0)


def _blocks_of(region: Region) -> range:
    return range(region.start // BLOCK_BYTES, (region.end + 1) // BLOCK_BYTES)
