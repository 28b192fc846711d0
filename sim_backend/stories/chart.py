# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory over time as SVG: curves in a panel of MiB, a panel of percent below, numbered events.

Written by hand: two panels of lines need no library, and the file stays readable.  It knows nothing
of where the figures come from; charts of the same story can stand side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from math import ceil, floor, log10
from typing import Final, NamedTuple, Optional

WIDTH: Final = 960
LEFT, RIGHT = 70, 24
TOP_PANEL: Final = (96, 260)  # y of its top, height
LOW_PANEL: Final = (412, 90)
MARKS_TOP: Final = LOW_PANEL[0] + LOW_PANEL[1] + 44
MARK_LINE: Final = 16
MOST_MARKS: Final = 24
LEGEND_STEP: Final = 150
ROOM: Final = 1.18  # for the numbers of events
FONT: Final = "font-family='sans-serif' font-size='12' fill='#333'"
_BIG: Final = "font-family='sans-serif' font-size='17' fill='#111'"
_STAMP: Final = "font-family='sans-serif' font-size='17' font-weight='bold' fill='#b3261e'"

Points = Sequence[tuple[float, Optional[float]]]
"""Seconds and a value; None is a gap."""


class Curve(NamedTuple):
    """One line: its legend, colour and dash pattern."""

    legend: str
    colour: str
    dash: str
    points: Points


class Mark(NamedTuple):
    """Something that happened."""

    when_s: float
    text: str


class Chart(NamedTuple):
    """What to draw.

    Attributes:
        ceiling_mib: the top of the memory axis; charts side by side have the same.
        stamp: a word of warning in red at the right of the title.
        note: small words in its place, such as what it was made with.
    """

    title: str
    stamp: str
    duration_s: float
    ceiling_mib: float
    memory: Sequence[Curve]
    stalled: Points
    marks: Sequence[Mark]
    note: str = ""

    @property
    def height(self) -> int:
        """In the units of WIDTH."""
        return MARKS_TOP + MARK_LINE * min(len(self.marks), MOST_MARKS + 1) + 16


def svg(charts: Sequence[Chart], name: str) -> str:
    """Charts side by side as an SVG document, which is called NAME."""
    width, height = WIDTH * len(charts), max(chart.height for chart in charts)
    size = f"viewBox='0 0 {width} {height}' width='{width}' height='{height}'"
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' {size} role='img'>",
        f"<title>{escape(name)}</title>",
        f"<rect width='{width}' height='{height}' fill='white'/>",
    ]
    for number, chart in enumerate(charts):
        if len(charts) > 1:
            parts.append(f"<g transform='translate({WIDTH * number} 0)'>")
        parts += _chart(chart)
        if len(charts) > 1:
            parts.append("</g>")
    return "\n".join((*parts, "</svg>")) + "\n"


def _chart(chart: Chart) -> Iterator[str]:
    yield f"<text x='{LEFT}' y='28' {_BIG}>{escape(chart.title)}</text>"
    right = f"x='{WIDTH - RIGHT}' y='28' text-anchor='end'"
    if chart.stamp:
        yield f"<text {right} {_STAMP}>{escape(chart.stamp)}</text>"
    if chart.note:
        yield f"<text {right} {FONT}>{escape(chart.note)}</text>"
    yield from _legend(chart.memory)
    yield from _panel(chart, TOP_PANEL, chart.memory, chart.ceiling_mib, "MiB")
    stalled = Curve("pressure", "#b3261e", "", chart.stalled)
    yield from _panel(chart, LOW_PANEL, (stalled,), 100.0, "stalled %")
    yield from _marks(chart)


