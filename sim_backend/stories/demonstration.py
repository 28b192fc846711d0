# SPDX-License-Identifier: GPL-2.0-or-later
"""The demonstration: two stories, each told without the agent and with it, figures side by side.

1. The host asks for more than a guest can give.  2. The host gives memory that Debian 11's kernel
leaves offline.  Everything is simulated, and everything that is shown says so.

Relies on docs/design.md A16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from agent.core.facts.units import format_kib
from agent.core.policy.settings import Mode, PolicySettings
from agent.core.policy.use import REMEMBERS_S, seen_use
from agent.core.policy.view import floor_kib
from sim_backend.stories import catalogue
from sim_backend.stories.agents import NoAgent
from sim_backend.stories.plot import plot_svg
from sim_backend.stories.policy_agent import Decided, PolicyAgent
from sim_backend.stories.scenario import Report

NOTICE: Final = (
    "SIMULATED: Xen, the kernel's balloon driver and the guests below are a model in virtual time.",
    "Nothing of this machine is read or changed.",
)
_LABEL, _COLUMN = 30, 24


class Part(NamedTuple):
    """One story: its file name, its scenario, the mode that is shown against nobody."""

    name: str
    scenario: str
    mode: Mode
    title: str
    setting: tuple[str, ...]
    moral: tuple[str, ...]


PARTS: Final = (
    Part(
        "shrink",
        "down-below-working-set",
        "guard",
        "The host asks for more than the guest can give",
        (
            "A guest has 512 MiB, and its programs work on 300 MiB of them all the time; with what",
            "Linux itself takes it needs about 420.  The host: xl mem-set 200.",
        ),
        (
            "Without the agent the workload dies, and the host still does not get its memory.",
            "With it nothing dies, and the host reads in xenstore how far it may go.",
        ),
    ),
    Part(
        "grow",
        "hotplug-offline",
        "follow",
        "The host gives, and Debian 11 does not take",
        (
            "A guest has 512 MiB of 1024; Linux 5.10 grows by hot-adding memory, and leaves it",
            "offline.  The host: xl mem-set 768.",
        ),
        (
            "Without the agent the command is lost: no error, no memory.",
            "With it the memory is in use a moment later.",
        ),
    ),
)


class Told(NamedTuple):
    """A part, played."""

    part: Part
    without: Report
    with_agent: Report
    floors_kib: tuple[int, ...]

    def plots(self) -> dict[str, str]:
        """File names and SVG documents."""
        return {
            f"{self.part.name}-without.svg": plot_svg(
                self.without, f"{self.part.title}: without the agent"
            ),
            f"{self.part.name}-with.svg": plot_svg(
                self.with_agent, f"{self.part.title}: with the agent, mode {self.part.mode}"
            ),
        }


def play(seed: int = 0) -> tuple[Told, ...]:
    """Every part, without and with the agent."""
    return tuple(_told(part, seed) for part in PARTS)


def _told(part: Part, seed: int) -> Told:
    scenario = catalogue.load(part.scenario)
    agent = PolicyAgent(PolicySettings(mode=part.mode), keeps_record=True)
    without, with_agent = scenario.run(seed, NoAgent()), scenario.run(seed, agent)
    floors = tuple(_floor_kib(decided, agent.settings) for decided in agent.record)
    return Told(part, without, with_agent, floors if part.mode == "guard" else ())


def _floor_kib(decided: Decided, settings: PolicySettings) -> int:
    """What the daemon publishes as data/balloon/floor_kb after that decision."""
    balloon = decided.situation.snapshot.balloon
    assert balloon is not None
    assert balloon.current_kib is not None
    use = seen_use(decided.before.use, decided.situation, decided.when_s, REMEMBERS_S)
    return floor_kib(decided.situation, settings, balloon.current_kib, use)


def _killed(report: Report) -> str:
    """The programs that the OOM killer took, by their size."""
    kills = [event.text for event in report.events if event.kind == "oom-kill"]
    if not kills:
        return "nothing"
    who, _, size_kib = kills[0].removeprefix("the OOM killer took ").rpartition(", ")
    return f"{who}, {format_kib(int(size_kib.split()[0]))}"


_FIGURES: Final[tuple[tuple[str, Callable[[Report], str]], ...]] = (
    ("the host asks for", lambda report: format_kib(report.samples[-1].host_target_kib or 0)),
    ("the guest ends with", lambda report: format_kib(report.samples[-1].current_kib)),
    ("killed", _killed),
    ("stalled, the worst 10 s", lambda report: f"{max(s.pressure for s in report.samples):.0f} %"),
)


def story_lines(told: Told, number: int) -> Iterator[str]:
    """One part as it is printed."""
    part = told.part
    yield f"{number}. {part.title}"
    yield from (f"   {line}" for line in part.setting)
    yield ""
    yield _row("", "without the agent", f"with it, mode {part.mode}")
    for label, figure in _FIGURES:
        yield _row(label, figure(told.without), figure(told.with_agent))
    if told.floors_kib:
        first, final = told.floors_kib[0], told.floors_kib[-1]
        yield _row("the host is told its limit", "nothing", f"{format_kib(first)} before it asks")
        yield _row("  (data/balloon/floor_kb)", "", f"{format_kib(final)} at the end")
    yield ""
    for heading, report in (("Without", told.without), ("With", told.with_agent)):
        yield f"   {heading}:"
        yield from (f"   {event.when_s:>7.1f} s  {event.text}" for event in report.events)
    yield ""
    yield from (f"   {line}" for line in part.moral)


def _row(label: str, of_one: str, of_other: str) -> str:
    return f"   {label:<{_LABEL}}{of_one:>{_COLUMN}}{of_other:>{_COLUMN + 4}}".rstrip()
