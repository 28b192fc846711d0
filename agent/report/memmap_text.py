# SPDX-License-Identifier: GPL-2.0-or-later
"""The memmap screen: the firmware's map and the kernel's iomem side by side, by address."""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.core.account.boot_facts import added_since
from agent.core.account.situation import Situation
from agent.core.facts.memory_map import SYSTEM_RAM, MemoryMap, Region
from agent.core.facts.units import format_kib
from agent.report.picture import addresses_picture
from agent.report.styled import Line, Span, cut, heading, line, wrapped
from agent.report.top import banner_lines

_NARROW: Final = 72


class Row(NamedTuple):
    """One range as both sources see it; None where a source has nothing of the kind."""

    region: Region
    firmware: str | None
    iomem: str | None
    hot_added: bool


def memmap_lines(situation: Situation, width: int) -> list[Line]:
    """The whole screen: what the map means for the balloon, a picture of it, and its ranges."""
    firmware_map = situation.snapshot.firmware_map
    lines = [*banner_lines(situation, width), *_meaning(situation, width), ()]
    if firmware_map is not None:
        lines += [*addresses_picture(firmware_map, width), ()]
    lines += _table(situation, width)
    if firmware_map is not None and firmware_map.oddities:
        lines.append(())
        for oddity in firmware_map.oddities:
            lines += wrapped(f"odd: {oddity}", width, indent="  ", style="warning")
    return lines


def rows(situation: Situation) -> list[Row]:
    """All ranges of both sources in address order, a range that both have only once."""
    snapshot = situation.snapshot
    firmware_map = None if is_of_arm(situation) else snapshot.firmware_map
    firmware = firmware_map.regions if firmware_map else ()
    kernel = snapshot.iomem.regions if snapshot.iomem else ()
    added = frozenset(added_since(snapshot, situation.boot))
    names = {(region.start, region.end): region.kind for region in kernel}
    found = [
        Row(region, region.kind, names.pop((region.start, region.end), None), region in added)
        for region in firmware
    ]
    found += [
        Row(region, None, region.kind, region in added)
        for region in kernel
        if (region.start, region.end) in names
    ]
    return sorted(found, key=lambda row: (row.region.start, row.region.end))


def _table(situation: Situation, width: int) -> list[Line]:
    """The rows under their heads; a narrow terminal gets two lines a row."""
    shown = rows(situation)
    lines = _wide_table(shown, width) if width >= _NARROW else _narrow_table(shown, width)
    for name, source in (("firmware-map", "/sys/firmware/memmap"), ("iomem", "/proc/iomem")):
        status = situation.snapshot.sources.get(name, "ok")
        if name == "firmware-map" and is_of_arm(situation):
            lines += wrapped(f"There is no {source} on ARM.", width, style="dim")
        elif status != "ok":
            why = ": addresses are shown to root only" if status == "hidden" else ""
            lines += wrapped(f"{source} is {status}{why}", width, style="warning")
    return lines


def is_of_arm(situation: Situation) -> bool:
    """Whether /proc/iomem stands in for a map that no firmware has there."""
    firmware_map = situation.snapshot.firmware_map
    return firmware_map is not None and firmware_map.is_of_arm


def _wide_table(shown: list[Row], width: int) -> list[Line]:
    """One line a row, with as many columns for the addresses as the largest one needs."""
    digits = max((len(f"{row.region.end:x}") for row in shown), default=8)
    head = f"{'first':>{digits}} {'last':>{digits}} {'size':>9}  "
    lines = [heading(f"{head}{'firmware map':<16} /proc/iomem")] if shown else []
    room = width - len(head) - 17
    for row in shown:
        start, end = (f"{address:>{digits}x}" for address in (row.region.start, row.region.end))
        size = format_kib(row.region.kib)
        note = "  hot-added" if row.hot_added else ""
        kinds = f"{cut(row.firmware or '—', 16):<16} {cut(row.iomem or '—', room - len(note))}"
        lines.append(line(Span(f"{start} {end} {size:>9}  {kinds}{note}", _style(row))))
    return lines


def _narrow_table(shown: list[Row], width: int) -> list[Line]:
    """Two lines a row."""
    lines: list[Line] = []
    if shown:
        lines = [heading("first-last size"), heading("  firmware map | /proc/iomem")]
    for row in shown:
        size = format_kib(row.region.kib)
        note = "  hot-added" if row.hot_added else ""
        kinds = f"  {row.firmware or '—'} | {row.iomem or '—'}{note}"
        span = f"{row.region.start:x}-{row.region.end:x} {size}"
        lines.append(line(Span(span, _style(row))))
        lines.append(line(Span(cut(kinds, width), "dim")))
    return lines


def _style(row: Row) -> str:
    return "populated" if SYSTEM_RAM in (row.firmware, row.iomem) else "dim"


def _meaning(situation: Situation, width: int) -> list[Line]:
    """How much RAM the map has, where its holes are, and what of it the boot did not populate."""
    snapshot, boot = situation.snapshot, situation.boot
    lines: list[Line] = []
    if snapshot.firmware_map is not None:
        ram_kib = snapshot.firmware_map.ram_kib
        text = f"The map has {format_kib(ram_kib)} of RAM ({ram_kib} KiB)"
        lines += wrapped(text + _holes(snapshot.firmware_map), width, style="heading")
    if boot.beyond_kib is not None and boot.nr_pages is not None:
        how = "exact" if boot.nr_pages.exact else "as far as can be told"
        method = boot.nr_pages.method
        started = f"the domain was started with {boot.nr_pages.pages} pages (from {method})."
        text = (
            f"{format_kib(boot.beyond_kib)} of it ({boot.beyond_kib} KiB, {how}) lie beyond "
            f"nr_pages: {started}"
            if boot.beyond_kib
            else f"All of it was populated at boot ({how}): {started}"
        )
    else:
        text = "What of it lay beyond nr_pages at boot is not known: nothing readable tells."
    return [*lines, *wrapped(text, width)]


def _holes(firmware_map: MemoryMap) -> str:
    holes = firmware_map.holes()
    if not holes:
        return ", without a hole."
    shown = ", ".join(
        f"{hole.start:x}-{hole.stop - 1:x} ({format_kib(hole.kib)})" for hole in holes[:4]
    )
    more = f" and {len(holes) - 4} more" if len(holes) > 4 else ""
    return f"; holes: {shown}{more}."
