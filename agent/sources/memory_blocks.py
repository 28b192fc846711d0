# SPDX-License-Identifier: GPL-2.0-or-later
"""/sys/devices/system/memory: memory blocks, and which of them are offline.

    block_size_bytes 8000000 (hexadecimal)    auto_online_blocks offline
    memory8/state offline                     memory8/phys_index 00000008

drivers/base/memory.c.  Hot-added memory is invisible to the allocator until its blocks are
online; whether that happens by itself is `auto_online_blocks`.
"""

from __future__ import annotations

from typing import Final

from agent.core.facts.bounds import LARGEST_ADDRESS
from agent.core.facts.numbers import parse_hex
from agent.core.facts.pattern import Pattern
from agent.core.facts.snapshot import MemoryBlocks
from agent.core.facts.units import PAGE_BYTES
from agent.sources.outcome import OK, Outcome, malformed, parsed
from agent.sources.system_root import SystemRoot

DIRECTORY: Final = "sys/devices/system/memory"
MOST_BLOCKS: Final = 65_536

_BLOCK = Pattern(r"memory([0-9]{1,9})")


def state_file(block: int) -> str:
    """Where the state of a block is read and written."""
    return f"{DIRECTORY}/memory{block}/state"


def read_memory_blocks(root: SystemRoot) -> Outcome[MemoryBlocks]:
    """Which blocks are online and offline; a block on its way (`going-offline`) is online."""
    size = parsed(root.read(f"{DIRECTORY}/block_size_bytes"), parse_hex)
    names = root.names(DIRECTORY)
    if size.value is None or names.value is None:
        return Outcome(None, names.status if names.value is None else size.status)
    if size.value % PAGE_BYTES or not 0 < size.value <= LARGEST_ADDRESS:
        return Outcome(None, malformed(f"a block size of {size.value:#x}"))
    numbers = sorted(int(found[1]) for name in names.value if (found := _BLOCK.fullmatch(name)))
    if len(numbers) > MOST_BLOCKS:
        return Outcome(None, malformed(f"{len(numbers)} blocks, more than {MOST_BLOCKS}"))
    online: list[int] = []
    offline: list[int] = []
    for number in numbers:
        state = (root.read(state_file(number)).value or "").strip()
        (offline if state == "offline" else online).append(number)
    auto = root.read_line(f"{DIRECTORY}/auto_online_blocks", 32)
    return Outcome(MemoryBlocks(size.value, tuple(online), tuple(offline), auto.value), OK)
