# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that scenarios share, each a sentence with figures behind it."""

from __future__ import annotations

from agent.core.facts.units import PAGE_KIB
from sim_backend.guest.config import MIB
from sim_backend.stories.scenario import Check, Judge, Stage


def settles_at(target_mib: int, within_s: float) -> Judge:
    """Current memory ends at that size, less the kernel's constant, and was there in time."""

    def judge(stage: Stage) -> Check:
        wanted_kib = target_mib * MIB - stage.domain.driver.target_offset_pages * PAGE_KIB
        reached = [s.when_s for s in stage.samples if s.current_kib == wanted_kib]
        ended = stage.samples[-1].current_kib
        passed = ended == wanted_kib and reached[0] <= within_s
        when = f"first at {reached[0]:.1f} s" if reached else "never"
        return Check(
            f"current memory settles at {wanted_kib} KiB within {within_s:g} s",
            passed,
            f"ends at {ended} KiB, {when}",
        )

    return judge


def no_oom(stage: Stage) -> Check:
    """Nothing was killed for want of memory."""
    kills = stage.domain.memory.oom_kills
    detail = "1 kill" if kills == 1 else f"{kills} kills"
    return Check("the OOM killer stays away", kills == 0, detail)


def alive(stage: Stage) -> Check:
    """The domain lives."""
    return Check("the guest lives", stage.domain.alive, "alive" if stage.domain.alive else "killed")


def writes_at_most(most: int) -> Judge:
    """The agent keeps its hands still."""

    def judge(stage: Stage) -> Check:
        writes = len(stage.domain.target_writes) + stage.domain.refused_writes
        return Check(
            f"target_kb is written at most {most} times", writes <= most, f"{writes} times"
        )

    return judge


def available_stays_above(least_mib: int) -> Judge:
    """The guest always had something left."""

    def judge(stage: Stage) -> Check:
        least_kib, lowest = least_mib * MIB, min(s.available_kib for s in stage.samples)
        return Check(
            f"available memory stays above {least_kib} KiB",
            lowest >= least_kib,
            f"lowest {lowest} KiB",
        )

    return judge


def no_lasting_stall(stage: Stage) -> Check:
    """Programs do not wait for memory any more when the story ends."""
    ended = stage.samples[-1].pressure
    return Check("memory pressure ends below 10 %", ended < 10.0, f"ends at {ended:.1f} %")
