# SPDX-License-Identifier: GPL-2.0-or-later
"""libxl: builds a domain, sets its memory, moves its maximum, as `xl` does.

The other toolstacks are in their own modules and build on the same `create`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from agent.core.facts.numbers import is_digits
from agent.core.facts.snapshot import Toolstack
from agent.core.facts.units import MIB_KIB, PAGE_KIB
from sim_backend.clock import Clock
from sim_backend.guest.config import GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.guest.store import DomainStore
from sim_backend.host.libxl_releases import XEN_4_17, LibxlRelease
from sim_backend.hypervisor import Host

MAXMEM_CONSTANT_KIB: Final = MIB_KIB  # LIBXL_MAXMEM_CONSTANT
HVM_FUDGE_KIB: Final = MIB_KIB  # libxl__get_targetmem_fudge
LIBXL_GUEST_WRITABLE: Final = (
    "data",
    "drivers",
    "feature",
    "attr",
    "error",
    "control/shutdown",
    "control/feature-poweroff",
    "control/feature-reboot",
    "control/feature-suspend",
    "control/sysrq",
    "device/suspend/event-channel",
)
HVM_GUEST_WRITABLE: Final = ("control/feature-s3", "control/feature-s4")
_EMPTY_NODES: Final = ("attr", "control/shutdown", "control/sysrq", "drivers", "error", "feature")


class ToolstackError(Exception):
    """The toolstack refused; the text is what it would print."""


class Libxl:
    """`xl` on one host."""

    name: Toolstack = "libxl"
    guest_writable: tuple[str, ...] = LIBXL_GUEST_WRITABLE
    release: LibxlRelease = XEN_4_17

    def __init__(self, clock: Clock, host: Host) -> None:
        self.clock = clock
        self.host = host
        self.domains: dict[int, SimulatedDomain] = {}

    def create(
        self,
        config: GuestConfig,
        *,
        domid: int | None = None,
        scenario: str = "unnamed",
        settle: bool = True,
    ) -> SimulatedDomain:
        """Build and boot a guest; with `settle`, wait until its balloon is where it belongs.

        Raises:
            ValueError: the host does not have the memory.
        """
        number = max(self.domains, default=0) + 1 if domid is None else domid
        if config.is_dom0:
            number = 0
        built = self._as_built(config)
        owned = self.guest_writable
        if config.domain_type == "hvm":
            owned += HVM_GUEST_WRITABLE
        store = DomainStore(self.nodes(built, number), owned)
        domain = SimulatedDomain(
            self.clock,
            self.host,
            built,
            store,
            domid=number,
            toolstack=self.name,
            scenario=scenario,
        )
        self.domains[number] = domain
        if settle:
            domain.settle()
        self._created(domain, config)
        return domain

    def _as_built(self, config: GuestConfig) -> GuestConfig:
        """What this toolstack makes of a configuration."""
        return config

    def _created(self, domain: SimulatedDomain, config: GuestConfig) -> None:
        """A guest of that configuration runs; for a toolstack that has something left to do."""

    def boot_target_kib(self, config: GuestConfig) -> int:
        """memory/target as written at build: memory less video memory, and 1 MiB for HVM."""
        fudge_kib = config.videoram_kib
        if fudge_kib < 0 and not self.release.subtracts_unset_videoram:
            fudge_kib = 0
        if config.domain_type == "hvm" and config.maxmem_kib > config.memory_kib:
            fudge_kib += HVM_FUDGE_KIB
        return config.memory_kib - fudge_kib

    def nodes(self, config: GuestConfig, domid: int) -> dict[str, str]:
        """The guest's part of xenstore at build."""
        nodes = {
            "name": "Domain-0" if config.is_dom0 else config.name,
            "domid": str(domid),
            "control/feature-poweroff": "1",
            "control/feature-reboot": "1",
            "control/feature-suspend": "1",
        }
        if config.is_dom0:
            return nodes
        return (
            nodes
            | dict.fromkeys(_EMPTY_NODES, "")
            | {
                "vm": f"/vm/{config.uuid}",
                "cpu/0/availability": "online",
                "control/platform-feature-multiprocessor-suspend": "1",
                "control/platform-feature-xs_reset_watches": "1",
                "data": "",
            }
            | self.memory_nodes(config)
        )

    def memory_nodes(self, config: GuestConfig) -> dict[str, str]:
        return {
            "memory/static-max": str(config.maxmem_kib),
            "memory/target": str(self.boot_target_kib(config)),
            "memory/videoram": str(config.videoram_kib),
        }

    def mem_set(self, domain: SimulatedDomain, memory_kib: int) -> None:
        """`xl mem-set`: new limit in the hypervisor, new memory/target; does not wait.

        What an HVM or PVH guest still has on demand only is backed up to the new size.

        Raises:
            ToolstackError: less its video memory it is above static-max or below zero, or
                memory/target is no number any more, or the host cannot back what is on demand.
        """
        self._must_be_alive(domain)
        static_max_kib = self._number(domain, "memory/static-max")
        self._number(domain, "memory/target")
        videoram_kib = _atoi(domain.store.read("memory/videoram"))
        # new_target_memkb is unsigned: below zero it is more than any maximum.
        if not 0 <= memory_kib - videoram_kib <= static_max_kib:
            raise ToolstackError(
                "memory_dynamic_max must be less than or equal to memory_static_max"
            )
        limit_kib = memory_kib + MAXMEM_CONSTANT_KIB
        domain.reservation.max_pages = limit_kib // PAGE_KIB
        on_demand_kib = memory_kib - videoram_kib + MAXMEM_CONSTANT_KIB
        if not domain.reservation.back(on_demand_kib // PAGE_KIB):
            raise ToolstackError("xc_domain_set_pod_target failed: the host has no memory")
        domain.tell("host-target", f"xl mem-set {memory_kib // MIB_KIB}")
        domain.store.write("memory/target", str(memory_kib - videoram_kib))

    def mem_max(self, domain: SimulatedDomain, maxmem_kib: int) -> None:
        """`xl mem-max`: new limit, and static-max since Xen 4.17; the guest is not told.

        Raises:
            ToolstackError: below the target.
        """
        self._must_be_alive(domain)
        if maxmem_kib < self._number(domain, "memory/target"):
            raise ToolstackError("memory_static_max must be greater than or equal to target")
        domain.reservation.max_pages = (maxmem_kib + MAXMEM_CONSTANT_KIB) // PAGE_KIB
        domain.tell("host-limit", f"xl mem-max {maxmem_kib // MIB_KIB}")
        if self.release.mem_max_writes_static_max:
            domain.store.write("memory/static-max", str(maxmem_kib))

    def migrate(self, domain: SimulatedDomain, there: Host) -> None:
        """Save here, resume on `there` with a new domid; memory and limit stay.

        Raises:
            ToolstackError: the domain is gone, or there is no room; then it goes on here.
        """
        self._must_be_alive(domain)
        pages = domain.reservation.pages
        if pages > there.free_pages + (pages if there is domain.host else 0):
            raise ToolstackError(f"the host has no {pages * PAGE_KIB} KiB free")
        self.domains.pop(domain.domid, None)
        number = domain.domid + 1
        while number in there.reservations or number in self.domains:
            number += 1
        domain.moved(there, number)
        self.domains[number] = domain

    def destroy(self, domain: SimulatedDomain) -> None:
        """`xl destroy`.

        Raises:
            ToolstackError: it is gone already.
        """
        if domain.domid not in domain.host.reservations:
            raise ToolstackError(f"there is no domain {domain.domid}")
        self.domains.pop(domain.domid, None)
        domain.die("destroyed by the toolstack")
        domain.host.destroy(domain.domid)

    def fill_dom0_keys(self, domain: SimulatedDomain) -> None:
        """What libxl writes for dom0 when it first needs it: the present memory, and the limit."""
        domain.store.write("memory/static-max", str(domain.reservation.max_pages * PAGE_KIB))
        domain.store.write("memory/target", str(domain.reservation.pages * PAGE_KIB))

    @staticmethod
    def _must_be_alive(domain: SimulatedDomain) -> None:
        if not domain.alive:
            raise ToolstackError(f"there is no domain {domain.domid}")

    @staticmethod
    def _number(domain: SimulatedDomain, path: str) -> int:
        text = domain.store.read(path)
        if text is None or not is_digits(text):
            raise ToolstackError(f"cannot get {path} of domain {domain.domid}")
        return int(text)


def _atoi(text: str | None) -> int:
    """As libxl reads memory/videoram: what is not a number is 0."""
    digits = re.match(r"\s*([+-]?[0-9]+)", text or "", re.ASCII)
    return int(digits[1]) if digits else 0


def simple_guest(
    config: GuestConfig | None = None, **changes: object
) -> tuple[Libxl, SimulatedDomain]:
    """A settled guest under libxl on a host of its own; `changes` replace config fields."""
    toolstack = Libxl(Clock(), Host())
    guest = replace(config or GuestConfig(), **changes)  # type: ignore[arg-type]
    return toolstack, toolstack.create(guest)
