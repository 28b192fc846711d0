# SPDX-License-Identifier: GPL-2.0-or-later
"""Plays the scenarios that the host orders and reports each event as a line of JSON.

A guest that crashes ends its scenario; under emulated hardware virtualisation, where a triple fault
was seen about once in five boots, the scenario is played up to three times from the start. A case
that already passed is then only a step on the way and reported again only if it fails.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterator
from typing import Any, Final

from tests.xenlab.dom0 import toolstack
from tests.xenlab.dom0.console import GoneError
from tests.xenlab.dom0.guest import SHARE, Dom0, Domain, Guest
from tests.xenlab.dom0.keep import keep_failure
from tests.xenlab.dom0.scene import Scene
from tests.xenlab.guest.install import install
from tests.xenlab.model import Case, Scenario
from tests.xenlab.scenarios import ALL, CAPTURED, SHOWN

EVENTS: Final = SHARE / "events.jsonl"
ORDERS: Final = SHARE / "orders.jsonl"
POLL_S: Final = 0.2
KEPT: Final = SHARE / "kept"
ATTEMPTS: Final = {"pv": 1, "pvh": 3, "hvm": 3, "dom0": 1}


def report(event: str, **details: Any) -> None:
    """Tell the host."""
    with EVENTS.open("a") as file:
        file.write(json.dumps({"event": event, "at": round(time.time(), 3)} | details) + "\n")


class Player:
    """Plays one scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._passed: set[str] = set()
        self._reported: set[str] = set()

    def play(self) -> None:
        """Play it, up to three times where the emulation may be to blame."""
        name = self._scenario.name
        started = time.monotonic()
        report("scenario", scenario=name)
        attempts = ATTEMPTS[self._scenario.guest.kind]
        for attempt in range(1, attempts + 1):
            try:
                self._attempt()
                break
            except GoneError as error:
                if attempt < attempts:
                    report("again", scenario=name, why=str(error))
                else:
                    self._give_up(str(error))
        report("scenario-done", scenario=name, seconds=round(time.monotonic() - started, 1))

    def _attempt(self) -> None:
        domain = self._domain()
        scene = Scene(self._scenario, domain, KEPT / self._scenario.name)
        try:
            self._bring_up(domain)
            for case in self._scenario.cases:
                self.play_case(scene, case)
        except GoneError as error:
            keep_failure(domain, KEPT / self._scenario.name / "gone", str(error))
            raise
        finally:
            scene.end()

    def _domain(self) -> Domain:
        if self._scenario.guest.kind == "dom0":
            return Dom0()
        return Guest(self._scenario.name, self._scenario.guest)

    def _bring_up(self, domain: Domain) -> None:
        started = time.monotonic()
        if isinstance(domain, Guest):
            try:
                domain.boot()
            except RuntimeError as error:
                raise GoneError(str(error)) from error
            if not domain.spec.debs:
                domain.install_agent()
        else:
            install(SHARE)
        seconds = round(time.monotonic() - started, 1)
        report("up", scenario=self._scenario.name, domid=domain.domid, seconds=seconds)

    def play_case(self, scene: Scene, case: Case) -> None:
        """Play a case, report it, and keep the evidence if it fails."""
        started = time.monotonic()
        complaint = None
        try:
            case.act(scene)
        except GoneError:
            raise
        except AssertionError as error:
            complaint = str(error)
        except Exception:  # noqa: BLE001 - a broken case must not end the run.
            complaint = traceback.format_exc()
        seconds = round(time.monotonic() - started, 1)
        if complaint is not None:
            keep_failure(scene.domain, KEPT / self._scenario.name / _slug(case.name), complaint)
        if complaint is not None or case.name not in self._passed:
            self._report_case(case, complaint, seconds, scene.take_measured())

    def _report_case(
        self,
        case: Case,
        complaint: str | None,
        seconds: float,
        measured: dict[str, str] | None = None,
    ) -> None:
        self._reported.add(case.name)
        if complaint is None:
            self._passed.add(case.name)
        report(
            "case",
            scenario=self._scenario.name,
            case=case.name,
            outcome="passed" if complaint is None else "failed",
            detail=complaint,
            seconds=seconds,
            measured=measured or {},
        )

    def _give_up(self, why: str) -> None:
        for case in self._scenario.cases:
            if case.name not in self._reported:
                self._report_case(case, f"not reached: {why}", 0.0)


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)


def orders() -> Iterator[str]:
    """Ask the host what to play, until there is nothing more."""
    with ORDERS.open() as file:
        while True:
            report("next")
            line = ""
            while not line.endswith("\n"):
                line += file.readline()
                time.sleep(POLL_S)
            name: str | None = json.loads(line)
            if name is None:
                return
            yield name


def main() -> None:
    """Play everything."""
    plan = json.loads((SHARE / "run.json").read_text())
    known = CAPTURED if plan["captures"] else ALL | SHOWN
    report("ready", xen=toolstack.must(["xl", "info", "xen_version"]))
    for name in orders():
        try:
            Player(known[name]).play()
        except Exception:  # noqa: BLE001 - the other scenarios still have to be played.
            report("broken", scenario=name, why=traceback.format_exc())
    report("end")


if __name__ == "__main__":
    KEPT.mkdir(exist_ok=True)
    main()
