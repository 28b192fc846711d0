# SPDX-License-Identifier: GPL-2.0-or-later
"""The waterfall as a picture: from the maximum down to what applications can use.

maximum                 1 048 576  ████████████████████████████████████
  ballooned              -524 288                     ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
current                   524 288  ██████████████████
  used                    -61 376           ▒▒
available                 380 268  █████████████
"""

from __future__ import annotations

from typing import Final

from agent.core.account.waterfall import LevelName, Waterfall
from agent.report.styled import Line, Span, wrapped
from agent.report.top import titled

_LABELS: Final[dict[LevelName, str]] = {
    "maxmem": "maximum",
    "map": "RAM of the map",
    "current": "current",
    "total": "MemTotal",
    "available": "available",
}
_NAME_COLUMNS: Final = 22
_SIZE_COLUMNS: Final = 13  # at least
_LEAST_BAR_COLUMNS: Final = 12
_LEVEL: Final = ("█", "populated")
_STEP: Final = ("▒", "ballooned")


def waterfall_lines(fall: Waterfall, width: int) -> list[Line]:
    """A section of a screen; nothing where less than two levels are known."""
    if len(fall.levels) < 2:
        return []
    rows: list[tuple[str, str, str, list[int], tuple[str, str]]] = []
    for level in fall.levels:
        reached_kib = level.kib - sum(step.kib for step in level.steps)
        for step in level.steps:
            size = ("≈ " if step.inferred else "") + f"{step.kib:+,d}"
            stretch = sorted((reached_kib, reached_kib + step.kib))
            rows.append((f"  {step.name}", size, "", stretch, _STEP))
            reached_kib += step.kib
        rows.append((_LABELS[level.name], f"{level.kib:,d}", "heading", [0, level.kib], _LEVEL))
    columns = max(_SIZE_COLUMNS, *(len(size) for _, size, *_ in rows))
    bars = width - _NAME_COLUMNS - columns - 5
    whole_kib = max(level.kib for level in fall.levels)
    lines = titled("Waterfall", "from the maximum to what programs can use, in KiB", width)
    for name, size, style, stretch, look in rows:
        text = f"  {name:<{_NAME_COLUMNS}}{size.replace(',', ' '):>{columns}}"
        lines.append((Span(text, style), *_bar(stretch, whole_kib, bars, look)))
    return [*lines, *wrapped(_note(fall), width, indent="  ", style="dim"), ()]


def _note(fall: Waterfall) -> str:
    """Signs, and what the last level consists of."""
    words = []
    if any(step.inferred for level in fall.levels for step in level.steps):
        words.append("≈ is what was left over.")
    if fall.free_kib is not None and fall.cache_kib is not None:
        words.append(f"Available: {fall.free_kib} KiB free, {fall.cache_kib} KiB of cache.")
    return " ".join(words)


def _bar(stretch_kib: list[int], whole_kib: int, bars: int, look: tuple[str, str]) -> Line:
    """The stretch between two sizes; nothing where there is no room for a picture."""
    if bars < _LEAST_BAR_COLUMNS or max(stretch_kib) <= 0:
        return ()
    low_kib, high_kib = (min(max(0, kib), whole_kib) for kib in stretch_kib)
    first = min(low_kib * bars // whole_kib, bars - 1)
    last = max(first + 1, -(-high_kib * bars // whole_kib))
    glyph, style = look
    return (Span("  " + " " * first), Span(glyph * (last - first), style))
