# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens on many a stage: what hosts ask, what people and programs do."""

from __future__ import annotations

from agent.core.facts.units import PAGE_KIB
from sim_backend.guest.config import MIB
from sim_backend.guest.memory import Workload
from sim_backend.stories.scenario import Act, Stage


def mem_set(memory_mib: int) -> Act:
    """`xl mem-set`, or what another toolstack has for it."""
    return lambda stage: stage.toolstack.mem_set(stage.domain, memory_mib * MIB)


def mem_max(memory_mib: int) -> Act:
    """`xl mem-max`."""
    return lambda stage: stage.toolstack.mem_max(stage.domain, memory_mib * MIB)


def script_writes(text: str, told: str = "") -> Act:
    """A script in dom0 writes memory/target itself; `told` says it in other words."""

    def write(stage: Stage) -> None:
        stage.domain.tell("host-target", told or f"a script writes memory/target {text}")
        stage.domain.store.write("memory/target", text)

    return write


def dom0_is_set(memory_mib: int) -> Act:
    """The toolstack asks dom0 for the first time, so it writes dom0's keys before."""

    def ask(stage: Stage) -> None:
        stage.toolstack.fill_dom0_keys(stage.domain)
        stage.toolstack.mem_set(stage.domain, memory_mib * MIB)

    return ask


def host_is_full(until_s: float) -> Act:
    """Another domain has all of the host's memory but 100 MiB, and gives it back then."""

    def take(stage: Stage) -> None:
        host = stage.domain.host
        taken_kib = host.take_for_another(host.free_kib - 100 * MIB)
        stage.at(until_s, lambda _: host.return_from_another(taken_kib))

    return take


def squeeze_by_hand(stage: Stage) -> None:
    """Somebody in the guest writes a small target, and nobody sets it right."""
    stage.domain.tell("by-hand", "somebody writes 400 MiB to target_kb and forgets it")
    stage.domain.driver.set_target_pages(400 * MIB // PAGE_KIB)


def programs_use(memory_mib: int) -> Act:
    """So much, all the time, beside what they read of files."""

    def change(stage: Stage) -> None:
        stage.domain.tell("workload", f"the workload becomes anon {memory_mib} MiB")
        stage.domain.change_workload(anon_kib=memory_mib * MIB)

    return change


def busy(anon_mib: int, *, cold_file_mib: int = 24) -> Workload:
    """A workload that touches so much memory all the time."""
    return Workload(
        anon_kib=anon_mib * MIB, hot_file_kib=16 * MIB, cold_file_kib=cold_file_mib * MIB
    )
