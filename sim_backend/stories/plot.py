# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated run as a picture: target, current and available memory over time, pressure below."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from agent.core.facts.units import MIB_KIB
from sim_backend.stories.chart import ROOM, Chart, Curve, Mark, svg
from sim_backend.stories.scenario import Report, Sample


class _Line(NamedTuple):
    """One curve: its legend, colour, dash pattern, and the value to draw (None: a gap)."""

    legend: str
    colour: str
    dash: str
    value: Callable[[Sample], float | None]


_MIB: Final = float(MIB_KIB)
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
    verdict = "passed" if report.passed else "failed"
    title = title or f"{report.scenario}, agent: {report.agent}, checks {verdict}"
    chart = Chart(
        title,
        "SIMULATED",
        report.duration_s,
        _ceiling(report),
        [
            Curve(legend, colour, dash, [(s.when_s, value(s)) for s in report.samples])
            for legend, colour, dash, value in LINES
        ],
        [(sample.when_s, sample.pressure) for sample in report.samples],
        [Mark(event.when_s, event.text) for event in report.events],
    )
    return svg([chart], f"{title} (simulated)")


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
    return max([highest, *wanted]) / _MIB * ROOM
