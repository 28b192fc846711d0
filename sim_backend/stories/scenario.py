# SPDX-License-Identifier: GPL-2.0-or-later
"""What a scenario is: a stage, a story in virtual time, and checks that a good agent passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from agent.core.facts.numbers import is_digits
from agent.core.policy.settings import Mode
from sim_backend.clock import Clock
from sim_backend.guest.config import GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.guest.machine import Happening
from sim_backend.host.libxl import Libxl
from sim_backend.hypervisor import Host
from sim_backend.stories.agents import Agent
from sim_backend.stories.attendance import Attendance

MOST_SAMPLES = 400
LEAST_SAMPLE_S = 0.1


class Sample(NamedTuple):
    """The state at one moment; KiB, and the part of the last 10 s that was lost in percent."""

    when_s: float
    host_target_kib: int | None
    target_kib: int
    current_kib: int
    total_kib: int
    available_kib: int
    swapped_kib: int
    pressure: float


class Check(NamedTuple):
    """One thing a good agent achieves; `detail` has the figures."""

    name: str
    passed: bool
    detail: str


class Report(NamedTuple):
    """What happened in one run."""

    scenario: str
    agent: str
    seed: int
    duration_s: float
    events: tuple[Happening, ...]
    samples: tuple[Sample, ...]
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)


class Stage:
    """The scene when the curtain rises: a settled guest, and whoever may touch it."""

    def __init__(self, toolstack: Libxl, domain: SimulatedDomain) -> None:
        self.toolstack = toolstack
        self.domain = domain
        self.clock = domain.clock
        self.start_s = self.clock.now_s
        self.samples: list[Sample] = []

    def at(self, when_s: float, act: Act) -> None:
        """Let something happen `when_s` after the beginning."""
        self.clock.at(self.start_s + when_s, lambda: act(self))

    def take_sample(self) -> None:
        """Keep the state for the report."""
        domain = self.domain
        host_target = domain.store.read("memory/target") or ""
        self.samples.append(
            Sample(
                when_s=round(self.clock.now_s - self.start_s, 3),
                host_target_kib=int(host_target) if is_digits(host_target) else None,
                target_kib=domain.target_kib,
                current_kib=domain.current_kib,
                total_kib=domain.memory.managed_kib,
                available_kib=domain.memory.available_kib,
                swapped_kib=domain.memory.swapped_kib,
                pressure=domain.memory.pressure().some_avg10,
            )
        )


Act = Callable[[Stage], None]
"""Something happens on a stage."""

Acts = Sequence[tuple[float, Act]]
"""What happens, each so many seconds after the beginning; up to 0, it has happened by then."""

Judge = Callable[[Stage], Check]


class Scenario(NamedTuple):
    """A named story.

    guest: settled when the story begins.  checks: look at the stage when it is over.  show_at_s:
    the moment at which the domain is worth a look.  mode: that of the daemon which it is about.
    """

    name: str
    summary: str
    good_agent: str
    duration_s: float
    show_at_s: float
    acts: Acts
    checks: Sequence[Judge]
    guest: GuestConfig = GuestConfig()
    toolstack: type[Libxl] = Libxl
    mode: Mode = "follow"

    def build(self, seed: int) -> Stage:
        """The stage, about to begin."""
        toolstack = self.toolstack(Clock(seed), Host())
        stage = Stage(toolstack, toolstack.create(self.guest, scenario=self.name))
        for when_s, act in self.acts:
            if when_s <= 0:
                act(stage)
            else:
                stage.at(when_s, act)
        return stage

    def domain(self) -> SimulatedDomain:
        """The guest at its telling moment, without an agent; its clock can go on."""
        stage = self.build(0)
        stage.clock.run_until(stage.start_s + self.show_at_s)
        return stage.domain

    def run(self, seed: int, agent: Agent) -> Report:
        """The whole story with `agent` at work."""
        stage = self.build(seed)
        first_event = len(stage.domain.happenings)
        Attendance(stage.domain, agent)
        end_s = stage.start_s + self.duration_s
        stage.take_sample()
        period_s = max(LEAST_SAMPLE_S, self.duration_s / MOST_SAMPLES)
        stage.clock.every(period_s, stage.take_sample, until_s=end_s)
        stage.domain.on_happening = lambda _: stage.take_sample()
        stage.clock.run_until(end_s)
        stage.take_sample()
        happenings = stage.domain.happenings[first_event:]
        return Report(
            scenario=self.name,
            agent=agent.name,
            seed=seed,
            duration_s=self.duration_s,
            events=tuple(
                event._replace(when_s=round(event.when_s - stage.start_s, 3))
                for event in happenings
            ),
            samples=tuple(stage.samples),
            checks=tuple(check(stage) for check in self.checks),
        )
