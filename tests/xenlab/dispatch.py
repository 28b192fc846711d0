# SPDX-License-Identifier: GPL-2.0-or-later
"""Hands scenarios to machines that play side by side: whoever is free gets the longest one left.

Where the time is limited, the longest that can still be expected to end within it; the others are
left out and said to be.

A scenario that ruins its machine comes after all others, and is that machine's last. A machine that
dies gives its scenario back, once, to one that still lives.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from tests.xenlab.errors import LabError
from tests.xenlab.model import Kind, Scenario

POLL_S: Final = 0.2
BOOT_S: Final[dict[Kind, float]] = {"pv": 20, "pvh": 35, "hvm": 95, "dom0": 5}
SYSTEMD_S: Final = 25.0
CASE_S: Final[dict[Kind, float]] = {"pv": 9, "pvh": 10, "hvm": 14, "dom0": 6}
"""As seen on one core of a machine of 2023; only the order that comes of them matters."""


class Player(Protocol):
    """What plays scenarios: a machine."""

    at_end: bool

    def poll(self) -> Sequence[dict[str, Any]]:
        """Return what it has reported since the last time; raise LabError if it is dead."""
        ...

    def order(self, scenario: str | None) -> None:
        """Answer its question what to play next; None: nothing more."""
        ...


def estimate_s(scenario: Scenario) -> float:
    """Return about how long a scenario takes that was never played."""
    guest = scenario.guest
    boot_s = BOOT_S[guest.kind] + (SYSTEMD_S if guest.systemd else 0)
    return boot_s + CASE_S[guest.kind] * len(scenario.cases)


def seconds_of(report: Path) -> dict[str, float]:
    """Return how long each scenario took in an earlier run; nothing is known without one."""
    if not report.exists():
        return {}
    scenarios = json.loads(report.read_text())["scenarios"]
    return {entry["name"]: entry["seconds"] for entry in scenarios if "seconds" in entry}


def expected_s(scenarios: Iterable[Scenario], took_s: dict[str, float]) -> dict[str, float]:
    """Return how long each is expected to take: as long as last time, or as others of its kind."""
    return {one.name: took_s.get(one.name) or estimate_s(one) for one in scenarios}


class Dispatcher:
    """The scenarios of a run and the machines that play them."""

    def __init__(
        self,
        scenarios: Iterable[Scenario],
        players: Sequence[Player],
        took_s: dict[str, float],
        until: float | None = None,
    ) -> None:
        """Put the longest scenarios first.

        Args:
            scenarios: what is to be played.
            players: machines that have been started.
            took_s: how long scenarios took earlier, as far as that is known.
            until: when all should have ended, on the monotonic clock.
        """
        self._players = players
        played = list(scenarios)
        self._expected_s = expected_s(played, took_s)
        self._until = until
        self._ended: dict[str, float] = {}
        longest_first = sorted(played, key=lambda one: self._expected_s[one.name], reverse=True)
        in_order = sorted(longest_first, key=lambda one: one.ruins_machine)
        self._waiting = [scenario.name for scenario in in_order]
        self._ruinous = {scenario.name for scenario in in_order if scenario.ruins_machine}
        self._playing: dict[int, str] = {}
        self._given_back: set[str] = set()

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield what the machines report until all are at their end; `machine` says which.

        Raises:
            LabError: no machine is left to play what remains.
        """
        alive = dict(enumerate(self._players, 1))
        lost: LabError | None = None
        while alive:
            heard = False
            for number, player in list(alive.items()):
                try:
                    events = player.poll()
                except LabError as error:
                    del alive[number]
                    lost = error
                    yield self._lost(number, error)
                    continue
                for event in events:
                    heard = True
                    self._note(number, player, event)
                    yield event | {"machine": number}
                if player.at_end:
                    del alive[number]
            if not heard:
                time.sleep(POLL_S)
        if lost and (self._playing or any(map(self._fits, self._waiting))):
            raise lost
        for name in self._waiting:
            yield {"event": "left-out", "scenario": name}

    def _note(self, number: int, player: Player, event: dict[str, Any]) -> None:
        if event["event"] == "scenario-done":
            self._ended[event["scenario"]] = event["seconds"]
        if event["event"] == "next":
            ruined = self._playing.pop(number, None) in self._ruinous
            name = None if ruined else next(filter(self._fits, self._waiting), None)
            if name:
                self._waiting.remove(name)
                self._playing[number] = name
            player.order(name)

    def _fits(self, name: str) -> bool:
        """Whether it would end in time, at the pace of those that have ended."""
        if self._until is None:
            return True
        expected_s = sum(self._expected_s[ended] for ended in self._ended)
        pace = sum(self._ended.values()) / expected_s if expected_s else 1.0
        return time.monotonic() + pace * self._expected_s[name] <= self._until

    def _lost(self, number: int, error: LabError) -> dict[str, Any]:
        event = {"event": "lost", "machine": number, "why": str(error)}
        name = self._playing.get(number)
        if name is None:
            return event
        if name not in self._given_back:
            self._given_back.add(name)
            self._waiting.insert(0, name)
            del self._playing[number]
        return event | {"scenario": name}
