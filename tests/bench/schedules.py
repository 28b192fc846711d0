# SPDX-License-Identifier: GPL-2.0-or-later
"""What hosts do to a guarded guest that has no more to give.

    python3 -m tests.bench.schedules [--mode guard] [--family NAME] [--random N] [--all] [--told N]
    python3 -m tests.bench.schedules --processes [STORY...]

The first plays every schedule of `sim_backend.stories.schedules` over some guests (--all: every
guest), and N random ones, in virtual time.  For each family it prints how many stories failed, and
of the first of them what.  The second plays some of them with the real daemon in a published guest,
each a process of its own, and prints them as a table.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from agent.core.facts.units import format_kib
from sim_backend.stories import catalogue
from sim_backend.stories.agents import AGENTS, agent
from sim_backend.stories.scenario import Report, Scenario
from sim_backend.stories.schedules import (
    AFTERWARDS_S,
    FAMILIES,
    GUESTS,
    Guest,
    random_story,
    stories,
)
from tests.support.daemon_process import DaemonProcess
from tests.support.published_domain import published

SOME: Final = (Guest(), Guest(512, "pvh"), Guest(2048, "pv", hears_late=True), Guest(8192, "pvh"))
BEGINNINGS_S: Final = (5.0, 40.0)


def played(scenarios: Iterable[Scenario], mode: str) -> list[tuple[Scenario, Report]]:
    """Each with its report."""
    return [(one, one.run(number, agent(mode))) for number, one in enumerate(scenarios)]


def tell(name: str, runs: list[tuple[Scenario, Report]], told: int) -> bool:
    """Print what became of them; whether every check of every run passed."""
    failed = [(story, report) for story, report in runs if not report.passed]
    killed = sum(any(e.kind in ("oom-kill", "killed") for e in r.events) for _, r in runs)
    print(f"{name:<16} {len(runs):>5} stories {len(failed):>5} fail {killed:>5} kill", flush=True)
    for story, report in failed[:told]:
        print(f"  {story.name}: {story.summary}")
        for check in report.checks:
            if not check.passed:
                print(f"      {check.name}: {check.detail}")
    return not failed


PROCESSES: Final = (
    "second-value-1",
    "second-value-7",
    "second-value-19",
    "same-value-0",
    "same-value-3",
    "same-value-6",
    "steps-1",
    "steps-8",
    "steps-16",
    "lowered-maximum-2",
    "moving-maximum-0",
    "bad-at-start-0",
    "failing-writes-2",
    "second-value-7@pvh-512",
    "same-value-0@pvh-2048",
    "steps-8@pv-8192",
    "steps-16@pvh-8192",
)
AFTER_S: Final = 25.0  # a guest that starves is killed within 20
BALLOON: Final = "sys/devices/system/xen_memory/xen_memory0/info/current_kb"


class Seen(NamedTuple):
    """One story with the daemon's process; sizes in KiB.

    `floor_kib` was published before the host asked, `least_kib` is the smallest the guest was.
    """

    story: Scenario
    killed: int
    floor_kib: int
    least_kib: int

    @property
    def below_kib(self) -> int:
        """By how much the guest was below what had been published as its floor."""
        return max(0, self.floor_kib - self.least_kib)


def with_processes(name: str, mode: str = "guard", after_s: float = AFTER_S) -> Seen:
    """The story in a process, the daemon in another; looked at `after_s` beyond the last ask."""
    story = catalogue.load(name)
    words = ("--config", "/dev/null", "--mode", mode)
    with (
        published(name, held=True) as there,
        there.dom0() as dom0,
        DaemonProcess(there.root, there.xenstore, *words) as daemon,
    ):
        daemon.ready()
        target, floor = f"{there.home}/memory/target", f"{there.home}/data/balloon/floor_kb"
        before = dom0.read(target)
        there.say("go")
        floor_kib, least_kib, has_asked = 0, sys.maxsize, False
        until_s = time.monotonic() + story.duration_s - AFTERWARDS_S + after_s
        while time.monotonic() < until_s:
            least_kib = min(least_kib, int((there.root / BALLOON).read_text()))
            if not has_asked:
                found_kib = int(dom0.read(floor))
                has_asked = dom0.read(target) != before
                floor_kib = floor_kib if has_asked else found_kib
            time.sleep(0.02)
        killed = _kills(there.root)
        daemon.end()
    return Seen(story, killed, floor_kib, least_kib)


def _kills(root: Path) -> int:
    rows = dict(row.split() for row in (root / "proc/vmstat").read_text().splitlines())
    return int(rows["oom_kill"])


def table(names: Iterable[str], mode: str) -> bool:
    """Play and print, as Markdown; whether nothing was killed."""
    print("| guest | the host | killed | floor published before | smallest size |")
    print("|---|---|---|---|---|")
    well = True
    for name in names:
        seen = with_processes(name, mode)
        sizes = (format_kib(seen.floor_kib), format_kib(seen.least_kib))
        guest = seen.story.name.partition("@")[2].replace("-", " ")
        killed = "the workload" if seen.killed else "nothing"
        print(f"| {guest} | {seen.story.summary} | {killed} | {' | '.join(sizes)} |", flush=True)
        well &= not seen.killed
    return well


def main() -> int:
    """Play and tell; 1 when something failed."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.bench.schedules")
    parser.add_argument("--mode", choices=AGENTS, default="guard")
    parser.add_argument("--family", choices=FAMILIES, action="append")
    parser.add_argument("--random", type=int, default=100)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--told", type=int, default=3)
    parser.add_argument("--processes", nargs="*", metavar="STORY")
    options = parser.parse_args()
    if options.processes is not None:
        return 0 if table(options.processes or PROCESSES, options.mode) else 1
    well = True
    for family in options.family or FAMILIES:
        these = (
            story
            for guest in (GUESTS if options.all else SOME)
            for from_s in BEGINNINGS_S
            for story in stories(family, guest, from_s)
        )
        well &= tell(family, played(these, options.mode), options.told)
    some = (random_story(number) for number in range(options.random))
    well &= tell("random", played(some, options.mode), options.told)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
