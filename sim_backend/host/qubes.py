# SPDX-License-Identifier: GPL-2.0-or-later
"""Qubes: qubesd starts the qubes and writes their keys, qmemman divides the memory.

A qube takes part once it has written memory/meminfo (KiB used).  qmemman writes memory/target
16 MiB below what it gives, and with memory hotplug moves static-max along, which is then no
maximum at all: memory/hotplug-max is.  qubesd's part is read in qubes-core-admin 1ad5f9b84dc1,
qubes/vm/qubesvm.py; qmemman's is in `qmemman_server` and `qmemman`.
"""

from __future__ import annotations

from typing import Final

from agent.core.facts.snapshot import Toolstack
from agent.core.facts.units import MIB_KIB
from sim_backend.clock import Clock
from sim_backend.guest.config import GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.host.libxl import LIBXL_GUEST_WRITABLE, Libxl, ToolstackError
from sim_backend.host.qmemman_server import Qmemman
from sim_backend.hypervisor import Host

REPORTS_EACH_S: Final = 0.1
REPORTED_CHANGE_KIB: Final = 30_000


class Qubes(Libxl):
    """One host under Qubes; `hotplug_max_kib` of a guest makes its static-max move."""

    name: Toolstack = "qubes"
    guest_writable: tuple[str, ...] = (*LIBXL_GUEST_WRITABLE, "memory/meminfo", "memory/swapinfo")
    hotplug_max_kib: int | None = None

    def __init__(self, clock: Clock, host: Host) -> None:
        super().__init__(clock, host)
        self.qmemman = Qmemman(clock, host, self.domains)

    def _created(self, domain: SimulatedDomain, config: GuestConfig) -> None:  # noqa: ARG002
        self.qmemman.domains_changed()

    def destroy(self, domain: SimulatedDomain) -> None:
        """The qube ends.

        Raises:
            ToolstackError: it is gone already.
        """
        super().destroy(domain)
        self.qmemman.domains_changed()

    def memory_nodes(self, config: GuestConfig) -> dict[str, str]:
        """memory/* as qubesd makes them; meminfo and swapinfo belong to the guest."""
        nodes = super().memory_nodes(config) | {"memory/meminfo": "", "memory/swapinfo": ""}
        if self.hotplug_max_kib is not None:
            nodes["memory/hotplug-max"] = str(self.hotplug_max_kib)
        return nodes

    def mem_set(self, domain: SimulatedDomain, memory_kib: int) -> None:
        """As qmemman does: limit, target 16 MiB below, and perhaps static-max.

        Raises:
            ToolstackError: the domain is gone.
        """
        self._must_be_alive(domain)
        self.qmemman.refresh()
        self.qmemman.give(domain.domid, memory_kib)

    def make_room(self, memory_kib: int) -> None:
        """Free that much for a VM that is to start; takes its time.

        Raises:
            ToolstackError: the guests prefer to keep it, or do not give it in time.
        """
        room = self.qmemman.make_room(memory_kib)
        while room.granted is None and self.clock.step():
            pass
        room.leave()
        if not room.granted:
            raise ToolstackError(f"not enough memory for {memory_kib // MIB_KIB} MiB")


def report_use(domain: SimulatedDomain) -> None:
    """meminfo-writer: the guest says what it uses, as it changes.

    Ten looks a second; by more than 30,000 KiB, or upwards by half of that where it is above ten
    thirteenths of current_kb (qubes-linux-utils 25063069abf5, qmemman/meminfo-writer.c).
    """
    last_kib: list[int] = []

    def report() -> None:
        reading = domain.memory.reading()
        page_cache_kib = reading.cached_kib - reading.reclaimable_kib
        swapped_kib = reading.swap_total_kib - reading.swap_free_kib
        used_kib = domain.current_kib - reading.free_kib - page_cache_kib + swapped_kib
        if domain.alive and used_kib >= 0 and (not last_kib or _is_news(last_kib[0], used_kib)):
            last_kib[:] = [used_kib]
            domain.store.guest_write("memory/meminfo", str(used_kib))

    def _is_news(before_kib: int, now_kib: int) -> bool:
        moved_kib = abs(now_kib - before_kib)
        is_full = now_kib > before_kib and now_kib // 10 > (domain.current_kib + 12) // 13
        return moved_kib > (REPORTED_CHANGE_KIB // 2 if is_full else REPORTED_CHANGE_KIB)

    domain.clock.every(REPORTS_EACH_S, report)
