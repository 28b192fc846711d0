# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run found: collected from dom0's events, written as JSON, shown as a table."""

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.xenlab.model import Scenario

SCHEMA: Final = 1
FILE: Final = "results.json"


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
        self._xen = "unknown"
        self._started = time.time()

    def take(self, event: Mapping[str, Any]) -> None:
        """Take an event from dom0."""
        notes = self._notes.setdefault(event.get("scenario", ""), {"attempts": 1})
        if event["event"] == "ready":
            self._xen = event["xen"]
        elif event["event"] == "case":
            outcome = Outcome(
                event["outcome"] == "passed",
                event["detail"],
                event["seconds"],
                event.get("measured", {}),
            )
            self._outcomes[event["scenario"], event["case"]] = outcome
        elif event["event"] == "up":
            notes["up_after_s"] = event["seconds"]
        elif event["event"] == "again":
            notes["attempts"] += 1
        elif event["event"] == "scenario-done":
            notes["seconds"] = event["seconds"]
        elif event["event"] == "broken":
            notes["broken"] = event["why"]

    def outcome(self, scenario: str, case: str) -> Outcome | None:
        """Return the outcome of a case, None while there is none."""
        return self._outcomes.get((scenario, case))

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

    def write(self, folder: Path, *, agent: str) -> Path:
        """Write everything as JSON; return the file."""
        path = folder / FILE
        report = {
            "schema": SCHEMA,
            "agent": agent,
            "xen": self._xen,
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
            "kernel": self._kernels.get(guest.kernel),
            **self._notes.get(scenario.name, {}),
            "cases": cases,
        }


def table(report: Mapping[str, Any]) -> str:
    """Return a Markdown table of a results file: guest, kernel, case, what was verified."""
    passed = [case["outcome"] for s in report["scenarios"] for case in s["cases"]].count("passed")
    total = sum(len(scenario["cases"]) for scenario in report["scenarios"])
    day = time.strftime("%Y-%m-%d", time.gmtime(report["started"]))
    summary = (
        f"{day}: {passed} of {total} cases passed in {report['seconds'] / 60:.0f} minutes, "
        f"Xen {report['xen']}, {report['agent']}."
    )
    lines = [
        summary,
        "",
        "| scenario | guest | kernel | case | verified | outcome |",
        "|---|---|---|---|---|---|",
    ]
    for scenario in report["scenarios"]:
        size = f"{scenario['guest']} {scenario['memory_mib']}/{scenario['maxmem_mib']} MiB"
        for case in scenario["cases"]:
            figures = "".join(f"; {what}: {value}" for what, value in case["measured"].items())
            cells = (
                scenario["name"], size, scenario["kernel"], case["name"],
                case["verifies"] + figures, case["outcome"],
            )  # fmt: skip
            lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _word(outcome: Outcome | None) -> str:
    if outcome is None:
        return "not played"
    return "passed" if outcome.passed else "failed"
