# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios handed to several machines, tested with machines that only pretend to play."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.xenlab import scenarios
from tests.xenlab.build import requirements
from tests.xenlab.dispatch import Dispatcher, estimate_s
from tests.xenlab.errors import LabError
from tests.xenlab.model import GuestSpec, Scenario

NAMES = ("pv", "pvh", "hvm", "dom0")
TOOK_S = {"pv": 30.0, "pvh": 20.0, "hvm": 90.0, "dom0": 10.0}


class Pretender:
    """Plays one scenario per poll, or dies in the midst of it."""

    def __init__(self, dies_in: tuple[str, ...] = (), pace: float = 1.0) -> None:
        self._pace = pace
        self.at_end = False
        self.played: list[str] = []
        self._dies_in = dies_in
        self._orders: list[str | None] = []
        self._asked = False

    def order(self, scenario: str | None) -> None:
        self._orders.append(scenario)

    def poll(self) -> list[dict[str, Any]]:
        if not self._asked:
            self._asked = True
            return [{"event": "ready", "xen": "4.17"}, {"event": "next"}]
        name = self._orders.pop(0)
        if name is None:
            self.at_end = True
            return [{"event": "end"}]
        if name in self._dies_in:
            raise LabError(f"died in {name}")
        self.played.append(name)
        seconds = self._pace * TOOK_S.get(name, 1.0)
        return [{"event": "scenario-done", "scenario": name, "seconds": seconds}, {"event": "next"}]


def guests() -> list[Scenario]:
    return [Scenario(name, name, GuestSpec("pv"), ()) for name in NAMES]


def play(*machines: Pretender, until: float | None = None) -> list[dict[str, Any]]:
    return list(Dispatcher(guests(), machines, TOOK_S, until).events())


def test_whoever_is_free_gets_the_longest_scenario_left() -> None:
    machines = Pretender(), Pretender()
    play(*machines)
    assert [machine.played for machine in machines] == [["hvm", "pvh"], ["pv", "dom0"]]


def test_what_ruins_a_machine_comes_last_and_nothing_after_it() -> None:
    ruin = Scenario("ruin", "", GuestSpec("pv"), (), ruins_machine=True)
    machine, other = Pretender(), Pretender()
    list(Dispatcher([ruin, *guests()], [machine, other], TOOK_S | {"ruin": 300.0}).events())
    assert sorted(machine.played + other.played) == sorted([*NAMES, "ruin"])
    assert "ruin" in (machine.played[-1], other.played[-1])
    alone = Pretender()
    list(Dispatcher([ruin, *guests()], [alone], TOOK_S).events())
    assert alone.played[-1] == "ruin"


def test_one_machine_of_each_host_can_play_everything() -> None:
    ruined = [scenario.host for scenario in scenarios.ALL.values() if scenario.ruins_machine]
    assert len(set(ruined)) == len(ruined)


def test_every_event_says_which_machine_it_comes_from() -> None:
    events = play(Pretender(), Pretender())
    ends = [event["machine"] for event in events if event["event"] == "end"]
    assert sorted(ends) == [1, 2]


def test_a_scenario_that_was_never_played_is_put_in_order_by_an_estimate() -> None:
    machine = Pretender()
    chosen = [scenarios.ALL[name] for name in ("dom0", "pv", "hvm")]
    list(Dispatcher(chosen, [machine], {}).events())
    assert machine.played == ["hvm", "pv", "dom0"]
    assert estimate_s(scenarios.ALL["pv-daemon"]) > estimate_s(scenarios.ALL["pv"])


def test_a_machine_that_dies_gives_its_scenario_to_another() -> None:
    dying, other = Pretender(dies_in=("hvm",)), Pretender()
    events = play(dying, other)
    assert sorted(other.played) == sorted(NAMES)
    (lost,) = (event for event in events if event["event"] == "lost")
    assert lost["scenario"] == "hvm"
    assert lost["machine"] == 1


def test_a_scenario_that_kills_two_machines_ends_the_run_with_the_reason() -> None:
    with pytest.raises(LabError, match="died in hvm"):
        play(Pretender(dies_in=("hvm",)), Pretender(dies_in=("hvm",)))


def test_a_machine_that_dies_alone_ends_the_run_with_the_reason() -> None:
    with pytest.raises(LabError, match="died in pv"):
        play(Pretender(dies_in=("pv",)))


def test_what_would_not_end_in_the_time_that_is_given_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    machine = Pretender()
    events = play(machine, until=1050.0)
    left_out = [event["scenario"] for event in events if event["event"] == "left-out"]
    assert (machine.played, left_out) == (["pv", "pvh", "dom0"], ["hvm"])
    assert not [event for event in play(Pretender()) if event["event"] == "left-out"]


def test_the_pace_of_what_was_played_says_what_still_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    machine = Pretender(pace=2.3)
    play(machine, until=1040.0)
    assert machine.played == ["pv", "dom0"], "pvh would take 46 s at this pace"


def test_a_limit_of_time_hides_no_machine_that_died(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    with pytest.raises(LabError, match="died in pv"):
        play(Pretender(dies_in=("pv",)), until=1050.0)


def test_the_number_of_machines_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(requirements.MACHINES_VARIABLE, "3")
    assert requirements.bearable_machines() == 3
    monkeypatch.setenv(requirements.MACHINES_VARIABLE, "many")
    with pytest.raises(LabError, match="many"):
        requirements.bearable_machines()


def test_there_is_always_one_machine_and_never_more_than_fit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(requirements.MACHINES_VARIABLE, raising=False)
    monkeypatch.setattr(requirements, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    for free_mib, machines in ((1024, 1), (6000, 1), (10000, 2), (64000, 2)):
        (tmp_path / "meminfo").write_text(f"MemAvailable:   {free_mib << 10} kB\n")
        assert requirements.bearable_machines() == machines
