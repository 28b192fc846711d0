# SPDX-License-Identifier: GPL-2.0-or-later
"""What hosts do to a guarded guest that has no more to give, in virtual time.

    python3 -m tests.bench.schedules [--mode guard] [--family NAME] [--random N] [--all] [--told N]

Plays every schedule of `sim_backend.stories.schedules` over some guests (--all: every guest), and
N random ones.  For each family it prints how many stories failed, and of the first of them what.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Final

from sim_backend.stories.agents import AGENTS, agent
from sim_backend.stories.scenario import Report, Scenario
from sim_backend.stories.schedules import FAMILIES, GUESTS, Guest, random_story, stories

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


def main() -> int:
    """Play and tell; 1 when something failed."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.bench.schedules")
    parser.add_argument("--mode", choices=AGENTS, default="guard")
    parser.add_argument("--family", choices=FAMILIES, action="append")
    parser.add_argument("--random", type=int, default=100)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--told", type=int, default=3)
    options = parser.parse_args()
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
