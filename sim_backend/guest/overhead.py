# SPDX-License-Identifier: GPL-2.0-or-later
"""What a simulated guest's kernel keeps for itself: the agent's own model, for a configuration."""

from __future__ import annotations

from agent.core.boot.cost import BootShape, boot_cost, kernel_cost, total_kib
from agent.core.facts.memory_map import MemoryMap
from sim_backend.guest.config import GuestConfig


def overhead_kib(config: GuestConfig, firmware: MemoryMap, *, unpopulated_kib: int = 0) -> int:
    """current_kb less MemTotal, for the life of the guest.

    `unpopulated_kib` is RAM of the map that a PVH dom0 was not given.
    """
    shape = BootShape(
        domain_type=config.domain_type,
        kernel=kernel_cost(config.image.release),
        firmware=firmware,
        populated_kib=config.memory_kib if config.is_pv else firmware.ram_kib - unpopulated_kib,
        bits=config.bits,
        pci_possible=config.e820_host,
    )
    return total_kib(boot_cost(shape)) + config.boot_variation_kib
