# SPDX-License-Identifier: GPL-2.0-or-later
"""The last minute as small curves, one line each: what the live view shows below the picture.

Last minute
target     ▁▁▁▁▁▁████████████  768 MiB
current    ▁▁▁▁▁▁▁▃▅▇████████  768 MiB
available  ▄▄▄▄▄▄▄▅▆▇▇▇▇▇▇▇▇▇  658 MiB
pressure   ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  0 %
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from agent.core.facts.units import format_kib
from agent.core.findings.assessment import Assessment
from agent.report.styled import Line, Span, heading, line

SPAN_S: Final = 60.0
GLYPHS: Final = "▁▂▃▄▅▆▇█"
_LEVEL: Final = GLYPHS[3]  # a curve that has neither high nor low
_LABEL_WIDTH: Final = 11
_VALUE_WIDTH: Final = 10
_LEAST_PRESSURE_SCALE: Final = 10.0  # percent; less would make a mountain of nothing


class Sample(NamedTuple):
    """What the curves need of one moment; None where it could not be read."""

    at_s: float
    target_kib: int | None
    current_kib: int | None
    available_kib: int | None
    total_kib: int | None
    pressure_percent: float | None


def sample_of(assessment: Assessment, at_s: float) -> Sample:
    """The moment of an assessment; `at_s` is any clock's that does not go back."""
    snapshot = assessment.situation.snapshot
    balloon, memory, pressure = snapshot.balloon, snapshot.memory, snapshot.pressure
    return Sample(
        at_s,
        balloon.target_kib if balloon else None,
        balloon.current_kib if balloon else None,
        memory.available_kib if memory else None,
        memory.total_kib if memory else None,
        pressure.some_avg10 if pressure else None,
    )


def has_moved(earlier: Sample, later: Sample) -> bool:
    """Whether the balloon or its target is somewhere else now."""
    return (earlier.target_kib, earlier.current_kib) != (later.target_kib, later.current_kib)


def recent(samples: Sequence[Sample]) -> list[Sample]:
    """The samples of the last minute, and the one before them: it holds until the first."""
    if not samples:
        return []
    begin_s = samples[-1].at_s - SPAN_S
    first = max((n for n, sample in enumerate(samples) if sample.at_s <= begin_s), default=0)
    return list(samples[first:])


def trend_lines(samples: Sequence[Sample], width: int) -> list[Line]:
    """A heading and a curve for each quantity that was read at all."""
    columns = max(8, min(int(SPAN_S), width - _LABEL_WIDTH - _VALUE_WIDTH - 1))
    moved = [kib for s in samples for kib in (s.target_kib, s.current_kib) if kib is not None]
    low, high = (min(moved), max(moved)) if moved else (0, 0)
    total = max((s.total_kib or 0 for s in samples), default=0)
    stalled = [s.pressure_percent for s in samples if s.pressure_percent is not None]
    worst = max([_LEAST_PRESSURE_SCALE, *stalled])
    curves: tuple[tuple[str, Callable[[Sample], float | None], float, float, str], ...] = (
        ("target", lambda s: s.target_kib, low, high, "mark"),
        ("current", lambda s: s.current_kib, low, high, "populated"),
        ("available", lambda s: s.available_kib, 0, total, ""),
        ("pressure", lambda s: s.pressure_percent, 0.0, worst, "offline"),
    )
    lines: list[Line] = []
    for name, value_of, bottom, top, style in curves:
        values = resampled(samples, value_of, columns)
        if values and values[-1] is not None:
            shown = _shown(name, values[-1])
            curve = Span(sparkline(values, bottom, top), style)
            lines.append(line(f"{name:<{_LABEL_WIDTH}}", curve, f" {shown}"))
    return [heading("Last minute"), *lines, ()] if lines else []


def resampled(
    samples: Sequence[Sample], value_of: Callable[[Sample], float | None], columns: int
) -> list[float | None]:
    """One value a column over the last minute: the newest of its time, or the one before."""
    if not samples:
        return []
    end_s = samples[-1].at_s
    values: list[float | None] = [None] * columns
    for sample in samples:
        age_s = end_s - sample.at_s
        column = columns - 1 - int(age_s * columns / SPAN_S)
        values[max(column, 0)] = value_of(sample)
    for column in range(1, columns):
        if values[column] is None:
            values[column] = values[column - 1]
    return values


def sparkline(values: Sequence[float | None], low: float, high: float) -> str:
    """A glyph for each value between `low` and `high`; a blank where there is none."""
    return "".join(" " if value is None else _glyph(value, low, high) for value in values)


def _glyph(value: float, low: float, high: float) -> str:
    if high <= low:
        return _LEVEL
    share = (min(max(value, low), high) - low) / (high - low)
    return GLYPHS[min(int(share * len(GLYPHS)), len(GLYPHS) - 1)]


def _shown(name: str, value: float) -> str:
    return f"{value:.0f} %" if name == "pressure" else format_kib(int(value))
