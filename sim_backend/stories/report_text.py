# SPDX-License-Identifier: GPL-2.0-or-later
"""A run for people: lines of text; and for programs: one object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from agent.core.facts.units import MIB_KIB, format_kib
from sim_backend.guest.machine import Happening
from sim_backend.stories.agents import NOBODY
from sim_backend.stories.policy_agent import Decided
from sim_backend.stories.scenario import Report, Sample, Scenario
from sim_backend.stories.turning import turning_points

ROWS: Final = 16
EVENTS: Final = 24
_NARROW: Final = 74
_WIDE_HEADER: Final = (
    f"{'time':>9}  {'host target':>11}  {'target':>11}  {'current':>11}  {'available':>11}  stalled"
)
_NARROW_HEADER: Final = f"{'s':>6} {'host':>6} {'target':>6} {'now':>6} {'avail':>6} {'lost':>4}"


class Row(NamedTuple):
    """A line of the report: `text` may be wrapped, `lead` is kept free below itself."""

    lead: str
    text: str
    style: str = ""


def answer(report: Report) -> str:
    """Whether the agent did well, in a sentence."""
    failed, all_checks = sum(not check.passed for check in report.checks), len(report.checks)
    if report.agent == NOBODY:
        result = f"{failed} of the {all_checks} checks fail" if failed else "every check passes"
        return f"without the agent {result}."
    if failed:
        return f"the agent in mode {report.agent} failed {failed} of the {all_checks} checks."
    return f"the agent in mode {report.agent} passed all {all_checks} checks."


def report_rows(scenario: Scenario, report: Report, width: int) -> Iterator[Row]:
    """What happened, below the answer, for a screen of that width."""
    yield Row("  Scenario      ", f"{scenario.name}: {scenario.summary}")
    yield Row("  A good agent  ", scenario.good_agent)
    acts = "nobody acts" if report.agent == NOBODY else f"the agent acts in mode {report.agent}"
    yield Row("  This run      ", f"{acts}, seed {report.seed}")
    yield Row("", "")
    narrow = width < _NARROW
    if narrow:
        yield Row("", "Sizes in MiB; lost: time lost to stalls.", "dim")
    yield Row("", _NARROW_HEADER if narrow else _WIDE_HEADER, "heading")
    turns = turning_points(report.samples, ROWS)
    for number, sample in enumerate(turns.samples):
        if number == turns.gap_after:
            yield Row("  ...     ", f"{turns.left_out} turns more; --plot draws them", "dim")
        yield Row("", _narrow_row(sample) if narrow else _wide_row(sample))
    if turns.left_out and turns.gap_after is None:
        yield Row("", f"{turns.left_out} smaller turns are left out; --plot draws them.", "dim")
    yield Row("", "")
    yield from _event_rows(report.events)
    yield Row("", "")
    yield Row("", "Checks", "heading")
    for check in report.checks:
        text = f"{check.name}: {check.detail}"
        yield Row("  ok      ", text) if check.passed else Row("  FAILED  ", text, "warning")


def _event_rows(events: Sequence[Happening]) -> Iterator[Row]:
    """What happened; of very much the beginning and the end."""
    yield Row("", "What happened", "heading")
    if not events:
        yield Row("  ", "nothing")
    left_out = len(events) - EVENTS if len(events) > EVENTS + 1 else 0
    for number, event in enumerate(events):
        if left_out and number == EVENTS // 2:
            yield Row("       ...  ", f"{left_out} more; --json has them all", "dim")
        if not left_out or not 0 <= number - EVENTS // 2 < left_out:
            yield Row(f"{event.when_s:>8.1f} s  ", event.text)


def decision_rows(record: Sequence[Decided]) -> Iterator[Row]:
    """The decisions of a policy's run, one row for each that differs from the one before."""
    yield Row("", "")
    yield Row("", "Decisions", "heading")
    said = ""
    for decided in record:
        decision = decided.decision
        text = f"{decision.reason}: {decision.sentence}"
        if text != said:
            yield Row(f"{decided.when_s - record[0].when_s:>8.1f} s  ", text)
        said = text


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
        "mode": scenario.mode,
        "duration_s": scenario.duration_s,
    }


def _wide_row(sample: Sample) -> str:
    host = "-" if sample.host_target_kib is None else format_kib(sample.host_target_kib)
    return (
        f"{sample.when_s:>7.1f} s  {host:>11}  {format_kib(sample.target_kib):>11}  "
        f"{format_kib(sample.current_kib):>11}  {format_kib(sample.available_kib):>11}  "
        f"{sample.pressure:>5.1f} %"
    )


def _narrow_row(sample: Sample) -> str:
    host = "-" if sample.host_target_kib is None else str(sample.host_target_kib // MIB_KIB)
    sizes = (sample.target_kib, sample.current_kib, sample.available_kib)
    shown = " ".join(f"{kib // MIB_KIB:>6}" for kib in sizes)
    return f"{sample.when_s:>6.1f} {host:>6} {shown} {sample.pressure:>3.0f}%"
