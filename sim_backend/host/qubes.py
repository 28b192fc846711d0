# SPDX-License-Identifier: GPL-2.0-or-later
"""Qubes: qmemman balances a host whenever a guest says what it uses.

A guest takes part once it has written memory/meminfo (KiB used).  qmemman writes memory/target
16 MiB below what it gives, and with memory hotplug moves static-max along, which is then no
maximum at all: memory/hotplug-max is (qubes/qmemman/systemstate.py).  How it divides memory is in
`qmemman`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.core.facts.snapshot import Toolstack
from agent.core.facts.units import MIB_KIB, PAGE_KIB
from sim_backend.clock import Clock
from sim_backend.guest.config import GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.host.libxl import (
    LIBXL_GUEST_WRITABLE,
    MAXMEM_CONSTANT_KIB,
    Libxl,
    ToolstackError,
)
from sim_backend.host.qmemman import (
    KEPT_FREE_KIB,
    LEAST_FREE_KIB,
    Member,
    Request,
    balanced,
    is_worth_it,
    requests_to_free,
)
from sim_backend.hypervisor import Host

BELOW_GIVEN_KIB: Final = 16 * MIB_KIB
XEN_OVERHEAD: Final = 1.00781  # of what Xen calls free, qmemman counts so much less
BALLOON_DELAY_S: Final = 0.1
TRIES: Final = 5
NO_PROGRESS_AFTER_S: Final = 3.0
REPORTS_EACH_S: Final = 1.0  # meminfo-writer samples ten times as often
REPORTED_CHANGE_KIB: Final = 30 * 1000


class Qubes(Libxl):
    """One host under Qubes; `hotplug_max_kib` of a guest makes its static-max move."""

    name: Toolstack = "qubes"
    guest_writable: tuple[str, ...] = (*LIBXL_GUEST_WRITABLE, "memory/meminfo", "memory/swapinfo")
    hotplug_max_kib: int | None = None

    def __init__(self, clock: Clock, host: Host) -> None:
        super().__init__(clock, host)
        self._given_kib: dict[int, int] = {}
        self._no_progress: set[int] = set()
        self._pending: list[Request] = []
        self._before_kib: dict[int, int] = {}
        self._tries = 0
        self._again = False

    def _created(self, domain: SimulatedDomain, config: GuestConfig) -> None:  # noqa: ARG002
        """Listen to what the guest says it uses."""
        domain.store.watch("memory/meminfo", lambda _path: self.balance())

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
        self._given_kib[domain.domid] = memory_kib
        domain.reservation.max_pages = (memory_kib + MAXMEM_CONSTANT_KIB) // PAGE_KIB
        domain.tell("host-target", f"qmemman gives {memory_kib // MIB_KIB} MiB")
        domain.store.write("memory/target", str(memory_kib - BELOW_GIVEN_KIB))
        if domain.store.read("memory/hotplug-max") is not None:
            domain.store.write("memory/static-max", str(memory_kib))

    def preferred_kib(self, domain: SimulatedDomain) -> int | None:
        """What qmemman would like to give; None as long as the guest has not said what it uses."""
        member = self._member(domain)
        return None if member is None else member.preferred_kib

    def balance(self) -> None:
        """One round, after the one that is under way; donors first, who gets waits for them."""
        if self._pending:
            self._again = True
            return
        self._clear_marks()
        members = self._members()
        free_kib = self.free_kib()
        requests = balanced(free_kib - KEPT_FREE_KIB, members) if members else []
        if requests and is_worth_it(requests, members, free_kib):
            self._before_kib = {member.domid: member.actual_kib for member in members}
            self._pending, self._tries = requests, 0
            self._serve()

    def make_room(self, memory_kib: int) -> None:
        """Free that much for a VM that is to start; takes its time.

        Raises:
            ToolstackError: the guests prefer to keep it, or do not give it.
        """
        self._no_progress.clear()
        last_free_kib, since_s = self.free_kib(), self.clock.now_s
        while self.free_kib() < memory_kib + LEAST_FREE_KIB:
            missing_kib = memory_kib + KEPT_FREE_KIB - self.free_kib()
            self._memset_all(requests_to_free(missing_kib, self._members()))
            self.clock.run_until(self.clock.now_s + BALLOON_DELAY_S)
            if self.free_kib() > last_free_kib:
                last_free_kib, since_s = self.free_kib(), self.clock.now_s
            elif self.clock.now_s - since_s > NO_PROGRESS_AFTER_S:
                raise ToolstackError(f"not enough memory for {memory_kib // MIB_KIB} MiB")

    def free_kib(self) -> int:
        """What Xen has free and nobody was promised."""
        promised_kib = sum(
            max(0, self._given(domain) - domain.reservation.pages * PAGE_KIB)
            for domain in self._here()
        )
        return int(self.host.free_kib / XEN_OVERHEAD) - promised_kib

    def is_stuck(self, domain: SimulatedDomain) -> bool:
        """Whether it was asked down and did not move: it is left out for the time being."""
        return domain.domid in self._no_progress

    def _serve(self) -> None:
        """Carry out what can be; who gets memory waits until it is there, half a second at most."""
        while self._pending:
            domid, target_kib = self._pending[0]
            domain = self.domains.get(domid)
            if domain is None or not domain.alive:
                self._pending.pop(0)
                continue
            gain_kib = target_kib - self._actual_kib(domain)
            if self.free_kib() - gain_kib >= 0.9 * KEPT_FREE_KIB or gain_kib <= 0:
                self._pending.pop(0)
                self.mem_set(domain, _pages(target_kib))
                continue
            if self._tries < TRIES:
                self._tries += 1
                self.clock.after(BALLOON_DELAY_S, self._serve)
                return
            self._mark_who_kept_it()
            self._pending = []
            left_kib = self.free_kib() + self._actual_kib(domain) - KEPT_FREE_KIB
            self.mem_set(domain, _pages(max(left_kib, self._actual_kib(domain))))
        if self._again:
            self._again = False
            self.balance()

    def _mark_who_kept_it(self) -> None:
        """Donors that did not move at all are left out of the next rounds."""
        for domain in self._here():
            held_kib = self._actual_kib(domain)
            asked_down = held_kib > self._given(domain) + KEPT_FREE_KIB / 4
            if asked_down and self._before_kib.get(domain.domid) == held_kib:
                domain.tell("no-progress", "qmemman: the guest did not react")
                self._no_progress.add(domain.domid)

    def _clear_marks(self) -> None:
        """Take those back who obeyed in the end, or who have less than they prefer."""
        for domid in tuple(self._no_progress):
            domain = self.domains.get(domid)
            member = None if domain is None else self._member(domain)
            if domain is not None and member is not None:
                obeyed = member.actual_kib <= self._given(domain) + KEPT_FREE_KIB / 2
                if not obeyed and member.needed_kib <= 0:
                    continue
            self._no_progress.discard(domid)

    def _memset_all(self, requests: Sequence[Request]) -> None:
        for domid, target_kib in requests:
            self.mem_set(self.domains[domid], _pages(target_kib))

    def _here(self) -> list[SimulatedDomain]:
        return [d for d in self.domains.values() if d.alive and d.host is self.host]

    def _members(self) -> list[Member]:
        found = [self._member(d) for d in self._here() if d.domid not in self._no_progress]
        return [member for member in found if member is not None]

    def _member(self, domain: SimulatedDomain) -> Member | None:
        text = domain.store.read("memory/meminfo") or ""
        if not (text.isascii() and text.isdigit()):
            return None
        most = domain.store.read("memory/hotplug-max") or domain.store.read("memory/static-max")
        most_kib = self.host.total_pages * PAGE_KIB
        if most and most.isascii() and most.isdigit():
            most_kib = int(most)
        given_kib = self._given(domain)
        return Member(domain.domid, int(text), self._actual_kib(domain), most_kib, given_kib)

    def _actual_kib(self, domain: SimulatedDomain) -> int:
        """What it has, or may have at any time."""
        return max(domain.reservation.pages * PAGE_KIB, self._given(domain))

    def _given(self, domain: SimulatedDomain) -> int:
        """What it was last given; before that, the target it was built with."""
        return self._given_kib.setdefault(domain.domid, self.boot_target_kib(domain.config))


def report_use(domain: SimulatedDomain) -> None:
    """meminfo-writer: the guest says what it uses, when that has changed by 30 MB."""
    last_kib: list[int] = []

    def report() -> None:
        memory = domain.memory
        swapped_kib = memory.swapped_kib
        used_kib = memory.managed_kib - memory.free_kib - memory.cached_kib + swapped_kib
        if domain.alive and (not last_kib or abs(used_kib - last_kib[0]) > REPORTED_CHANGE_KIB):
            last_kib[:] = [used_kib]
            domain.store.guest_write("memory/meminfo", str(used_kib))

    domain.clock.every(REPORTS_EACH_S, report)


def _pages(kib: int) -> int:
    return kib // PAGE_KIB * PAGE_KIB
