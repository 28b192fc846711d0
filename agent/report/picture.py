# SPDX-License-Identifier: GPL-2.0-or-later
"""The picture of a guest's memory: how much is where, and what the addresses look like.

███████████████████▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒      amounts, from 0 to the larger of map and maximum
                   ▲ target 512 MiB
0    ──────    ─────────────── 1 GiB         addresses, RAM with its holes
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agent.core.account.boot_facts import mapped_kib
from agent.core.account.headroom import limit_kib
from agent.core.account.situation import Situation
from agent.core.facts.memory_map import MemoryMap
from agent.core.facts.units import KIB, format_kib
from agent.report.styled import Line, Span, line


class Part(NamedTuple):
    """A stretch of the amounts bar."""

    name: str
    kib: int
    glyph: str
    style: str


def amount_parts(situation: Situation) -> list[Part]:
    """Where the memory is: populated, ballooned, offline, held elsewhere, not in the map."""
    balloon = situation.snapshot.balloon
    if balloon is None or balloon.current_kib is None:
        return []
    parts = [
        Part("current", balloon.current_kib, "█", "populated"),
        Part("ballooned", balloon.ballooned_kib or 0, "▒", "ballooned"),
    ]
    for name, label, glyph, style in (
        ("offline-blocks", "hot-added and offline", "×", "offline"),
        ("unpopulated-alloc", "kept by unpopulated-alloc", "░", "elsewhere"),
        ("lent-for-grants", "lent to backends", "░", "elsewhere"),
    ):
        term = situation.reconciliation.term(name)
        if term is not None and term.kib < 0:
            parts.append(Part(label, -term.kib, glyph, style))
    missing_kib = _beyond_map_kib(situation)
    if missing_kib > 0:
        parts.append(Part("not in the map", missing_kib, "·", "dim"))
    return [part for part in parts if part.kib > 0]


def amount_marks(situation: Situation) -> list[tuple[str, int]]:
    """Targets and limits by name, in KiB on the kernel's scale."""
    balloon = situation.snapshot.balloon
    marks: list[tuple[str, int]] = []
    if balloon is not None and balloon.target_kib is not None:
        marks.append(("target", balloon.target_kib))
    wanted_kib = situation.host_target_on_kernel_scale_kib
    if wanted_kib is not None and (balloon is None or wanted_kib != balloon.target_kib):
        marks.append(("host target", max(0, wanted_kib)))
    most_kib = limit_kib(situation.snapshot)
    if most_kib is not None:
        marks.append(("maximum", most_kib - situation.offset_kib))
    return marks


def amounts_picture(situation: Situation, width: int) -> list[Line]:
    """The bar with its marks below and its legend."""
    parts = amount_parts(situation)
    if not parts:
        return []
    whole_kib = sum(part.kib for part in parts)
    marks = [_mark_line(*mark, whole_kib, width) for mark in amount_marks(situation)]
    return parts_picture(parts, width, marks)


def parts_picture(parts: list[Part], width: int, marks: Sequence[Line] = ()) -> list[Line]:
    """A bar of parts, each with a size; the marks below it, and what the glyphs mean."""
    columns = _columns([part.kib for part in parts], width)
    bar = line(*(Span(part.glyph * n, part.style) for part, n in zip(parts, columns)))
    return [bar, *marks, *_legend(parts, width)]


def addresses_picture(firmware_map: MemoryMap, width: int) -> list[Line]:
    """One line: RAM as a stroke, holes as gaps, from address 0 to the end of RAM."""
    top = firmware_map.top
    label = f" {format_kib(top // KIB)}"
    room = width - len(label)
    if top == 0 or room < 1:
        return []
    cells = [" "] * room
    for span in firmware_map.ram_spans():
        first = span.start * room // top
        last = max(first + 1, span.stop * room // top)
        for cell in range(first, min(last, room)):
            cells[cell] = "━"
    return [line(Span("".join(cells), "populated"), Span(label, "dim"))]


def _beyond_map_kib(situation: Situation) -> int:
    """What the host's limit allows and the map does not have."""
    snapshot = situation.snapshot
    most_kib, firmware_map = limit_kib(snapshot), snapshot.firmware_map
    if most_kib is None or firmware_map is None:
        return 0
    return most_kib - situation.offset_kib - mapped_kib(firmware_map, snapshot.domain.domain_type)


def _columns(sizes_kib: list[int], width: int) -> list[int]:
    """Columns for each part, adding up to `width`; none that has a size vanishes."""
    whole_kib = sum(sizes_kib)
    columns = [max(1, size * width // whole_kib) for size in sizes_kib]
    largest = columns.index(max(columns))
    columns[largest] += width - sum(columns)
    return columns


def _mark_line(name: str, kib: int, whole_kib: int, width: int) -> Line:
    """A pointer below the bar and its label on the side that has room."""
    column = min(width - 1, max(0, kib * width // whole_kib))
    column = max(0, column - 1) if kib >= whole_kib else column
    label = f"{name} {format_kib(kib)}"
    if kib > whole_kib:
        label += ", beyond this bar"
    if column + 2 + len(label) <= width:
        return line(" " * column, Span("▲", "mark"), f" {label}")
    return line(" " * max(0, column - len(label) - 1), f"{label} ", Span("▲", "mark"))


def _legend(parts: list[Part], width: int) -> list[Line]:
    """What the glyphs mean, as many to a line as fit."""
    lines: list[Line] = []
    spans: list[Span | str] = []
    used = 0
    for part in parts:
        label = f" {part.name} {format_kib(part.kib)}"
        if spans and used + len(label) + 4 > width:
            lines.append(line(*spans))
            spans, used = [], 0
        if spans:
            spans.append("   ")
            used += 3
        spans += [Span(part.glyph, part.style), label]
        used += 1 + len(label)
    return [*lines, line(*spans)]
