# SPDX-License-Identifier: GPL-2.0-or-later
"""The host asks, the balloon moves: the plain stories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.core.facts.units import PAGE_KIB
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.driver import Pace
from sim_backend.hypervisor import Host
from sim_backend.stories import checks
from sim_backend.stories.scenario import Check, Scenario, Stage
from sim_backend.stories.stages import busy, stage_for


def _up(seed: int, name: str) -> Stage:
    stage = stage_for(seed, name)
    stage.mem_set(5.0, 768)
    return stage


def _up_judged(stage: Stage) -> Sequence[Check]:
    return (
        checks.settles_at(stage, 768 * MIB, within_s=10.0),
        checks.writes_at_most(stage, 0),
        checks.no_oom(stage),
    )


def _down(seed: int, name: str) -> Stage:
    stage = stage_for(seed, name, GuestConfig("pv", 1024 * MIB, 1024 * MIB))
    stage.mem_set(5.0, 384)
    return stage


def _down_judged(stage: Stage) -> Sequence[Check]:
    return (
        checks.settles_at(stage, 384 * MIB, within_s=15.0),
        checks.writes_at_most(stage, 12),
        checks.available_stays_above(stage, 100 * MIB),
        checks.no_oom(stage),
    )


def _flapping(seed: int, name: str) -> Stage:
    stage = stage_for(seed, name)
    for number in range(60):
        stage.mem_set(5.0 + number, 768 if number % 2 else 512)
    stage.mem_set(70.0, 640)
    return stage


def _flapping_judged(stage: Stage) -> Sequence[Check]:
    return (
        checks.settles_at(stage, 640 * MIB, within_s=80.0),
        checks.writes_at_most(stage, 40),
        checks.no_oom(stage),
    )


def _slow(seed: int, name: str) -> Stage:
    stage = stage_for(seed, name, GuestConfig("pv", 768 * MIB, 1024 * MIB))
    stage.domain.driver.pace = Pace(populate_s=0.5, release_s=0.5)
    stage.mem_set(5.0, 512)
    return stage


def _slow_judged(stage: Stage) -> Sequence[Check]:
    return (
        checks.settles_at(stage, 512 * MIB, within_s=80.0),
        checks.writes_at_most(stage, 8),
        checks.no_oom(stage),
    )


def _offset(seed: int, name: str) -> Stage:
    stage = stage_for(seed, name, GuestConfig("hvm", 512 * MIB, 1024 * MIB, videoram_kib=8 * MIB))
    stage.mem_set(10.0, 640)
    return stage


def _offset_judged(stage: Stage) -> Sequence[Check]:
    """The kernel's target is the host's less a constant."""
    domain = stage.domain
    offset_kib = domain.driver.target_offset_pages * PAGE_KIB
    return (
        checks.settles_at(stage, (640 - 8) * MIB - offset_kib, within_s=20.0),
        checks.writes_at_most(stage, 0),
        Check(
            "the difference to the host's target is the constant",
            domain.current_kib + offset_kib == (640 - 8) * MIB,
            f"current {domain.current_kib} KiB, constant {offset_kib} KiB",
        ),
    )


def _migration(seed: int, name: str) -> Stage:
    stage = stage_for(seed, name, GuestConfig(workload=busy(100)))
    there = Host()
    stage.mem_set(5.0, 768)
    stage.at(20.0, lambda: stage.toolstack.migrate(stage.domain, there))
    stage.mem_set(40.0, 640)
    return stage


def _migration_judged(stage: Stage) -> Sequence[Check]:
    domid = stage.domain.domid
    return (
        checks.settles_at(stage, 640 * MIB, within_s=50.0),
        checks.writes_at_most(stage, 6),
        checks.alive(stage),
        Check("the domain has another domid", domid != 1, f"domid {domid}"),
    )


SCENARIOS: Final = (
    Scenario(
        name="balloon-up",
        summary="a 512 MiB guest is given 768 of its 1024 MiB",
        good_agent="watches: the kernel follows the host by itself",
        duration_s=30.0,
        show_at_s=20.0,
        build=_up,
        judge=_up_judged,
    ),
    Scenario(
        name="balloon-down",
        summary="a guest with 1024 MiB and little to do is asked down to 384",
        good_agent="watches: there is room enough, so it lets the kernel shrink",
        duration_s=30.0,
        show_at_s=20.0,
        build=_down,
        judge=_down_judged,
    ),
    Scenario(
        name="flapping-host",
        summary="the host changes its mind each second for a minute",
        good_agent="keeps its hands still until the host has made up its mind",
        duration_s=100.0,
        show_at_s=33.2,
        build=_flapping,
        judge=_flapping_judged,
    ),
    Scenario(
        name="slow",
        summary="a busy machine: the balloon moves 4 MiB a second",
        good_agent="sees progress and waits; slow is not stuck",
        duration_s=120.0,
        show_at_s=30.0,
        build=_slow,
        judge=_slow_judged,
    ),
    Scenario(
        name="offset",
        summary="an HVM guest with video memory sits below the host's target by a constant",
        good_agent="knows the constant, explains it and does not correct it",
        duration_s=60.0,
        show_at_s=40.0,
        build=_offset,
        judge=_offset_judged,
    ),
    Scenario(
        name="migration",
        summary="the guest moves to another host and gets another domid",
        good_agent="forgets what it knew of the old host and goes on",
        duration_s=80.0,
        show_at_s=60.0,
        build=_migration,
        judge=_migration_judged,
    ),
)
