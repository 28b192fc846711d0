# SPDX-License-Identifier: GPL-2.0-or-later
"""XAPI: xenopsd writes the keys, squeezed balances and judges.

squeezed (ocaml/squeezed, squeeze.ml and squeeze_xen.ml) deals with domains that have
control/feature-balloon, whatever its value.  It learns memory-offset once, sets the hypervisor's
limit to target + offset (and 1 MiB for HVM and PVH), looks for an imbalance each 10 s and then each
second until all is in its place, and calls a domain *uncooperative* when it has been off its target
for more than 20 s.  How it divides memory is in `squeezed`.
"""

from __future__ import annotations

from typing import Final

from agent.core.facts.snapshot import Toolstack
from agent.core.facts.units import MIB_KIB, PAGE_KIB
from sim_backend.clock import Clock
from sim_backend.guest.config import GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.host.libxl import Libxl, ToolstackError
from sim_backend.host.squeezed import KEPT_FREE_KIB, STUCK_AFTER_S, Iteration, Squeezable, Squeezer
from sim_backend.hypervisor import Host

UNCOOPERATIVE_AFTER_S: Final = 20.0
LOOK_EACH_S: Final = 1.0
BALANCE_EACH_S: Final = 10.0  # balance-check-interval
GIVE_UP_AFTER_S: Final = 300.0
XAPI_GUEST_WRITABLE: Final = (
    "control", "data", "attr", "feature", "drivers", "error", "messages", "vm-data",
)  # fmt: skip
_BOOTED_KEYS: Final = ("control/feature-balloon", "data/updated")


class _Judgement:
    """What squeezed remembers of one domain."""

    def __init__(self, actual_kib: int, now_s: float) -> None:
        self.offset_kib: int | None = None
        self.limit_kib: int | None = None
        self.off_target_since_s: float | None = None
        self.last_kib = actual_kib
        self.progress_s = now_s


