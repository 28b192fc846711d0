# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/iomem: the physical addresses as the kernel uses them now.

    00000000-00000fff : Reserved
    00001000-0009ffff : System RAM
    000a0000-000fffff : Reserved
      000f0000-000fffff : System ROM
    00100000-3fffffff : System RAM
      01000000-01e01d31 : Kernel code
    40000000-47ffffff : Xen scratch

kernel/resource.c, r_show.  Without CAP_SYS_ADMIN every address reads as 0: that view is
*hidden*, it is not an empty machine.  Only the outermost ranges are kept.  "Xen scratch" is
what the kernel's unpopulated-alloc took for foreign pages; it is no RAM.

Relies on docs/design.md A3.
"""

from __future__ import annotations

import re
from typing import Final

from agent.core.facts.memory_map import MemoryMap, Region, memory_map
from agent.core.facts.numbers import MalformedError, shown
from agent.sources.outcome import HiddenError, Outcome, parsed
from agent.sources.system_root import LARGE_LIMIT_BYTES, SystemRoot

FILE: Final = "proc/iomem"

_LINE = re.compile(r"( *)([0-9a-f]{1,16})-([0-9a-f]{1,16}) : (.*)", re.ASCII)


def parse_iomem(text: str) -> MemoryMap:
    """The outermost ranges.

    Raises:
        HiddenError: every address is 0, the view of an ordinary user.
        MalformedError: no line of it is a range.
    """
    regions: list[Region] = []
    oddities: list[str] = []
    anything_shown = False
    for line in text.split("\n"):
        if not line:
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            oddities.append(f"line {shown(line)} is not a range")
            continue
        indent, start, end, name = match.groups()
        region = Region(int(start, 16), int(end, 16), name)
        anything_shown = anything_shown or region.end > 0
        if not indent:
            regions.append(region)
    if not regions:
        raise MalformedError("no range in it" + (f", {oddities[0]}" if oddities else ""))
    if not anything_shown:
        raise HiddenError
    return memory_map(regions, oddities)


def read_iomem(root: SystemRoot) -> Outcome[MemoryMap]:
    """/proc/iomem below `root`; status "hidden" for the view without privileges."""
    return parsed(root.read(FILE, LARGE_LIMIT_BYTES), parse_iomem)
