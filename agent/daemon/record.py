# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon decided, why, and what became of it, as status.json shows it."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

from agent.core.policy.decision import Decision

KEPT: Final = 32


class Result(NamedTuple):
    """What became of a decision."""

    kind: Literal["none", "done", "denied", "refused"]
    words: str


class Entry(NamedTuple):
    """One decision; `times` is how often it was taken in a row."""

    at_s: float
    wall_s: int
    cause: str
    decision: Decision
    result: Result
    times: int = 1


class DecisionLog:
    """The last decisions, repetitions counted; another request of the host is no repetition."""

    SURVIVES_REST: Final = ("_entries",)

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def add(self, entry: Entry) -> bool:
        """Keep one; whether it is decided otherwise than the last."""
        last = self._entries[-1] if self._entries else None
        is_same = last is not None and _kind(last) == _kind(entry)
        if last is not None and is_same and _request(last) == _request(entry):
            self._entries[-1] = entry._replace(
                at_s=last.at_s, wall_s=last.wall_s, cause=last.cause, times=last.times + 1
            )
            return False
        self._entries.append(entry)
        del self._entries[:-KEPT]
        return not is_same

    def as_objects(self) -> list[dict[str, Any]]:
        """For JSON, the oldest first."""
        return [decision_object(entry) for entry in self._entries]


def _kind(entry: Entry) -> tuple[str, str, str]:
    return entry.decision.action, entry.decision.reason, entry.result.words


def _request(entry: Entry) -> int | float | str | None:
    """What the host asked for at the time."""
    return entry.decision.numbers.get("host_target_kib")


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
        "block": decision.blocks[0] if decision.blocks else None,
        "numbers": dict(decision.numbers),
        "outcome": entry.result.words,
        "count": entry.times,
    }
