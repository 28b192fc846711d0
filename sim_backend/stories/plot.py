# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated run as a picture: target, current and available memory over time, pressure below."""

from __future__ import annotations

from collections.abc import Iterable

from agent.core.facts.units import MIB_KIB
from sim_backend.stories.chart import ROOM, Chart, Curve, Mark, svg
from sim_backend.stories.scenario import Report


def plot_svg(report: Report, title: str = "") -> str:
    """The run as an SVG document; it says that it is simulated, whatever its title."""
    verdict = "passed" if report.passed else "failed"
    title = title or f"{report.scenario}, agent: {report.agent}, checks {verdict}"
    samples = report.samples

    def curve(legend: str, colour: str, dash: str, sizes_kib: Iterable[int | None]) -> Curve:
        sizes_mib = (None if kib is None else kib / MIB_KIB for kib in sizes_kib)
        return Curve(legend, colour, dash, [*zip((s.when_s for s in samples), sizes_mib)])

    chart = Chart(
        title,
        "SIMULATED",
        report.duration_s,
        _ceiling_mib(report),
        [
            curve("host target", "#888888", "7 4", (s.host_target_kib for s in samples)),
            curve("kernel target", "#d1710c", "3 3", (s.target_kib for s in samples)),
            curve("current", "#1b62a5", "", (s.current_kib for s in samples)),
            curve("available", "#2b8a3e", "", (s.available_kib for s in samples)),
        ],
        [(s.when_s, s.pressure) for s in samples],
        [Mark(event.when_s, event.text) for event in report.events],
    )
    return svg([chart], f"{title} (simulated)")


def _ceiling_mib(report: Report) -> float:
    """The top of the memory axis: what was seen, not a target nobody could reach."""
    highest_kib = max((s.current_kib for s in report.samples), default=1)
    targets = (kib for s in report.samples for kib in (s.target_kib, s.host_target_kib or 0))
    return max(kib for kib in (highest_kib, *targets) if kib <= 3 * highest_kib) / MIB_KIB * ROOM
