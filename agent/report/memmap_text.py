# SPDX-License-Identifier: GPL-2.0-or-later
"""The memmap screen: the firmware's map and the kernel's iomem side by side, by address."""

from typing import Final, NamedTuple

from agent.core.hot_added import hot_added_regions
from agent.core.memory_map import SYSTEM_RAM, MemoryMap, Region
from agent.core.situation import Situation
from agent.core.units import KIB, format_kib
from agent.report.picture import addresses_picture
from agent.report.status_text import banner_lines
from agent.report.styled import Line, Span, heading, line, wrapped

_NARROW: Final = 72


class Row(NamedTuple):
    """One range as both sources see it; None where a source has nothing of the kind."""

    region: Region
    firmware: str | None
    iomem: str | None
    note: str = ""


def memmap_lines(situation: Situation, width: int) -> list[Line]:
    """The whole screen."""
    snapshot = situation.snapshot
    lines = [*banner_lines(situation, width)]
    firmware_map = snapshot.firmware_map
    if firmware_map is not None:
        lines += [*addresses_picture(firmware_map, width), ()]
    lines += _table(situation, width)
    lines.append(())
    lines += _beyond(situation, width)
    if firmware_map is not None:
        lines += [line(Span(f"  odd: {oddity}", "warning")) for oddity in firmware_map.oddities]
    return lines


def rows(situation: Situation) -> list[Row]:
    """All ranges of both sources in address order, a range that both have only once."""
    snapshot = situation.snapshot
    firmware = snapshot.firmware_map.regions if snapshot.firmware_map else ()
    kernel = snapshot.iomem.regions if snapshot.iomem else ()
    block = snapshot.blocks.block_bytes if snapshot.blocks else None
    added: tuple[Region, ...] = ()
    if snapshot.firmware_map is not None:
        exact = situation.boot.ram_kib if situation.boot.ram_exact else None
        added = hot_added_regions(snapshot.firmware_map, block, exact)
    names = {(region.start, region.end): region.kind for region in kernel}
    found = []
    for region in firmware:
        kind = names.pop((region.start, region.end), None)
        found.append(Row(region, region.kind, kind, "hot-added" if region in added else ""))
    found += [
        Row(region, None, region.kind) for region in kernel if (region.start, region.end) in names
    ]
    return sorted(found, key=lambda row: (row.region.start, row.region.end))


def _table(situation: Situation, width: int) -> list[Line]:
    """The rows under their heads; a narrow terminal gets two lines a row."""
    head = f"{'first':>16} {'last':>16} {'size':>9}  {'firmware map':<16} /proc/iomem"
    lines: list[Line] = [heading(head)] if width >= _NARROW else []
    for row in rows(situation):
        size = format_kib(row.region.size_bytes // KIB)
        span = f"{row.region.start:>16x} {row.region.end:>16x} {size:>9}"
        kinds = f"{row.firmware or '—':<16} {row.iomem or '—'}"
        style = "populated" if SYSTEM_RAM in (row.firmware, row.iomem) else "dim"
        note = f"  {row.note}" if row.note else ""
        if width >= _NARROW:
            lines.append(line(Span(f"{span}  {kinds}{note}", style)))
        else:
            lines.append(line(Span(f"{row.region.start:x}-{row.region.end:x} {size}", style)))
            lines.append(line(Span(f"  {row.firmware or '—'} | {row.iomem or '—'}{note}", "dim")))
    status = situation.snapshot.sources
    for name, source in (("firmware-map", "/sys/firmware/memmap"), ("iomem", "/proc/iomem")):
        if status.get(name, "ok") != "ok":
            why = {"hidden": "hidden: addresses are shown to root only"}.get(
                status[name], status[name]
            )
            lines += wrapped(f"{source} is {why}", width, style="warning")
    return lines


def _beyond(situation: Situation, width: int) -> list[Line]:
    """What the map means for the balloon."""
    snapshot, boot = situation.snapshot, situation.boot
    lines: list[Line] = []
    if snapshot.firmware_map is not None:
        lines += wrapped(
            f"System RAM in the map: {format_kib(snapshot.firmware_map.ram_kib)}"
            f" ({snapshot.firmware_map.ram_kib} KiB){_holes(snapshot.firmware_map)}",
            width,
        )
    if boot.beyond_kib is not None and boot.nr_pages is not None:
        how = "exactly" if boot.nr_pages.exact else "as far as can be told"
        lines += wrapped(
            f"Beyond nr_pages ({boot.nr_pages.pages} pages, from {boot.nr_pages.method}): "
            f"{format_kib(boot.beyond_kib)} ({boot.beyond_kib} KiB) {how}.",
            width,
        )
    else:
        lines += wrapped("What lies beyond nr_pages is not known: nothing readable tells.", width)
    return lines


def _holes(firmware_map: MemoryMap) -> str:
    holes = firmware_map.holes()
    if not holes:
        return ", no hole"
    shown = ", ".join(
        f"{hole.start:x}-{hole.stop - 1:x} ({format_kib((hole.stop - hole.start) // KIB)})"
        for hole in holes[:4]
    )
    more = f" and {len(holes) - 4} more" if len(holes) > 4 else ""
    return f"; holes: {shown}{more}"
