# SPDX-License-Identifier: GPL-2.0-or-later
"""XAPI: xenopsd builds the domains and writes their keys, squeezed divides the memory.

xenopsd's part is read in xen-api e2ee48d6883e, ocaml/xenopsd/xc (domain.ml, xenops_server_xen.ml,
device.ml); squeezed's is in `squeezed_server` and `squeezed`.
"""

from __future__ import annotations

from typing import Final

from agent.core.facts.snapshot import Toolstack
from agent.core.facts.units import MIB_KIB
from sim_backend.clock import Clock
from sim_backend.guest.config import GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.host.libxl import Libxl, ToolstackError
from sim_backend.host.squeezed import V26_5, Release
from sim_backend.host.squeezed_server import INITIAL, LOOK_EACH_S, Request, Squeezed
from sim_backend.hypervisor import Host

XAPI_GUEST_WRITABLE: Final = (
    "attr", "control", "data", "device", "drivers", "error", "feature", "hvmloader", "messages",
    "rrd", "vm-data", "xenserver/attr",
)  # fmt: skip
_FEATURES: Final = tuple(
    f"control/feature-{name}" for name in ("suspend", "poweroff", "reboot", "vcpu-hotplug")
)
_BALLOONING_S: Final = 120.0
_RETRY_EACH_S: Final = 10.0
_RETRY_FOR_S: Final = 60.0
_PATIENCE_S: Final = 3600.0


class Xapi(Libxl):
    """One host under XAPI.

    `upstream_qemu`: its device model announces an HVM Linux guest by itself, as soon as the
    guest's platform-pci driver is there (device.ml, qmp_event_handle; since 2017).
    """

    name: Toolstack = "xapi"
    guest_writable: tuple[str, ...] = XAPI_GUEST_WRITABLE
    upstream_qemu = False

    def __init__(
        self, clock: Clock, host: Host, release: Release = V26_5, first_look_s: float = LOOK_EACH_S
    ) -> None:
        super().__init__(clock, host)
        self.squeezed = Squeezed(clock, host, self.domains, release, first_look_s)

    def boot_target_kib(self, config: GuestConfig) -> int:
        """Whole MiB of its memory; nothing is subtracted (domain.ml, build_post)."""
        return config.memory_kib // MIB_KIB * MIB_KIB

    def memory_nodes(self, config: GuestConfig) -> dict[str, str]:
        """memory/* as xenopsd writes it; the dynamic range is memory alone until it is set.

        What was reserved at squeezed for the build is transferred to the domain.
        """
        nodes = {
            "domain-type": config.domain_type,
            "unique-domain-id": config.uuid,
            "memory/static-max": str(config.maxmem_kib),
            "memory/target": str(self.boot_target_kib(config)),
            "memory/initial-target": str(config.memory_kib),
            "memory/dynamic-min": str(config.memory_kib),
            "memory/dynamic-max": str(config.memory_kib),
            INITIAL: str(config.memory_kib),
        }
        if self.upstream_qemu and config.domain_type == "hvm":
            nodes |= dict.fromkeys(("data/updated", *_FEATURES), "1")
        return nodes

    def set_dynamic_range(self, domain: SimulatedDomain, low_kib: int, high_kib: int) -> None:
        """VM.set_memory_dynamic_range; squeezed is told to balance at once.

        Raises:
            ToolstackError: not an order of sizes up to static-max, or the domain is gone.
        """
        self._must_be_alive(domain)
        if not 0 < low_kib <= high_kib <= self._number(domain, "memory/static-max"):
            raise ToolstackError("MEMORY_CONSTRAINT_VIOLATION")
        domain.store.write("memory/dynamic-min", str(low_kib))
        domain.store.write("memory/dynamic-max", str(high_kib))
        self.squeezed.balance()

    def mem_set(self, domain: SimulatedDomain, memory_kib: int) -> None:
        """`xe vm-memory-target-set`: the range becomes one size.

        Raises:
            ToolstackError: above static-max, or the domain is gone.
        """
        self.set_dynamic_range(domain, memory_kib, memory_kib)

    def soft_reset(self, domain: SimulatedDomain, reserved_kib: int) -> None:
        """The guest crashes into its crash kernel; xenopsd first takes away what would move it.

        And says that it has booted, so that nothing is reserved for it (domain.ml, soft_reset).

        Raises:
            ToolstackError: the domain is gone.
            ValueError: no kernel can run in so little, or the guest does not have so much.
        """
        self._must_be_alive(domain)
        for key in (*_FEATURES, "control/feature-balloon", "memory/target"):
            domain.store.remove(key)
        domain.store.write("data/updated", "1")
        domain.crash(reserved_kib)

    def restart_xenopsd(self) -> None:
        """It starts anew: a domain that has no target gets its dynamic-min for one."""
        for domain in tuple(self.domains.values()):
            if domain.alive and domain.store.read("memory/target") is None:
                least = domain.store.read("memory/dynamic-min")
                domain.store.write("memory/target", least or "0")

    def wait_ballooning(self, domain: SimulatedDomain) -> float:
        """Before a save or a migration: until the balloon is said to be at rest, or 120 s."""
        began_s = self.clock.now_s

        def at_rest() -> bool:
            return domain.store.read("control/balloon-active") in (None, "0")

        if not at_rest():
            self.clock.run_until(began_s + _BALLOONING_S, stop=at_rest)
        return self.clock.now_s - began_s

    def migrate(self, domain: SimulatedDomain, there: Host) -> None:
        """Once its balloon is at rest.

        Raises:
            ToolstackError: the domain is gone.
        """
        self.wait_ballooning(domain)
        super().migrate(domain, there)

    def make_room(self, memory_kib: int) -> None:
        """Reserve that much at squeezed and give it up again; takes its time.

        Raises:
            ToolstackError: those who can balloon have no more to give, or do not give it.
        """
        request = self._answered(self.squeezed.reserve(memory_kib))
        if request.error is not None:
            raise request.error
        self.squeezed.delete(request.reservation)

    def room_to_start(self, least_kib: int, most_kib: int) -> Request:
        """As before a VM starts: its range, again each 10 s for a minute after a refusal.

        Raises:
            ToolstackError: the last refusal.
        """
        until_s = self.clock.now_s + _RETRY_FOR_S
        while True:
            request = self._answered(self.squeezed.reserve_range(least_kib, most_kib))
            if request.error is None:
                return request
            if self.clock.now_s + _RETRY_EACH_S > until_s:
                raise request.error
            self.clock.run_until(self.clock.now_s + _RETRY_EACH_S)

    def _answered(self, request: Request) -> Request:
        """Squeezed itself knows no end as long as somebody moves; who asks gives up some time."""
        if not request.done:
            self.clock.run_until(self.clock.now_s + _PATIENCE_S, stop=lambda: request.done)
        if not request.done:
            request.error = ToolstackError("gave up waiting for memory")
        return request
