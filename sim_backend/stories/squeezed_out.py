# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest needs more than it has: stories that end with the OOM killer when nobody acts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.core.facts.units import PAGE_KIB
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.stories import checks
from sim_backend.stories.scenario import Check, Scenario, Stage
from sim_backend.stories.stages import busy, squeeze_by_hand, stage_for


def _below(seed: int, name: str) -> Stage:
    stage = stage_for(seed, name, GuestConfig(workload=busy(300)))
    stage.mem_set(5.0, 200)
    return stage


def _below_judged(stage: Stage) -> Sequence[Check]:
    need_kib = stage.domain.memory.used_kib + stage.domain.boot.overhead_kib
    ended_kib = stage.samples[-1].current_kib
    return (
        checks.no_oom(stage),
        checks.pressure_ends_below(stage, 10.0),
        checks.writes_at_most(stage, 8),
        Check(
            "the host gets what the guest can spare",
            ended_kib < min(need_kib + 96 * MIB, 512 * MIB),
            f"current {ended_kib} KiB, needed {need_kib} KiB",
        ),
    )


def _leak(seed: int, name: str) -> Stage:
    """The guest had been squeezed by hand; a program then leaks 2 MiB a second."""
    stage = stage_for(seed, name, GuestConfig("pv", 768 * MIB, 1024 * MIB, workload=busy(120)))
    squeeze_by_hand(stage)

    def more() -> None:
        anon_kib = stage.domain.memory.workload.anon_kib
        if 0 < anon_kib < 480 * MIB:
            stage.domain.change_workload(anon_kib=anon_kib + 2 * MIB)

    stage.clock.every(1.0, more, until_s=stage.start_s + 260.0)
    return stage


def _leak_judged(stage: Stage) -> Sequence[Check]:
    return (
        checks.no_oom(stage),
        checks.alive(stage),
        checks.pressure_ends_below(stage, 10.0),
        checks.writes_at_most(stage, 20),
    )


def _burst(seed: int, name: str) -> Stage:
    config = GuestConfig("pvh", 1024 * MIB, 1024 * MIB, workload=busy(80))
    stage = stage_for(seed, name, config)
    stage.mem_set(5.0, 400)
    stage.workload(6.0, anon_kib=480 * MIB)
    stage.workload(40.0, anon_kib=80 * MIB)
    return stage


def _burst_judged(stage: Stage) -> Sequence[Check]:
    target_kib = 400 * MIB - stage.domain.driver.target_offset_pages * PAGE_KIB
    return (
        checks.no_oom(stage),
        checks.settles_at(stage, target_kib, within_s=90.0),
        checks.writes_at_most(stage, 20),
    )


def _sudden(seed: int, name: str) -> Stage:
    """The guest had been squeezed, or gave memory back; a program then takes 600 MiB at once."""
    stage = stage_for(seed, name, GuestConfig("pv", 1024 * MIB, 1024 * MIB, workload=busy(120)))
    squeeze_by_hand(stage)
    stage.workload(400.0, anon_kib=720 * MIB)
    return stage


def _sudden_judged(stage: Stage) -> Sequence[Check]:
    return (
        checks.no_oom(stage),
        checks.alive(stage),
        checks.pressure_ends_below(stage, 10.0),
        checks.writes_at_most(stage, 40),
    )


def _garbage(seed: int, name: str) -> Stage:
    """The kernel reads decimal digits and stops: 0x80000 is 0 to it, and it shrinks to nothing."""
    stage = stage_for(seed, name, GuestConfig(workload=busy(200)))
    for when_s, text in ((5.0, "abc"), (8.0, ""), (11.0, "-1"), (14.0, "0x80000")):
        stage.at(when_s, lambda text=text: _write_raw(stage, text))  # type: ignore[misc]
    return stage


def _write_raw(stage: Stage, text: str) -> None:
    stage.domain.tell("host-target", f"memory/target becomes {text!r}")
    stage.domain.store.write("memory/target", text)


def _garbage_judged(stage: Stage) -> Sequence[Check]:
    return (
        checks.no_oom(stage),
        checks.alive(stage),
        checks.writes_at_most(stage, 4),
        checks.pressure_ends_below(stage, 10.0),
    )


SCENARIOS: Final = (
    Scenario(
        name="down-below-working-set",
        summary="a guest that needs 420 MiB is asked down to 200",
        good_agent="stops the kernel at what the guest needs, and says so",
        duration_s=90.0,
        show_at_s=12.0,
        build=_below,
        judge=_below_judged,
        mode="guard",
    ),
    Scenario(
        name="leak",
        summary="a program leaks 2 MiB a second in a guest that was squeezed by hand",
        good_agent="takes back what the host allows before the leak bites",
        duration_s=260.0,
        show_at_s=80.0,
        build=_leak,
        judge=_leak_judged,
    ),
    Scenario(
        name="burst",
        summary="the guest suddenly needs 400 MiB more while it is shrinking",
        good_agent="stops the shrinking at once, and lets it go on when the burst is over",
        duration_s=120.0,
        show_at_s=20.0,
        build=_burst,
        judge=_burst_judged,
        mode="guard",
    ),
    Scenario(
        name="sudden-allocation",
        summary="a guest that shrank to what it needed is asked for 600 MiB at once by a program",
        good_agent="takes everything the host allows as soon as programs wait",
        duration_s=480.0,
        show_at_s=399.0,
        build=_sudden,
        judge=_sudden_judged,
    ),
    Scenario(
        name="garbage-target",
        summary="memory/target is abc, empty, -1, and then 0x80000, which the kernel takes for 0",
        good_agent="keeps the last sound target and stops the kernel from shrinking to nothing",
        duration_s=60.0,
        show_at_s=12.0,
        build=_garbage,
        judge=_garbage_judged,
    ),
)
