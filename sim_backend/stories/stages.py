# SPDX-License-Identifier: GPL-2.0-or-later
"""Setting a stage: a host, a toolstack and one settled guest."""

from __future__ import annotations

from agent.core.facts.units import PAGE_KIB
from sim_backend.clock import Clock
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.memory import Workload
from sim_backend.host.libxl import Libxl
from sim_backend.hypervisor import Host
from sim_backend.stories.scenario import Stage


def stage_for(
    seed: int, name: str, config: GuestConfig | None = None, toolstack: type[Libxl] = Libxl
) -> Stage:
    """A guest of that configuration (512 of 1024 MiB, PV, if none is given), settled."""
    clock = Clock(seed)
    manager = toolstack(clock, Host())
    domain = manager.create(config or GuestConfig(), scenario=name)
    return Stage(clock, manager, domain)


def squeeze_by_hand(stage: Stage) -> None:
    """Somebody in the guest has written a small target, and nobody sets it right."""

    def squeeze() -> None:
        stage.domain.tell("by-hand", "somebody writes 400 MiB to target_kb and forgets it")
        stage.domain.driver.set_target_pages(400 * MIB // PAGE_KIB)

    stage.at(1.0, squeeze)


def script_writes(stage: Stage, text: str) -> None:
    """A script in dom0 writes memory/target itself."""
    stage.domain.tell("host-target", f"a script writes memory/target {text}")
    stage.domain.store.write("memory/target", text)


def busy(anon_mib: int, *, hot_file_mib: int = 16, cold_file_mib: int = 24) -> Workload:
    """A workload that touches so much memory all the time."""
    return Workload(
        anon_kib=anon_mib * MIB, hot_file_kib=hot_file_mib * MIB, cold_file_kib=cold_file_mib * MIB
    )
