# SPDX-License-Identifier: GPL-2.0-or-later
"""Qubes: qmemman gives every guest what it says it uses, times 1.3.

A guest takes part once it has written memory/meminfo (KiB used).  qmemman writes memory/target
16 MiB below what it gives, and with memory hotplug moves static-max along, which is then no
maximum at all: memory/hotplug-max is (qubes/qmemman/systemstate.py:175-201, algo.py:26-60).
"""

from typing import Final

from agent.core.snapshot import Toolstack
from agent.core.units import MIB_KIB, PAGE_KIB
from sim_backend.domain import SimulatedDomain
from sim_backend.guest_config import GuestConfig
from sim_backend.toolstacks import LIBXL_GUEST_WRITABLE, MAXMEM_CONSTANT_KIB, Libxl

BELOW_GIVEN_KIB: Final = 16 * MIB_KIB
LEAST_KIB: Final = 200 * MIB_KIB
CACHE_MARGIN: Final = 1.3
SIGNIFICANT_KIB: Final = 15 * MIB_KIB


class Qubes(Libxl):
    """One host under Qubes; `hotplug_max_kib` of a guest makes its static-max move."""

    name: Toolstack = "qubes"
    guest_writable: tuple[str, ...] = (*LIBXL_GUEST_WRITABLE, "memory/meminfo", "memory/swapinfo")
    hotplug_max_kib: int | None = None

    def memory_nodes(self, config: GuestConfig) -> dict[str, str]:
        """memory/* as qubesd makes them; meminfo and swapinfo belong to the guest."""
        nodes = super().memory_nodes(config) | {"memory/meminfo": "", "memory/swapinfo": ""}
        if self.hotplug_max_kib is not None:
            nodes["memory/hotplug-max"] = str(self.hotplug_max_kib)
        return nodes

    def mem_set(self, domain: SimulatedDomain, memory_kib: int) -> None:
        """As qmemman does: limit, target 16 MiB below, and perhaps static-max."""
        domain.reservation.max_pages = (memory_kib + MAXMEM_CONSTANT_KIB) // PAGE_KIB
        domain.tell("host-target", f"qmemman gives {memory_kib // MIB_KIB} MiB")
        if domain.store.read("memory/hotplug-max") is not None:
            domain.store.write("memory/static-max", str(memory_kib))
        domain.store.write("memory/target", str(memory_kib - BELOW_GIVEN_KIB))

    def preferred_kib(self, domain: SimulatedDomain) -> int | None:
        """What qmemman would like to give; None as long as the guest has not said what it uses."""
        text = domain.store.read("memory/meminfo") or ""
        if not (text.isascii() and text.isdigit()):
            return None
        most = domain.store.read("memory/hotplug-max") or domain.store.read("memory/static-max")
        wanted_kib = max(int(int(text) * CACHE_MARGIN), LEAST_KIB)
        return min(wanted_kib, int(most)) if most and most.isdigit() else wanted_kib

    def balance(self) -> None:
        """One round: donors go down to what they prefer, the rest goes to those below it."""
        wishes = {
            domain.domid: wish
            for domain in self.domains.values()
            if domain.alive and (wish := self.preferred_kib(domain)) is not None
        }
        for domid, wish_kib in sorted(wishes.items()):
            domain = self.domains[domid]
            has_kib = domain.reservation.pages * PAGE_KIB
            if abs(wish_kib - has_kib) <= SIGNIFICANT_KIB:
                continue
            room_kib = max(0, self.host.free_kib)
            self.mem_set(domain, min(wish_kib, has_kib + room_kib) // PAGE_KIB * PAGE_KIB)
