# SPDX-License-Identifier: GPL-2.0-or-later
"""Toolstacks of the past, and a careless one."""

from __future__ import annotations

from dataclasses import replace

from agent.core.facts.snapshot import Toolstack
from agent.core.facts.units import MIB_KIB, PAGE_KIB
from sim_backend.guest.config import GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.host.libxl import MAXMEM_CONSTANT_KIB, Libxl


class Xend(Libxl):
    """xend: static-max has another name (memory/memory_static_max), no limit is checked.

    The kernel looks for that name since 4.17 (3aa6c19d2f38).
    """

    name: Toolstack = "xend"

    def memory_nodes(self, config: GuestConfig) -> dict[str, str]:
        return {
            "memory/memory_static_max": str(config.maxmem_kib),
            "memory/target": str(config.memory_kib),
        }

    def mem_set(self, domain: SimulatedDomain, memory_kib: int) -> None:
        """`xm mem-set`: the limit and the target, as asked."""
        domain.reservation.max_pages = (memory_kib + MAXMEM_CONSTANT_KIB) // PAGE_KIB
        domain.tell("host-target", f"xm mem-set {memory_kib // MIB_KIB}")
        domain.store.write("memory/target", str(memory_kib))


class IgnoresMaxmem(Libxl):
    """A toolstack that writes maxmem into xenstore and forgets it when it builds the map."""

    def _as_built(self, config: GuestConfig) -> GuestConfig:
        """A map of its memory only."""
        return replace(config, maxmem_kib=config.memory_kib)

    def _created(self, domain: SimulatedDomain, config: GuestConfig) -> None:
        """Let static-max say maxmem."""
        domain.store.write("memory/static-max", str(config.maxmem_kib))
