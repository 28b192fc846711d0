# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that scenarios share, each a sentence with figures behind it."""

from __future__ import annotations

from sim_backend.stories.scenario import Check, Stage


def settles_at(stage: Stage, current_kib: int, within_s: float) -> Check:
    """Current memory ends at that value, and was there in time."""
    reached = [s.when_s for s in stage.samples if s.current_kib == current_kib]
    ended = stage.samples[-1].current_kib
    passed = ended == current_kib and bool(reached) and reached[0] <= within_s
    when = f"first at {reached[0]:.1f} s" if reached else "never"
    return Check(
        f"current memory settles at {current_kib} KiB within {within_s:g} s",
        passed,
        f"ends at {ended} KiB, {when}",
    )


def no_oom(stage: Stage) -> Check:
    """Nothing was killed for want of memory."""
    kills = stage.domain.memory.oom_kills
    detail = "1 kill" if kills == 1 else f"{kills} kills"
    return Check("the OOM killer stays away", kills == 0, detail)


def alive(stage: Stage) -> Check:
    """The domain lives."""
    return Check("the guest lives", stage.domain.alive, "alive" if stage.domain.alive else "killed")


def writes_at_most(stage: Stage, most: int) -> Check:
    """The agent keeps its hands still."""
    writes = len(stage.domain.target_writes) + stage.domain.refused_writes
    return Check(f"target_kb is written at most {most} times", writes <= most, f"{writes} times")


def available_stays_above(stage: Stage, least_kib: int, *, after_s: float = 0.0) -> Check:
    """The guest always had something left."""
    lowest = min(s.available_kib for s in stage.samples if s.when_s >= after_s)
    return Check(
        f"available memory stays above {least_kib} KiB", lowest >= least_kib, f"lowest {lowest} KiB"
    )


def pressure_ends_below(stage: Stage, most: float) -> Check:
    """No lasting stall."""
    ended = stage.samples[-1].pressure
    return Check(f"memory pressure ends below {most:g} %", ended < most, f"ends at {ended:.1f} %")
