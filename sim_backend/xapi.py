# SPDX-License-Identifier: GPL-2.0-or-later
"""XAPI: xenopsd writes the keys, squeezed balances and judges.

squeezed (ocaml/squeezed, squeeze.ml and squeeze_xen.ml) deals with domains that have
control/feature-balloon, whatever its value.  It learns memory-offset once, sets the hypervisor's
limit to target + offset (and 1 MiB for HVM and PVH), calls a domain inactive after 5 s without
progress and *uncooperative* when it has been off its target for more than 20 s.
"""

from typing import Final

from agent.core.snapshot import Toolstack
from agent.core.units import MIB_KIB, PAGE_KIB
from sim_backend.clock import Clock
from sim_backend.domain import SimulatedDomain
from sim_backend.guest_config import GuestConfig
from sim_backend.host import Host
from sim_backend.toolstacks import Libxl

INACCURACY_KIB: Final = 4
STUCK_AFTER_S: Final = 5.0
UNCOOPERATIVE_AFTER_S: Final = 20.0
LOOK_EACH_S: Final = 1.0
XAPI_GUEST_WRITABLE: Final = (
    "control", "data", "attr", "feature", "drivers", "error", "messages", "vm-data",
)  # fmt: skip


class _Judgement:
    """What squeezed remembers of one domain."""

    def __init__(self, actual_kib: int, now_s: float) -> None:
        self.offset_kib: int | None = None
        self.target_kib: int | None = None
        self.off_target_since_s: float | None = None
        self.best_kib = actual_kib
        self.progress_s = now_s
        self.limit_error_kib = 0


class Xapi(Libxl):
    """One host under XAPI; `limit_error_kib` makes squeezed's limit that much too small."""

    name: Toolstack = "xapi"
    guest_writable: tuple[str, ...] = XAPI_GUEST_WRITABLE

    def __init__(self, clock: Clock, host: Host) -> None:
        super().__init__(clock, host)
        self.limit_error_kib = 0
        self._judged: dict[int, _Judgement] = {}
        clock.every(LOOK_EACH_S, self._look)

    def memory_nodes(self, config: GuestConfig) -> dict[str, str]:
        """memory/* as xenopsd writes it; the dynamic range is memory to maxmem."""
        return {
            "memory/static-max": str(config.maxmem_kib),
            "memory/target": str(self.boot_target_kib(config)),
            "memory/initial-target": str(config.memory_kib),
            "memory/dynamic-min": str(config.memory_kib),
            "memory/dynamic-max": str(config.maxmem_kib),
            "unique-domain-id": config.uuid,
        }

    def set_dynamic_range(self, domain: SimulatedDomain, low_kib: int, high_kib: int) -> None:
        """VM.set_memory_dynamic_range."""
        domain.store.write("memory/dynamic-min", str(low_kib))
        domain.store.write("memory/dynamic-max", str(high_kib))

    def mem_set(self, domain: SimulatedDomain, memory_kib: int) -> None:
        """The domain gets a target from squeezed: the limit first, then memory/target."""
        judgement = self._judgement(domain)
        judgement.target_kib = memory_kib
        judgement.off_target_since_s = None
        judgement.progress_s = self.clock.now_s
        self.set_limit(domain)
        domain.tell("host-target", f"squeezed: target {memory_kib // MIB_KIB} MiB")
        domain.store.write("memory/target", str(memory_kib))

    def set_limit(self, domain: SimulatedDomain) -> None:
        """The limit is target + memory-offset, and 1 MiB more for HVM and PVH."""
        judgement = self._judgement(domain)
        extra_kib = 0 if domain.config.is_pv else MIB_KIB
        limit_kib = (judgement.target_kib or 0) + (judgement.offset_kib or 0) + extra_kib
        domain.reservation.max_pages = (limit_kib - self.limit_error_kib) // PAGE_KIB

    def is_active(self, domain: SimulatedDomain) -> bool:
        """Whether the domain made progress within the last 5 s, or needs none."""
        judgement = self._judgement(domain)
        if judgement.off_target_since_s is None:
            return True
        return self.clock.now_s - judgement.progress_s < STUCK_AFTER_S

    def _judgement(self, domain: SimulatedDomain) -> _Judgement:
        actual_kib = domain.reservation.pages * PAGE_KIB
        judgement = _Judgement(actual_kib, self.clock.now_s)
        return self._judged.setdefault(domain.domid, judgement)

    def _look(self) -> None:
        for domain in tuple(self.domains.values()):
            if domain.alive and domain.store.read("control/feature-balloon") is not None:
                self._judge(domain)

    def _judge(self, domain: SimulatedDomain) -> None:
        judgement = self._judgement(domain)
        actual_kib = domain.reservation.pages * PAGE_KIB
        target_text = domain.store.read("memory/target")
        if target_text is None or not target_text.isdigit():
            return
        target_kib = int(target_text)
        if judgement.offset_kib is None:
            judgement.offset_kib = actual_kib - target_kib
            domain.store.write("memory/memory-offset", str(judgement.offset_kib))
        if judgement.target_kib is None:
            judgement.target_kib = target_kib
        away_kib = abs(actual_kib - judgement.offset_kib - target_kib)
        if away_kib <= INACCURACY_KIB:
            judgement.off_target_since_s = None
            judgement.best_kib = actual_kib
            if domain.store.read("memory/uncooperative") is not None:
                domain.tell("cooperative", "squeezed took back memory/uncooperative")
                domain.store.remove("memory/uncooperative")
            return
        self._off_target(domain, judgement, actual_kib)

    def _off_target(self, domain: SimulatedDomain, judgement: _Judgement, actual_kib: int) -> None:
        now_s = self.clock.now_s
        if judgement.off_target_since_s is None:
            judgement.off_target_since_s = now_s
        if actual_kib != judgement.best_kib:
            judgement.best_kib = actual_kib
            judgement.progress_s = now_s
        overdue = now_s - judgement.off_target_since_s > UNCOOPERATIVE_AFTER_S
        if overdue and domain.store.read("memory/uncooperative") is None:
            domain.tell("uncooperative", "squeezed marked the guest uncooperative")
            domain.store.write("memory/uncooperative", "")
