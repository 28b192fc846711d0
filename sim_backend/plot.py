# SPDX-License-Identifier: GPL-2.0-or-later
"""A run as a picture: target, current and available memory over time, pressure below.

Written as SVG by hand: two panels of lines need no library, and the file stays readable.
"""

from collections.abc import Callable, Sequence
from html import escape
from math import ceil, floor, log10
from typing import Final, NamedTuple

from sim_backend.scenario import Report, Sample

WIDTH: Final = 960
LEFT, RIGHT = 70, 24
TOP_PANEL: Final = (96, 260)  # y of its top, height
LOW_PANEL: Final = (412, 90)
MARKS_TOP: Final = LOW_PANEL[0] + LOW_PANEL[1] + 44
MARK_LINE: Final = 16
MOST_MARKS: Final = 14
FONT: Final = "font-family='sans-serif' font-size='12' fill='#333'"
_STAMP: Final = "font-family='sans-serif' font-size='17' font-weight='bold' fill='#b3261e'"


class _Line(NamedTuple):
    """One curve: its legend, colour, dash pattern, and the value to draw (None: a gap)."""

    legend: str
    colour: str
    dash: str
    value: Callable[[Sample], float | None]


_MIB: Final = 1024.0
LINES: Final = (
    _Line("host target", "#888888", "7 4", lambda s: _mib(s.host_target_kib)),
    _Line("kernel target", "#d1710c", "3 3", lambda s: _mib(s.target_kib)),
    _Line("current", "#1b62a5", "", lambda s: s.current_kib / _MIB),
    _Line("available", "#2b8a3e", "", lambda s: s.available_kib / _MIB),
)


def _mib(kib: int | None) -> float | None:
    return None if kib is None else kib / _MIB


def plot_svg(report: Report, title: str = "") -> str:
    """The run as an SVG document; it says that it is simulated, whatever its title."""
    marks = report.events[:MOST_MARKS]
    height = MARKS_TOP + MARK_LINE * len(marks) + 16
    verdict = "passed" if report.passed else "failed"
    title = title or f"{report.scenario}, agent: {report.agent}, checks {verdict}"
    size = f"viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' height='{height}'"
    big = "font-family='sans-serif' font-size='17' fill='#111'"
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' {size} role='img'>",
        f"<title>{escape(title)} (simulated)</title>",
        f"<rect width='{WIDTH}' height='{height}' fill='white'/>",
        f"<text x='{LEFT}' y='28' {big}>{escape(title)}</text>",
        f"<text x='{WIDTH - RIGHT}' y='28' text-anchor='end' {_STAMP}>SIMULATED</text>",
        *_legend(),
        *_panel(report, TOP_PANEL, LINES, _ceiling(report), "MiB"),
        *_panel(
            report,
            LOW_PANEL,
            (_Line("pressure", "#b3261e", "", lambda s: s.pressure),),
            100.0,
            "stalled %",
        ),
        *_marks(report),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _ceiling(report: Report) -> float:
    """The top of the memory axis: what was seen, not a target nobody could reach."""
    seen = [sample.current_kib for sample in report.samples]
    highest = max(seen, default=1)
    wanted = [
        kib
        for sample in report.samples
        for kib in (sample.target_kib, sample.host_target_kib or 0)
        if kib <= 3 * highest
    ]
    return max([highest, *wanted]) / _MIB * 1.18  # room for the numbers of events


def _x(report: Report, when_s: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * when_s / max(report.duration_s, 1e-9)


def _panel(
    report: Report,
    place: tuple[int, int],
    lines: Sequence[_Line],
    ceiling: float,
    unit: str,
) -> list[str]:
    top, height = place
    parts = [f"<text x='{LEFT}' y='{top - 8}' {FONT}>{escape(unit)}</text>"]
    for tick in _ticks(ceiling, 5 if height > 150 else 2):
        y = top + height - height * tick / ceiling
        parts.append(
            f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}' stroke='#e5e5e5'/>"
        )
        parts.append(
            f"<text x='{LEFT - 8}' y='{y + 4:.1f}' text-anchor='end' {FONT}>{tick:g}</text>"
        )
    for tick in _ticks(report.duration_s, 8):
        where = f"x='{_x(report, tick):.1f}' y='{top + height + 16}'"
        parts.append(f"<text {where} text-anchor='middle' {FONT}>{tick:g} s</text>")
    for line in lines:
        parts += _curve(report, line, top, height, ceiling)
    return parts


def _curve(report: Report, line: _Line, top: int, height: int, ceiling: float) -> list[str]:
    """The curve in as many pieces as it has gaps; values above the ceiling run along it."""
    pieces: list[list[str]] = [[]]
    for sample in report.samples:
        value = line.value(sample)
        if value is None:
            pieces.append([])
            continue
        y = top + height - height * min(max(value, 0.0), ceiling) / ceiling
        _extend(pieces[-1], f"{_x(report, sample.when_s):.1f}", f"{y:.1f}")
    dash = f" stroke-dasharray='{line.dash}'" if line.dash else ""
    return [
        f"<polyline points='{' '.join(piece)}' fill='none' stroke='{line.colour}' "
        f"stroke-width='2'{dash}/>"
        for piece in pieces
        if len(piece) > 1
    ]


def _extend(piece: list[str], x: str, y: str) -> None:
    """Add a point; of a level stretch only the two ends are kept."""
    if len(piece) > 1 and all(point.endswith(f",{y}") for point in piece[-2:]):
        piece.pop()
    piece.append(f"{x},{y}")


def _legend() -> list[str]:
    parts = []
    x = LEFT
    for line in LINES:
        dash = f" stroke-dasharray='{line.dash}'" if line.dash else ""
        parts.append(
            f"<line x1='{x}' x2='{x + 28}' y1='54' y2='54' stroke='{line.colour}' "
            f"stroke-width='2'{dash}/>"
        )
        parts.append(f"<text x='{x + 34}' y='58' {FONT}>{line.legend}</text>")
        x += 150
    return parts


def _marks(report: Report) -> list[str]:
    """Numbered lines through both panels, and what happened then below."""
    parts = []
    bottom = LOW_PANEL[0] + LOW_PANEL[1]
    for number, event in enumerate(report.events[:MOST_MARKS], start=1):
        x = _x(report, event.when_s)
        parts.append(
            f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{TOP_PANEL[0]}' y2='{bottom}' "
            "stroke='#999' stroke-dasharray='1 3'/>"
        )
        parts.append(
            f"<text x='{x + 2:.1f}' y='{TOP_PANEL[0] + 10 + 11 * ((number - 1) % 3)}' "
            f"font-family='sans-serif' font-size='10' fill='#777'>{number}</text>"
        )
        y = MARKS_TOP + MARK_LINE * (number - 1)
        parts.append(
            f"<text x='{LEFT}' y='{y}' {FONT}>{number}.  {event.when_s:.1f} s  "
            f"{escape(event.text)}</text>"
        )
    return parts


def _ticks(ceiling: float, about: int) -> list[float]:
    """Round numbers from 0 up to the ceiling."""
    if ceiling <= 0:
        return [0.0]
    rough = ceiling / about
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    return [step * number for number in range(ceil(ceiling / step + 1e-9))]
