# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's own part of status.json: what it decided and why, and how it is."""

from typing import Any, Final, NamedTuple

from agent.core.decision import Decision

KEPT: Final = 32


class Entry(NamedTuple):
    """One decision; `outcome` is what became of it, `times` how often it was taken in a row."""

    at_s: float
    wall_s: int
    cause: str
    decision: Decision
    outcome: str
    times: int = 1


class DecisionLog:
    """The last decisions, repetitions counted."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def add(self, entry: Entry) -> bool:
        """Keep one; whether it is another than the last."""
        if self._entries:
            last = self._entries[-1]
            same = (last.decision.action, last.decision.reason, last.outcome)
            if same == (entry.decision.action, entry.decision.reason, entry.outcome):
                times = last.times + 1
                self._entries[-1] = entry._replace(
                    at_s=last.at_s, wall_s=last.wall_s, cause=last.cause, times=times
                )
                return False
        self._entries.append(entry)
        del self._entries[:-KEPT]
        return True

    def as_objects(self) -> list[dict[str, Any]]:
        """For JSON, the oldest first."""
        return [decision_object(entry) for entry in self._entries]


def decision_object(entry: Entry) -> dict[str, Any]:
    """Cause, rule, action and outcome of one decision."""
    decision = entry.decision
    return {
        "time": entry.wall_s,
        "monotonic_s": round(entry.at_s, 3),
        "cause": entry.cause,
        "rule": decision.reason,
        "sentence": decision.sentence,
        "action": decision.action,
        "target_kib": decision.target_kib,
        "block": decision.block,
        "numbers": dict(decision.numbers),
        "outcome": entry.outcome,
        "count": entry.times,
    }
