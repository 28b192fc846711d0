# SPDX-License-Identifier: GPL-2.0-or-later
"""Many guests on one host, each with its agent, sharing the host's memory.

A balancer gives memory to those who run short and takes it from those who have plenty, as
toolstacks do; the programs in the guests change what they want at random.  Everything follows
from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from agent.core.facts.units import PAGE_KIB
from sim_backend.clock import Clock
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.host.libxl import Libxl
from sim_backend.hypervisor import Host
from sim_backend.stories.agents import NOBODY, agent
from sim_backend.stories.attendance import Attendance

XEN_KIB: Final = 256 * MIB
SPARE_KIB: Final = 96 * MIB  # what the balancer leaves to a guest beside what it uses


class FleetResult(NamedTuple):
    """What became of all of them."""

    guests: int
    simulated_s: float
    events: int
    looks: int
    oom_kills: int
    target_writes: int
    alive: int
    pages_accounted: bool


@dataclass(frozen=True)
class FleetPlan:
    """How large, and how restless."""

    guests: int = 100
    config: GuestConfig = field(default_factory=lambda: GuestConfig("pvh", 512 * MIB, 1024 * MIB))
    host_kib_per_guest: int = 640 * MIB
    workload_each_s: float = 120.0
    balance_each_s: float = 30.0


class Fleet:
    """The guests of one host."""

    def __init__(self, plan: FleetPlan, agent_name: str = NOBODY, seed: int = 0) -> None:
        self.plan = plan
        self.clock = Clock(seed)
        self.host = Host(plan.guests * plan.host_kib_per_guest + XEN_KIB, XEN_KIB)
        self.toolstack = Libxl(self.clock, self.host)
        self.attendances: list[Attendance] = []
        self.guests: list[SimulatedDomain] = []
        for number in range(1, plan.guests + 1):
            config = replace(plan.config, name=f"guest-{number}")
            domain = self.toolstack.create(config, domid=number, settle=False)
            self.guests.append(domain)
            self.attendances.append(Attendance(domain, agent(agent_name)))
            self._stir(domain)
        self.clock.every(plan.balance_each_s, self._balance)

    def run(self, duration_s: float) -> FleetResult:
        """Let that much virtual time pass."""
        before = self.clock.events_run
        self.clock.run_until(self.clock.now_s + duration_s)
        return FleetResult(
            guests=len(self.guests),
            simulated_s=duration_s,
            events=self.clock.events_run - before,
            looks=sum(one.looks for one in self.attendances),
            oom_kills=sum(domain.memory.oom_kills for domain in self.guests),
            target_writes=sum(len(domain.target_writes) for domain in self.guests),
            alive=sum(domain.alive for domain in self.guests),
            pages_accounted=self.host.accounted_pages() == self.host.total_pages,
        )

    def _stir(self, domain: SimulatedDomain) -> None:
        """The programs want more or less, now and then."""
        rng = self.clock.rng

        def stir() -> None:
            anon_kib = domain.memory.workload.anon_kib + rng.randrange(-80, 81) * MIB
            domain.change_workload(anon_kib=min(max(anon_kib, 20 * MIB), 420 * MIB))
            self.clock.after(self.plan.workload_each_s * (0.5 + rng.random()), stir)

        self.clock.after(self.plan.workload_each_s * rng.random(), stir)

    def _balance(self) -> None:
        """Move memory from the rich to the poor, 16 MiB at least."""
        for domain in self.guests:
            if not domain.alive:
                continue
            memory = domain.memory
            used_kib = memory.managed_kib - memory.available_kib + memory.unmet_kib
            wanted_kib = used_kib + domain.boot.overhead_kib + SPARE_KIB
            wanted_kib = min(max(wanted_kib, 256 * MIB), domain.config.maxmem_kib)
            has_kib = domain.current_kib
            room_kib = self.host.free_kib - 16 * MIB
            if wanted_kib > has_kib:
                wanted_kib = has_kib + min(wanted_kib - has_kib, max(0, room_kib))
            if abs(wanted_kib - has_kib) > 16 * MIB:
                self.toolstack.mem_set(domain, wanted_kib // PAGE_KIB * PAGE_KIB)
