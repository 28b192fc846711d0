# SPDX-License-Identifier: GPL-2.0-or-later
"""Which moments of a run tell its story: those where something turns.

Of all samples the few are kept between which everything runs about straight: again and again the
one that lies furthest off the lines drawn so far (Douglas and Peucker, 1973), until a bend is too
small to matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from typing import Final, NamedTuple

from agent.core.facts.units import MIB_KIB
from sim_backend.stories.scenario import Sample

STRAIGHT: Final = 0.03  # of what a curve spans: less is no bend
VERY_MANY: Final = 3
_LEAST_SPAN_KIB: Final = 64 * MIB_KIB
_FULL_PRESSURE: Final = 100.0

_Values = tuple[float, ...]


class Turns(NamedTuple):
    """The telling samples, in their order; where there are too many, a gap behind the first ones.

    `left_out` of the bends are not shown; `gap_after` samples come before the gap, None: no gap.
    """

    samples: tuple[Sample, ...]
    left_out: int = 0
    gap_after: int | None = None


def turning_points(samples: Sequence[Sample], most: int) -> Turns:
    """At most `most` samples, the first and the last among them.

    Of too many the strongest; of very many, as when a host changes its mind all the time, the
    beginning and the end.
    """
    bends = [0, len(samples) - 1, *_bends(_comparable(samples))]
    left_out = len(bends) - most
    if left_out <= 0:
        return Turns(tuple(samples[number] for number in sorted(bends)))
    if len(bends) <= VERY_MANY * most:
        return Turns(tuple(samples[number] for number in sorted(bends[:most])), left_out)
    in_time, head = sorted(bends), most - most // 3
    shown = (*in_time[:head], *in_time[head - most :])
    return Turns(tuple(samples[number] for number in shown), left_out, head)


def _bends(points: Sequence[tuple[float, _Values]]) -> Iterator[int]:
    """Where something turns, the strongest first."""
    waiting: list[tuple[float, int, int, int]] = []

    def consider(first: int, last: int) -> None:
        bend, at = _furthest(points, first, last)
        if bend > STRAIGHT:
            heappush(waiting, (-bend, at, first, last))

    consider(0, len(points) - 1)
    while waiting:
        _, at, first, last = heappop(waiting)
        yield at
        consider(first, at)
        consider(at, last)


def _furthest(points: Sequence[tuple[float, _Values]], first: int, last: int) -> tuple[float, int]:
    """How far, and where, the curves leave the straight line from one sample to another."""
    (from_s, before), (to_s, after) = points[first], points[last]
    span_s = max(to_s - from_s, 1e-9)
    worst, at = 0.0, first
    for number in range(first + 1, last):
        when_s, values = points[number]
        share = (when_s - from_s) / span_s
        bend = max(
            abs(value - start - (end - start) * share)
            for value, start, end in zip(values, before, after)
        )
        if bend > worst:
            worst, at = bend, number
    return worst, at


def _comparable(samples: Sequence[Sample]) -> list[tuple[float, _Values]]:
    """Every curve as parts of what it spans; a target nobody could reach counts as the highest."""
    highest_kib = 2 * max((sample.current_kib for sample in samples), default=1)
    curves: list[list[float]] = [
        [min(sample.host_target_kib or 0, highest_kib) for sample in samples],
        [min(sample.target_kib, highest_kib) for sample in samples],
        [sample.current_kib for sample in samples],
        [sample.available_kib for sample in samples],
    ]
    parts = []
    for curve in curves:
        span_kib = max(max(curve) - min(curve), _LEAST_SPAN_KIB)
        parts.append([value / span_kib for value in curve])
    parts.append([sample.pressure / _FULL_PRESSURE for sample in samples])
    return [(sample.when_s, values) for sample, values in zip(samples, zip(*parts))]
