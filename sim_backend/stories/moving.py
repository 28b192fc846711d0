# SPDX-License-Identifier: GPL-2.0-or-later
"""The host asks, the balloon moves: the plain stories."""

from __future__ import annotations

from typing import Final

from agent.core.facts.units import PAGE_KIB
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.driver import Pace
from sim_backend.hypervisor import Host
from sim_backend.stories.acts import busy, mem_set
from sim_backend.stories.checks import (
    alive,
    available_stays_above,
    no_oom,
    settles_at,
    writes_at_most,
)
from sim_backend.stories.scenario import Check, Scenario, Stage


def _slows_down(stage: Stage) -> None:
    stage.domain.driver.pace = Pace(populate_s=0.5, release_s=0.5)


def _differs_by_the_constant(stage: Stage) -> Check:
    """The kernel's target is the host's less a constant."""
    offset_kib = stage.domain.driver.target_offset_pages * PAGE_KIB
    current_kib = stage.domain.current_kib
    return Check(
        "the difference to the host's target is the constant",
        current_kib + offset_kib == (640 - 8) * MIB,
        f"current {current_kib} KiB, constant {offset_kib} KiB",
    )


def _has_another_domid(stage: Stage) -> Check:
    domid = stage.domain.domid
    return Check("the domain has another domid", domid != 1, f"domid {domid}")


SCENARIOS: Final = (
    Scenario(
        name="balloon-up",
        summary="a 512 MiB guest is given 768 of its 1024 MiB",
        good_agent="watches: the kernel follows the host by itself",
        duration_s=30.0,
        show_at_s=20.0,
        acts=((5.0, mem_set(768)),),
        checks=(settles_at(768, within_s=10.0), writes_at_most(0), no_oom),
    ),
    Scenario(
        name="balloon-down",
        summary="a guest with 1024 MiB and little to do is asked down to 384",
        good_agent="watches: there is room enough, so it lets the kernel shrink",
        duration_s=30.0,
        show_at_s=20.0,
        guest=GuestConfig("pv", 1024 * MIB, 1024 * MIB),
        acts=((5.0, mem_set(384)),),
        checks=(
            settles_at(384, within_s=15.0),
            writes_at_most(12),
            available_stays_above(100),
            no_oom,
        ),
    ),
    Scenario(
        name="flapping-host",
        summary="the host changes its mind each second for a minute",
        good_agent="keeps its hands still until the host has made up its mind",
        duration_s=100.0,
        show_at_s=33.2,
        acts=(
            *((5.0 + number, mem_set(768 if number % 2 else 512)) for number in range(60)),
            (70.0, mem_set(640)),
        ),
        checks=(settles_at(640, within_s=80.0), writes_at_most(40), no_oom),
    ),
    Scenario(
        name="slow",
        summary="a busy machine: the balloon moves 4 MiB a second",
        good_agent="sees progress and waits; slow is not stuck",
        duration_s=120.0,
        show_at_s=30.0,
        guest=GuestConfig("pv", 768 * MIB, 1024 * MIB),
        acts=((0.0, _slows_down), (5.0, mem_set(512))),
        checks=(settles_at(512, within_s=80.0), writes_at_most(8), no_oom),
    ),
    Scenario(
        name="offset",
        summary="an HVM guest with video memory sits below the host's target by a constant",
        good_agent="knows the constant, explains it and does not correct it",
        duration_s=60.0,
        show_at_s=40.0,
        guest=GuestConfig("hvm", 512 * MIB, 1024 * MIB, videoram_kib=8 * MIB),
        acts=((10.0, mem_set(640)),),
        checks=(settles_at(640 - 8, within_s=20.0), writes_at_most(0), _differs_by_the_constant),
    ),
    Scenario(
        name="migration",
        summary="the guest moves to another host and gets another domid",
        good_agent="forgets what it knew of the old host and goes on",
        duration_s=80.0,
        show_at_s=60.0,
        guest=GuestConfig(workload=busy(100)),
        acts=(
            (5.0, mem_set(768)),
            (20.0, lambda stage: stage.toolstack.migrate(stage.domain, Host())),
            (40.0, mem_set(640)),
        ),
        checks=(settles_at(640, within_s=50.0), writes_at_most(6), alive, _has_another_domid),
    ),
)
