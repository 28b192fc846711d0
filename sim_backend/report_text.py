# SPDX-License-Identifier: GPL-2.0-or-later
"""A run for people: lines of text; and for programs: one object."""

from collections.abc import Iterator
from typing import Any, Final

from agent.core.units import format_kib
from sim_backend.scenario import Report, Sample, Scenario

ROWS: Final = 16
_HEADER: Final = (
    f"{'time':>9}  {'host target':>11}  {'target':>11}  {'current':>11}  {'available':>11}  stalled"
)


def report_lines(scenario: Scenario, report: Report) -> Iterator[str]:
    """What happened, as it is printed."""
    yield f"{scenario.name} (simulated): {scenario.summary}"
    yield f"  a good agent  {scenario.good_agent}"
    yield f"  this run      agent {report.agent}, seed {report.seed}, {report.duration_s:g} s"
    yield ""
    yield _HEADER
    for sample in _telling(report.samples):
        yield _row(sample)
    yield ""
    yield "What happened"
    if not report.events:
        yield "  nothing"
    for event in report.events:
        yield f"{event.when_s:>8.1f}s  {event.text}"
    yield ""
    yield "Checks"
    for check in report.checks:
        yield f"  {'ok    ' if check.passed else 'FAILED'}  {check.name}: {check.detail}"


def report_object(scenario: Scenario, report: Report) -> dict[str, Any]:
    """The whole run; sizes are KiB, times seconds."""
    return {
        "schema": 1,
        "source": {"kind": "simulation", "detail": scenario.name},
        "scenario": scenario_object(scenario),
        "agent": report.agent,
        "seed": report.seed,
        "duration_s": report.duration_s,
        "passed": report.passed,
        "checks": [check._asdict() for check in report.checks],
        "events": [event._asdict() for event in report.events],
        "samples": [sample._asdict() for sample in report.samples],
    }


def scenario_object(scenario: Scenario) -> dict[str, Any]:
    """A scenario as `simulate --list --json` shows it."""
    return {
        "name": scenario.name,
        "summary": scenario.summary,
        "good_agent": scenario.good_agent,
        "duration_s": scenario.duration_s,
    }


def _telling(samples: tuple[Sample, ...]) -> list[Sample]:
    """First, last, and those in between where something had changed most."""
    if len(samples) <= ROWS:
        return list(samples)
    distances = {n: _distance(samples[n - 1], samples[n]) for n in range(1, len(samples) - 1)}
    moving = sorted((n for n in distances if distances[n]), key=lambda n: -distances[n])
    picked = {0, len(samples) - 1, *moving[: ROWS - 2]}
    return [samples[number] for number in sorted(picked)]


def _distance(before: Sample, after: Sample) -> float:
    return (
        abs(after.current_kib - before.current_kib)
        + min(abs(after.target_kib - before.target_kib), 1 << 22)
        + abs(after.available_kib - before.available_kib) / 4
        + abs(after.pressure - before.pressure) * 1024
    )


def _row(sample: Sample) -> str:
    host = "-" if sample.host_target_kib is None else format_kib(sample.host_target_kib)
    return (
        f"{sample.when_s:>8.1f}s  {host:>11}  {format_kib(sample.target_kib):>11}  "
        f"{format_kib(sample.current_kib):>11}  {format_kib(sample.available_kib):>11}  "
        f"{sample.pressure:>6.1f}%"
    )