def _x(chart: Chart, when_s: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * when_s / max(chart.duration_s, 1e-9)


def _panel(
    chart: Chart, place: tuple[int, int], curves: Sequence[Curve], ceiling: float, unit: str
) -> Iterator[str]:
    top, height = place
    yield f"<text x='{LEFT}' y='{top - 8}' {FONT}>{escape(unit)}</text>"
    for tick in _ticks(ceiling, 5 if height > 150 else 2):
        y = top + height - height * tick / ceiling
        yield f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}' stroke='#e5e5e5'/>"
        yield f"<text x='{LEFT - 8}' y='{y + 4:.1f}' text-anchor='end' {FONT}>{tick:g}</text>"
    for tick in _ticks(chart.duration_s, 8):
        where = f"x='{_x(chart, tick):.1f}' y='{top + height + 16}'"
        yield f"<text {where} text-anchor='middle' {FONT}>{tick:g} s</text>"
    for curve in curves:
        yield from _curve(chart, curve, top, height, ceiling)


def _curve(chart: Chart, curve: Curve, top: int, height: int, ceiling: float) -> Iterator[str]:
    """The curve in as many pieces as it has gaps; values above the ceiling run along it."""
    pieces: list[list[str]] = [[]]
    for when_s, value in curve.points:
        if value is None:
            pieces.append([])
            continue
        y = top + height - height * min(max(value, 0.0), ceiling) / ceiling
        _extend(pieces[-1], f"{_x(chart, when_s):.1f}", f"{y:.1f}")
    stroke = f"stroke='{curve.colour}' stroke-width='2'{_dashed(curve)}"
    for piece in pieces:
        if len(piece) > 1:
            yield f"<polyline points='{' '.join(piece)}' fill='none' {stroke}/>"


def _extend(piece: list[str], x: str, y: str) -> None:
    """Add a point; of a level stretch only the two ends are kept."""
    if len(piece) > 1 and all(point.endswith(f",{y}") for point in piece[-2:]):
        piece.pop()
    piece.append(f"{x},{y}")


def _dashed(curve: Curve) -> str:
    return f" stroke-dasharray='{curve.dash}'" if curve.dash else ""


def _legend(curves: Sequence[Curve]) -> Iterator[str]:
    for number, curve in enumerate(curves):
        x = LEFT + LEGEND_STEP * number
        ends = f"x1='{x}' x2='{x + 28}' y1='54' y2='54'"
        yield f"<line {ends} stroke='{curve.colour}' stroke-width='2'{_dashed(curve)}/>"
        yield f"<text x='{x + 34}' y='58' {FONT}>{escape(curve.legend)}</text>"


def _marks(chart: Chart) -> Iterator[str]:
    """Numbered lines through both panels, and what happened then below."""
    bottom = LOW_PANEL[0] + LOW_PANEL[1]
    for number, mark in enumerate(chart.marks[:MOST_MARKS], start=1):
        x = _x(chart, mark.when_s)
        row = (number - 1) % 3
        ends = f"x1='{x:.1f}' x2='{x:.1f}' y1='{TOP_PANEL[0]}' y2='{bottom}'"
        yield f"<line {ends} stroke='#999' stroke-dasharray='1 3'/>"
        where = f"x='{x + 2:.1f}' y='{TOP_PANEL[0] + 10 + 11 * row}'"
        yield f"<text {where} font-family='sans-serif' font-size='10' fill='#777'>{number}</text>"
        y = MARKS_TOP + MARK_LINE * (number - 1)
        text = f"{number}.  {mark.when_s:.1f} s  {escape(mark.text)}"
        yield f"<text x='{LEFT}' y='{y}' {FONT}>{text}</text>"
    left_out = len(chart.marks) - MOST_MARKS
    if left_out > 0:
        y = MARKS_TOP + MARK_LINE * MOST_MARKS
        text = f"{left_out} more until {chart.marks[-1].when_s:.1f} s are not listed"
        yield f"<text x='{LEFT}' y='{y}' {FONT}>{text}</text>"


def _ticks(ceiling: float, about: int) -> list[float]:
    """Round numbers from 0 up to the ceiling."""
    if ceiling <= 0:
        return [0.0]
    rough = ceiling / about
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    return [step * number for number in range(ceil(ceiling / step + 1e-9))]
