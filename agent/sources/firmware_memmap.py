# SPDX-License-Identifier: GPL-2.0-or-later
r"""/sys/firmware/memmap: the E820 map as it was when Linux had shaped it, readable by anybody.

    $ cd /sys/firmware/memmap; for n in *; do echo $n $(cat $n/start $n/end $n/type); done
    0 0x0 0x9ffff System RAM
    1 0xa0000 0xfffff Reserved
    2 0x100000 0x3fffffff System RAM

drivers/firmware/memmap.c.  On a PV guest it is the map after xen_memory_setup, that is with the
RAM beyond nr_pages.  Entries are numbered in the order of their creation: hot-added memory comes
last, whatever its address, and is there while still offline.

Relies on docs/design.md A2.
"""

from __future__ import annotations

from typing import Final

from agent.core.facts.memory_map import MemoryMap, Region, memory_map
from agent.core.facts.numbers import MalformedError, is_number, parse_hex, shown
from agent.sources.outcome import OK, Outcome, malformed
from agent.sources.system_root import SystemRoot

DIRECTORY: Final = "sys/firmware/memmap"
MOST_ENTRIES: Final = 20_000  # E820 has 128 slots, hot-added memory adds one per section


def parse_type(text: str) -> str:
    """The kind of a range: `System RAM`, `Reserved`, `ACPI Tables`, ...; unknown ones are kept.

    Raises:
        MalformedError: empty, or not one printable line.
    """
    kind = text.removesuffix("\n")
    if not kind or not kind.isprintable():
        raise MalformedError(f"{shown(text)} is not the name of a type")
    return "Reserved" if kind == "reserved" else kind


def read_firmware_memmap(root: SystemRoot) -> Outcome[MemoryMap]:
    """The firmware map below `root`; entries that cannot be read are left out and flagged."""
    names = root.names(DIRECTORY)
    if names.value is None:
        return Outcome(None, names.status)
    numbers = sorted(int(name) for name in names.value if is_number(name))
    if not numbers:
        return Outcome(None, malformed("no entries"))
    if len(numbers) > MOST_ENTRIES:
        return Outcome(None, malformed(f"{len(numbers)} entries, more than {MOST_ENTRIES}"))
    regions: list[Region] = []
    oddities: list[str] = []
    for number in numbers:
        try:
            regions.append(_read_entry(root, number))
        except MalformedError as error:
            oddities.append(f"entry {number}: {error}")
    if not regions:
        return Outcome(None, malformed(f"no readable entry, {oddities[0]}"))
    return Outcome(memory_map(regions, oddities), OK)


def _read_entry(root: SystemRoot, number: int) -> Region:
    """One range; raises MalformedError with why it could not be read."""
    texts = []
    for part in ("start", "end", "type"):
        text = root.read(f"{DIRECTORY}/{number}/{part}")
        if text.value is None:
            raise MalformedError(f"{part} is {text.status}")
        texts.append(text.value)
    start, end, kind = texts
    return Region(parse_hex(start), parse_hex(end), parse_type(kind))
