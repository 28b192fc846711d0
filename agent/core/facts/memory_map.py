# SPDX-License-Identifier: GPL-2.0-or-later
"""The physical address space as the firmware described it: E820 ranges, RAM, holes.

`MemoryMap` keeps the ranges as they were read, flags what is odd about them, and answers
questions about the RAM in them without counting an address twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from agent.core.facts.bounds import LARGEST_ADDRESS
from agent.core.facts.units import KIB, PAGE_BYTES

SYSTEM_RAM: Final = "System RAM"
ADDRESS_LIMIT: Final = 1 << 64

# The legacy video and BIOS window.  A PV guest's E820 marks it reserved although Xen populated
# it (arch/x86/xen/setup.c, xen_memory_setup: "even though this is normally not RAM, mark ISA
# memory as RESERVED").
ISA_START: Final = 0xA0000
ISA_END: Final = 0x100000
FOUR_GIB: Final = 1 << 32


class Region(NamedTuple):
    """One range of the map.  `end` is the last address in it, as in the kernel's own files."""

    start: int
    end: int
    kind: str

    @property
    def size_bytes(self) -> int:
        return self.end - self.start + 1

    @property
    def kib(self) -> int:
        return self.size_bytes // KIB


class Span(NamedTuple):
    """A half-open range of addresses, `start` up to but without `stop`."""

    start: int
    stop: int

    @property
    def kib(self) -> int:
        return (self.stop - self.start) // KIB


class MemoryMap(NamedTuple):
    """Ranges in address order, and what was wrong with the input.

    `in_order_read` keeps the order of the source: hot-added memory is appended to the firmware
    map, so that order tells what is newer (drivers/firmware/memmap.c,
    firmware_map_add_hotplug).
    """

    regions: tuple[Region, ...]
    in_order_read: tuple[Region, ...]
    oddities: tuple[str, ...] = ()

    @property
    def ram_kib(self) -> int:
        """All System RAM, each address counted once, in KiB (a last partial KiB is cut)."""
        return sum(span.stop - span.start for span in self.ram_spans()) // KIB

    @property
    def ram_pages(self) -> int:
        """Whole pages of System RAM: what the kernel can use of the ranges."""
        return sum(whole_pages(span) for span in self.ram_spans())

    @property
    def top(self) -> int:
        """The address behind the last byte of System RAM; 0 when there is none."""
        return max((span.stop for span in self.ram_spans()), default=0)

    def ram_spans(self) -> tuple[Span, ...]:
        """System RAM as disjoint spans in address order; touching ranges are one span."""
        return merge_spans(
            Span(region.start, region.end + 1)
            for region in self.regions
            if region.kind == SYSTEM_RAM
        )

    def ram_within_pages(self, start: int, stop: int) -> int:
        """Whole pages of System RAM between `start` and `stop` (exclusive)."""
        return self.ram_pages_in((Span(start, stop),))

    def ram_pages_in(self, parts: Iterable[Span]) -> int:
        """Whole pages of System RAM in some parts of the addresses, each counted once."""
        pages, first, ram = 0, 0, self.ram_spans()
        for part in merge_spans(parts):
            while first < len(ram) and ram[first].stop <= part.start:
                first += 1
            position = first
            while position < len(ram) and ram[position].start < part.stop:
                start, stop = ram[position]
                pages += whole_pages(Span(max(part.start, start), min(part.stop, stop)))
                position += 1
        return pages

    def holes(self) -> tuple[Span, ...]:
        """What lies between two spans of RAM: the ISA window, PCI holes, reserved ranges."""
        spans = self.ram_spans()
        return tuple(Span(before.stop, after.start) for before, after in zip(spans, spans[1:]))

    @property
    def is_of_arm(self) -> bool:
        """Whether no RAM lies below 1 MiB, where every x86 machine has some.

        Xen gives an ARM guest RAM from 1 GiB up (GUEST_RAM0_BASE).
        """
        return bool(self.top) and not self.ram_within_pages(0, ISA_END)

    @property
    def isa_hole_pages(self) -> int:
        """Pages of the ISA window that the map does not call RAM (96 in a usual PV guest)."""
        if self.top <= ISA_START:
            return 0
        return (ISA_END - ISA_START) // PAGE_BYTES - self.ram_within_pages(ISA_START, ISA_END)

    @property
    def page_zero_pages(self) -> int:
        """1 when the map calls page 0 RAM, else 0; the kernel never uses that page."""
        return self.ram_within_pages(0, PAGE_BYTES)


def whole_pages(span: Span) -> int:
    """How many whole, aligned pages fit into a span."""
    first = -(-span.start // PAGE_BYTES)
    last = span.stop // PAGE_BYTES
    return max(0, last - first)


def merge_spans(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same addresses as disjoint spans in order."""
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.start <= merged[-1].stop:
            merged[-1] = Span(merged[-1].start, max(merged[-1].stop, span.stop))
        else:
            merged.append(span)
    return tuple(merged)


def memory_map(regions: Sequence[Region], oddities: Sequence[str] = ()) -> MemoryMap:
    """A map of `regions` in the order they were read; what cannot be a range is left out.

    Never raises: a range that ends before it starts, lies outside 64 bits, or is RAM that no
    machine can address is dropped and flagged; overlapping and unordered ones are kept and flagged.
    """
    found = list(oddities)
    sound: list[Region] = []
    for region in regions:
        where = f"entry {region.start:#x}-{region.end:#x}"
        if not 0 <= region.start <= region.end < ADDRESS_LIMIT:
            found.append(f"{where} is no range, left out")
        elif region.kind == SYSTEM_RAM and region.end >= LARGEST_ADDRESS:
            found.append(f"{where} is more RAM than a machine can address, left out")
        else:
            sound.append(region)
    ordered = tuple(sorted(sound))
    reach = -1
    for region in ordered:
        if region.start <= reach:
            found.append(f"range {region.start:#x}-{region.end:#x} overlaps one before it")
        reach = max(reach, region.end)
    return MemoryMap(ordered, tuple(sound), tuple(found))
