# SPDX-License-Identifier: GPL-2.0-or-later
"""The hypervisor: who has how many pages, who may have how many, and how many are free.

A domain may never hold more than its `max_pages` (XEN_DOMCTL_max_mem), and all of them together
never more than the host has.  An HVM or PVH guest that starts with less than its map is backed on
demand (PoD): pages the guest believes in but Xen has not given are `on_demand_pages`, and giving
such a page to the balloon costs Xen nothing (xen/arch/x86/mm/p2m-pod.c).
"""

from __future__ import annotations

from agent.core.facts.units import GIB_KIB, MIB_KIB, PAGE_KIB


class OutOfPodMemoryError(Exception):
    """The guest touched more pages than Xen holds for it; Xen kills the domain."""


class Reservation:
    """What one domain has of the host."""

    __slots__ = ("_host", "domid", "max_pages", "on_demand_pages", "pages")

    def __init__(self, host: Host, domid: int, max_pages: int, on_demand_pages: int) -> None:
        self._host = host
        self.domid = domid
        self.pages = 0
        self.max_pages = max_pages
        self.on_demand_pages = on_demand_pages

    def populate(self, pages: int, unit_pages: int = 1) -> int:
        """Ask for pages; Xen gives as many whole units as limit and host allow, perhaps none."""
        granted = max(0, min(pages, self.max_pages - self.pages, self._host.free_pages))
        granted -= granted % unit_pages
        self.pages += granted
        self._host.free_pages -= granted
        return granted

    def back(self, pages: int) -> bool:
        """The toolstack's new target: back on-demand pages until Xen holds so many.

        Never fewer than before, and none beyond what is on demand; the balloon does the rest
        (XENMEM_set_pod_target; p2m_pod_set_mem_target).  Whether the host had them.
        """
        lacking = max(0, min(self.on_demand_pages, pages - self.pages))
        backed = self.populate(lacking)
        self.on_demand_pages -= backed
        return backed == lacking

    def release(self, pages: int) -> None:
        """Give pages back; what Xen never backed costs and yields nothing."""
        unbacked = min(pages, self.on_demand_pages)
        self.on_demand_pages -= unbacked
        backed = pages - unbacked
        if backed > self.pages:
            raise OutOfPodMemoryError(f"domain {self.domid} gives back more than it has")
        self.pages -= backed
        self._host.free_pages += backed

    def touch(self, pages: int) -> None:
        """The guest uses that many pages of its map at once.

        Raises:
            OutOfPodMemoryError: Xen does not have them: the guest is gone.
        """
        if self.on_demand_pages and pages > self.pages:
            raise OutOfPodMemoryError(
                f"domain {self.domid} touched {pages} pages, Xen holds {self.pages} for it"
            )


class Host:
    """One physical machine; `free_kib` is what no domain has."""

    def __init__(self, memory_kib: int = 16 * GIB_KIB, xen_kib: int = 256 * MIB_KIB) -> None:
        self.total_pages = memory_kib // PAGE_KIB
        self.xen_pages = xen_kib // PAGE_KIB
        self.others_pages = 0  # what domains that are not simulated have taken
        self.free_pages = self.total_pages - self.xen_pages
        self.reservations: dict[int, Reservation] = {}

    @property
    def free_kib(self) -> int:
        return self.free_pages * PAGE_KIB

    def create(
        self, domid: int, pages: int, max_pages: int, on_demand_pages: int = 0
    ) -> Reservation:
        """A new domain with `pages` populated.

        Raises:
            ValueError: the domid is taken, or the host does not have the memory.
        """
        if domid in self.reservations:
            raise ValueError(f"domain {domid} exists already")
        if pages > self.free_pages:
            raise ValueError(f"the host has no {pages * PAGE_KIB} KiB free")
        reservation = Reservation(self, domid, pages, on_demand_pages)
        reservation.populate(pages)
        reservation.max_pages = max_pages
        self.reservations[domid] = reservation
        return reservation

    def destroy(self, domid: int) -> None:
        reservation = self.reservations.pop(domid)
        self.free_pages += reservation.pages
        reservation.pages = 0
        reservation.on_demand_pages = 0

    def take_for_another(self, kib: int) -> int:
        """Another domain starts and takes what it can get of `kib`; the KiB it got."""
        pages = max(0, min(kib // PAGE_KIB, self.free_pages))
        self.free_pages -= pages
        self.others_pages += pages
        return pages * PAGE_KIB

    def return_from_another(self, kib: int) -> None:
        """That other domain gives `kib` back, at most what was taken."""
        pages = min(kib // PAGE_KIB, self.others_pages)
        self.others_pages -= pages
        self.free_pages += pages

    def accounted_pages(self) -> int:
        """Every page of the host, counted at its holder; always `total_pages`."""
        held = sum(reservation.pages for reservation in self.reservations.values())
        return self.free_pages + self.xen_pages + self.others_pages + held