class Xapi(Libxl):
    """One host under XAPI; `limit_error_kib` makes squeezed's limit that much too small."""

    name: Toolstack = "xapi"
    guest_writable: tuple[str, ...] = XAPI_GUEST_WRITABLE

    def __init__(self, clock: Clock, host: Host) -> None:
        super().__init__(clock, host)
        self.limit_error_kib = 0
        self._judged: dict[int, _Judgement] = {}
        self._squeezer: Squeezer | None = None
        clock.every(LOOK_EACH_S, self._look)
        clock.every(BALANCE_EACH_S, self._start_balancing)

    def memory_nodes(self, config: GuestConfig) -> dict[str, str]:
        """memory/* as xenopsd writes it; the dynamic range is memory alone until it is set."""
        return {
            "memory/static-max": str(config.maxmem_kib),
            "memory/target": str(self.boot_target_kib(config)),
            "memory/initial-target": str(config.memory_kib),
            "memory/dynamic-min": str(config.memory_kib),
            "memory/dynamic-max": str(config.memory_kib),
            "unique-domain-id": config.uuid,
        }

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
        self._start_balancing()

    def mem_set(self, domain: SimulatedDomain, memory_kib: int) -> None:
        """`xe vm-memory-target-set`: the range becomes one size; the limit, then memory/target.

        Raises:
            ToolstackError: above static-max, or the domain is gone.
        """
        self._must_be_alive(domain)
        if not 0 < memory_kib <= self._number(domain, "memory/static-max"):
            raise ToolstackError("MEMORY_CONSTRAINT_VIOLATION")
        domain.store.write("memory/dynamic-min", str(memory_kib))
        domain.store.write("memory/dynamic-max", str(memory_kib))
        judgement = self._judgement(domain)
        judgement.off_target_since_s = None
        judgement.progress_s = self.clock.now_s
        self._set_target(domain, memory_kib)

    def set_limit(self, domain: SimulatedDomain, target_kib: int | None = None) -> None:
        """The limit is target + memory-offset, and 1 MiB more for HVM and PVH."""
        judgement = self._judgement(domain)
        if target_kib is not None:
            judgement.limit_kib = target_kib
        extra_kib = 0 if domain.config.is_pv else MIB_KIB
        limit_kib = (judgement.limit_kib or 0) + (judgement.offset_kib or 0) + extra_kib
        domain.reservation.max_pages = max(0, limit_kib - self.limit_error_kib) // PAGE_KIB

    def is_active(self, domain: SimulatedDomain) -> bool:
        """Whether the domain made progress within the last 5 s, or needs none."""
        judgement = self._judgement(domain)
        if judgement.off_target_since_s is None:
            return True
        return self.clock.now_s - judgement.progress_s < STUCK_AFTER_S

    def soft_reset(self, domain: SimulatedDomain, reserved_kib: int) -> None:
        """The guest crashes into its crash kernel; xenopsd first takes away what would move it.

        That is memory/target and control/feature-balloon (xc/domain.ml:2246-2251).

        Raises:
            ToolstackError: the domain is gone.
            ValueError: no kernel can run in so little, or the guest does not have so much.
        """
        self._must_be_alive(domain)
        for key in ("memory/target", "control/feature-balloon"):
            domain.store.remove(key)
        domain.crash(reserved_kib)

    def make_room(self, memory_kib: int) -> None:
        """Free that much beside what the host keeps, as before a VM starts; takes its time.

        Raises:
            ToolstackError: those who can balloon have no more to give, do not give it, or are
                still at it after five minutes.
        """
        wanted_kib = memory_kib + KEPT_FREE_KIB
        self._squeezer = None
        squeezer, until_s = Squeezer(), self.clock.now_s + GIVE_UP_AFTER_S
        while (seen := self._squeeze(squeezer, wanted_kib, at_most=False)).verdict == "adjust":
            if self.clock.now_s >= until_s:
                raise ToolstackError("gave up waiting for memory")
            self.clock.run_until(self.clock.now_s + LOOK_EACH_S)
        if seen.verdict == "failed":
            refused = ", ".join(str(domid) for domid in seen.stuck)
            raise ToolstackError(
                f"domains refused to cooperate: {refused}"
                if seen.stuck
                else "cannot free this much memory"
            )

    def _start_balancing(self) -> None:
        if self._squeezer is None:
            self._squeezer = Squeezer()

    def _look(self) -> None:
        for domain in tuple(self.domains.values()):
            if domain.alive and self._has_booted(domain):
                self._judge(domain)
        if self._squeezer is not None:
            seen = self._squeeze(self._squeezer, KEPT_FREE_KIB, at_most=True)
            if seen.verdict != "adjust":
                self._squeezer = None

    def _squeeze(self, squeezer: Squeezer, wanted_kib: int, *, at_most: bool) -> Iteration:
        """One round of squeezed: read the host, set what is to be set."""
        seen = squeezer.iterate(
            [view for domain in self._managed() if (view := self._view(domain)) is not None],
            self.host.free_kib,
            wanted_kib,
            self.clock.now_s,
            at_most=at_most,
        )
        for domid, limit_kib in seen.limits.items():
            self._set_target(self.domains[domid], limit_kib)
        return seen

    def _managed(self) -> list[SimulatedDomain]:
        """dom0 is left alone unless manage-domain-zero says otherwise."""
        found = self.domains.values()
        return [d for d in found if d.alive and d.host is self.host and not d.config.is_dom0]

    def _view(self, domain: SimulatedDomain) -> Squeezable | None:
        """The domain as squeezed reads it; None for one that has not said that it is up."""
        target_kib = _kib(domain, "memory/target")
        if target_kib is None or not self._has_booted(domain):
            return None
        actual_kib = domain.reservation.pages * PAGE_KIB
        low_kib, high_kib = _kib(domain, "memory/dynamic-min"), _kib(domain, "memory/dynamic-max")
        return Squeezable(
            domain.domid,
            can_balloon=domain.store.read("control/feature-balloon") is not None,
            dynamic_min_kib=target_kib if low_kib is None else low_kib,
            target_kib=target_kib,
            dynamic_max_kib=target_kib if high_kib is None else high_kib,
            actual_kib=actual_kib - (self._judgement(domain).offset_kib or 0),
        )

    def _set_target(self, domain: SimulatedDomain, target_kib: int) -> None:
        """execute_action: the limit, and the target of those that can balloon, if it is new."""
        self.set_limit(domain, target_kib)
        can_balloon = domain.store.read("control/feature-balloon") is not None
        if can_balloon and domain.store.read("memory/target") != str(target_kib):
            domain.tell("host-target", f"squeezed: target {target_kib // MIB_KIB} MiB")
            domain.store.write("memory/target", str(target_kib))

    def _judgement(self, domain: SimulatedDomain) -> _Judgement:
        actual_kib = domain.reservation.pages * PAGE_KIB
        judgement = _Judgement(actual_kib, self.clock.now_s)
        return self._judged.setdefault(domain.domid, judgement)

    @staticmethod
    def _has_booted(domain: SimulatedDomain) -> bool:
        return any(domain.store.read(key) is not None for key in _BOOTED_KEYS)

    def _judge(self, domain: SimulatedDomain) -> None:
        """Learn the offset; note whether the domain is where it was asked to be."""
        judgement = self._judgement(domain)
        actual_kib = domain.reservation.pages * PAGE_KIB
        target_kib = _kib(domain, "memory/target")
        if target_kib is None:
            return
        if judgement.offset_kib is None:
            judgement.offset_kib = actual_kib - target_kib
            domain.store.write("memory/memory-offset", str(judgement.offset_kib))
        if judgement.limit_kib is None:
            judgement.limit_kib = target_kib
        view = self._view(domain)
        assert view is not None
        if not view.can_balloon or view.has_hit_target:
            judgement.off_target_since_s = None
            judgement.last_kib = actual_kib
            if domain.store.read("memory/uncooperative") is not None:
                domain.tell("cooperative", "squeezed took back memory/uncooperative")
                domain.store.remove("memory/uncooperative")
            return
        self._off_target(domain, judgement, actual_kib)

    def _off_target(self, domain: SimulatedDomain, judgement: _Judgement, actual_kib: int) -> None:
        now_s = self.clock.now_s
        if judgement.off_target_since_s is None:
            judgement.off_target_since_s = now_s
        if actual_kib != judgement.last_kib:
            judgement.last_kib = actual_kib
            judgement.progress_s = now_s
        overdue = now_s - judgement.off_target_since_s > UNCOOPERATIVE_AFTER_S
        if overdue and domain.store.read("memory/uncooperative") is None:
            domain.tell("uncooperative", "squeezed marked the guest uncooperative")
            domain.store.write("memory/uncooperative", "")


def _kib(domain: SimulatedDomain, path: str) -> int | None:
    text = domain.store.read(path)
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
