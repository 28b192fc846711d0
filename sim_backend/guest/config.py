# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest is built from: the lines of its configuration, and the kernel it boots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from agent.core.facts.memory_map import Region
from agent.core.facts.snapshot import DomainType, is_dom0, is_pv
from agent.core.facts.units import MIB_KIB, PAGE_KIB
from sim_backend.guest.kernel_images import DEBIAN_12, KernelImage
from sim_backend.guest.memory import Workload

MIB: Final = MIB_KIB
HUGE_PAGES: Final = 512  # balloon_order 9


@dataclass(frozen=True)
class GuestConfig:
    """One guest; sizes in KiB.

    released_pages: pages of the boot allocation that lie in a hole of the map (old kernels give
        them back to Xen, the hole is then in the map).
    boot_variation_kib: what this boot reserved more than the reference boot of its kernel;
        placement of the initrd and of per-CPU areas makes a few pages of difference.
    odd_regions: what the firmware's map says besides, in its own order and unchecked: ranges that
        overlap others.
    """

    domain_type: DomainType = "pv"
    memory_kib: int = 512 * MIB
    maxmem_kib: int = 1024 * MIB
    name: str = "guest"
    uuid: str = "00000000-0000-4000-8000-000000000001"
    image: KernelImage = DEBIAN_12
    videoram_kib: int = 0
    e820_host: bool = False
    released_pages: int = 0
    swap_kib: int = 0
    bits: int = 64
    odd_regions: tuple[Region, ...] = ()
    boot_variation_kib: int = 0
    cmdline: str = "console=hvc0 root=/dev/xvda1 ro"
    workload: Workload = field(default_factory=Workload)

    def __post_init__(self) -> None:
        if self.memory_kib > self.maxmem_kib:
            raise ValueError("memory is larger than maxmem")
        if self.memory_kib % PAGE_KIB or self.maxmem_kib % PAGE_KIB:
            raise ValueError("memory and maxmem must be whole pages")

    @property
    def is_pv(self) -> bool:
        return is_pv(self.domain_type)

    @property
    def is_dom0(self) -> bool:
        return is_dom0(self.domain_type)

    @property
    def balloon_unit_pages(self) -> int:
        """What the balloon moves at least; 2 MiB with balloon_hugepages, where there is that."""
        huge = self.image.regime.huge_units and "balloon_hugepages" in self.cmdline.split()
        return HUGE_PAGES if huge else 1

    @property
    def hypervisor_uuid(self) -> str:
        """The uuid as the guest sees it; dom0 has none."""
        return "00000000-0000-0000-0000-000000000000" if self.is_dom0 else self.uuid
