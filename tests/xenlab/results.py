# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run found: collected from what the machines report, written as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.xenlab.hosts import HOSTS, MAIN
from tests.xenlab.model import Scenario

SCHEMA: Final = 1
FILE: Final = "results.json"
NOT_PLAYED: Final = "not played"


class Outcome(NamedTuple):
    """What became of one case."""

    passed: bool
    detail: str | None
    """What was wrong."""
    seconds: float
    measured: Mapping[str, str] = {}
    """Figures that the case took, by what they are."""


class Results:
    """The outcomes of a run so far."""

    def __init__(self, scenarios: Iterable[Scenario], kernels: Mapping[str, str]) -> None:
        """Expect the cases of some scenarios.

        Args:
            scenarios: what will be played.
            kernels: exact kernel versions by suite.
        """
        self._scenarios = list(scenarios)
        self._kernels = kernels
        self._outcomes: dict[tuple[str, str], Outcome] = {}
        self._notes: dict[str, dict[str, Any]] = {}
        self._hosts: dict[str, str] = {}
        self._started = time.time()

    def take(self, event: Mapping[str, Any]) -> None:
        """Take an event from dom0."""
        notes = self._notes.setdefault(event.get("scenario", ""), {"attempts": 1})
        if "machine" in event:
            notes["machine"] = event["machine"]
        if event["event"] == "ready":
            self._hosts[event.get("host", MAIN)] = event["xen"]
        elif event["event"] == "case":
            outcome = Outcome(
                event["outcome"] == "passed",
                event["detail"],
                event["seconds"],
                event.get("measured", {}),
            )
            earlier = self.outcome(event["scenario"], event["case"])
            if earlier is None or earlier.passed:  # Played again, a case may fail, not pass.
                self._outcomes[event["scenario"], event["case"]] = outcome
        elif event["event"] == "up":
            notes["up_after_s"] = event["seconds"]
        elif event["event"] in {"again", "lost"}:
            notes["attempts"] += 1
            notes.setdefault("played_again_because", []).append(event["why"])
        elif event["event"] == "scenario-done":
            notes["seconds"] = event["seconds"]
        elif event["event"] == "broken":
            notes["broken"] = event["why"]
        elif event["event"] == "left-out":
            notes["left_out"] = True

    def outcome(self, scenario: str, case: str) -> Outcome | None:
        """Return the outcome of a case, None while there is none."""
        return self._outcomes.get((scenario, case))

    def left_out(self, scenario: str) -> bool:
        """Return whether the time that was given did not suffice for it."""
        return bool(self._notes.get(scenario, {}).get("left_out"))

    def failures(self) -> list[str]:
        """Return a line for each case that did not pass, or was never played."""
        found = []
        for scenario in self._scenarios:
            for case in scenario.cases:
                outcome = self.outcome(scenario.name, case.name)
                if outcome is None or not outcome.passed:
                    why = outcome.detail if outcome else "never played"
                    found.append(f"{scenario.name}: {case.name}: {why}")
        return found

    def counts(self) -> tuple[int, int]:
        """Return how many cases passed and how many there are."""
        total = sum(len(scenario.cases) for scenario in self._scenarios)
        return total - len(self.failures()), total

    def write(self, folder: Path, *, about: Mapping[str, Any]) -> Path:
        """Write everything as JSON; return the file.

        Args:
            folder: where `results.json` goes.
            about: more to say of the run as a whole, like the agent that was tested.
        """
        path = folder / FILE
        report = {
            "schema": SCHEMA,
            **about,
            "hosts": self._hosts,
            "kernels": dict(self._kernels),
            "started": round(self._started),
            "seconds": round(time.time() - self._started, 1),
            "scenarios": [self._scenario(scenario) for scenario in self._scenarios],
        }
        path.write_text(json.dumps(report, indent=1) + "\n")
        return path

    def _scenario(self, scenario: Scenario) -> dict[str, Any]:
        cases = []
        for case in scenario.cases:
            outcome = self.outcome(scenario.name, case.name)
            cases.append(
                {
                    "name": case.name,
                    "verifies": case.verifies,
                    "outcome": _word(outcome),
                    "seconds": outcome.seconds if outcome else None,
                    "detail": outcome.detail if outcome else None,
                    "measured": dict(outcome.measured) if outcome else {},
                }
            )
        guest = scenario.guest
        return {
            "name": scenario.name,
            "summary": scenario.summary,
            "guest": guest.kind,
            "memory_mib": guest.memory_mib,
            "maxmem_mib": guest.maxmem_mib,
            "kernel": self._kernels.get(kernel_of(scenario)),
            "host": scenario.host,
            **self._notes.get(scenario.name, {}),
            "cases": cases,
        }


def kernel_of(scenario: Scenario) -> str:
    """Return the suite of the kernel that is looked at."""
    if scenario.guest.kind == "dom0":
        return HOSTS[scenario.host].release.suite
    return scenario.guest.kernel


def merged(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return several runs as one: of each scenario the last run in which it was played.

    Args:
        reports: the `results.json` of each run, or what this made of others, in any order.
    """
    in_order = sorted(reports, key=lambda report: int(report["started"]))
    runs = [run for report in in_order for run in report.get("runs", [_run(report)])]
    entries = {
        entry["name"]: entry
        for report in in_order
        for entry in report["scenarios"]
        if any(case["outcome"] != NOT_PLAYED for case in entry["cases"])
    }
    kernels = {suite: text for report in in_order for suite, text in report["kernels"].items()}
    return {
        "schema": SCHEMA,
        "started": in_order[-1]["started"],
        "hosts": {name: text for report in in_order for name, text in _hosts(report).items()},
        "kernels": kernels,
        "runs": runs,
        "scenarios": list(entries.values()),
    }


def _hosts(report: Mapping[str, Any]) -> dict[str, str]:
    """Return the version of each host of a run; once there was only one."""
    return dict(report["hosts"]) if "hosts" in report else {MAIN: str(report["xen"])}


def _run(report: Mapping[str, Any]) -> dict[str, Any]:
    about = {name: report.get(name) for name in ("started", "seconds", "agent", "commit")}
    return {**about, "machines": report.get("machines", 1), "cases": _played(report)}


def _played(report: Mapping[str, Any]) -> int:
    cases = [case for entry in report["scenarios"] for case in entry["cases"]]
    return sum(case["outcome"] != NOT_PLAYED for case in cases)


def _word(outcome: Outcome | None) -> str:
    if outcome is None:
        return NOT_PLAYED
    return "passed" if outcome.passed else "failed"
