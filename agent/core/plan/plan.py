# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest will have, before it is booted: map, reach, cost, MemTotal, and whether it boots.

    plan(PlanRequest("pv", 256 * MIB, 4096 * MIB, KernelRelease(6, 1)))
        reachable 2816 MiB (eleven times memory), MemTotal 149.8 MiB, boots "yes"

All of it follows from what libxl builds (libxl_dom.c, libxl_x86.c), from what Linux makes of the
map (arch/x86/xen/setup.c, drivers/xen/balloon.c) and from `agent.core.boot.cost`.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from agent.core.boot.cost import (
    SECTION_PAGES,
    BootShape,
    CostPart,
    boot_cost,
    kernel_cost,
    total_kib,
)
from agent.core.boot.map import build_map, reachable_pages
from agent.core.boot.verdict import MEM_TOTAL_RISKY_KIB, Boots, boot_verdict
from agent.core.facts.kernel_regimes import REGIMES, regime_of
from agent.core.facts.memory_map import MemoryMap, memory_map
from agent.core.facts.units import MIB_KIB, PAGE_KIB
from agent.core.plan.request import PlanRequest, check_request

SECTION_KIB: Final = SECTION_PAGES * PAGE_KIB
HVM_FUDGE_KIB: Final = MIB_KIB  # libxl__get_targetmem_fudge
HOTPLUG_SINCE: Final = (3, 1)  # CONFIG_XEN_BALLOON_MEMORY_HOTPLUG

Holder = Literal["balloon", "unpopulated-alloc"]
TargetName = Literal["lowest", "boot", "map", "maxmem"]


class PlannedTarget(NamedTuple):
    """What the guest has at one target; KiB.

    `host_target_kib` is what `xl mem-set` says, `hot_added_kib` what the kernel must add to its map
    to get there (whole sections; their page structures come out of free memory).
    """

    name: TargetName
    host_target_kib: int
    current_kib: int
    mem_total_kib: int
    hot_added_kib: int = 0


class Plan(NamedTuple):
    """The guest on paper; KiB.

    Attributes:
        firmware: the map as the booted kernel will show it.
        reachable_max_kib: the most current_kb can be within that map; of an HVM guest less its
            video memory, which `xl mem-set` takes off every target.
        host_reachable_max_kib: the same as `xl mem-set` counts it.
        hot_add_max_kib: the most it can be when the kernel hot-adds; None: this one cannot.
        target_offset_kib: what the kernel aims below the host's target, by design.
        current_kib, mem_total_kib: when the boot is over and the balloon is settled.
        beyond_kib: RAM of the map without memory behind it; held by `holder`, which is certain or
            depends on what the distribution carried back.
        costs: parts of current_kib - mem_total_kib; the last few KiB are rounding to pages.
        measured: the kernel's own share was measured with Debian's of this series, not borrowed.
    """

    request: PlanRequest
    firmware: MemoryMap
    reachable_max_kib: int
    host_reachable_max_kib: int
    hot_add_max_kib: int | None
    target_offset_kib: int
    current_kib: int
    mem_total_kib: int
    beyond_kib: int
    holder: Holder
    holder_certain: bool
    costs: tuple[CostPart, ...]
    boots: Boots
    obstacle: str | None
    reason: str
    measured: bool

    @property
    def overhead_kib(self) -> int:
        return self.current_kib - self.mem_total_kib

    def cost_kib(self, name: str) -> int:
        """One part of it; 0 if there is none of that name."""
        return sum(part.kib for part in self.costs if part.name == name)

    @property
    def grows_by_hot_add(self) -> bool:
        """Whether every growth needs new sections, since the balloon is empty at boot."""
        return self.holder == "unpopulated-alloc" and self.beyond_kib > 0

    @property
    def targets(self) -> tuple[PlannedTarget, ...]:
        """The targets that somebody will want to know about, the smallest first."""
        offset_kib = self.target_offset_kib
        lowest_kib = self.overhead_kib + MEM_TOTAL_RISKY_KIB + offset_kib
        host_lowest_kib = -(-lowest_kib // MIB_KIB) * MIB_KIB  # and the video memory, whole MiB too
        wanted: list[tuple[TargetName, int]] = []
        if host_lowest_kib - offset_kib < self.current_kib:
            wanted.append(("lowest", host_lowest_kib - offset_kib))
        wanted.append(("boot", self.current_kib))
        if self.reachable_max_kib > self.current_kib and not self.grows_by_hot_add:
            wanted.append(("map", self.reachable_max_kib))
        most_kib = self.hot_add_max_kib
        if most_kib is not None and most_kib > wanted[-1][1]:
            wanted.append(("maxmem", most_kib))
        return tuple(self._target(name, current_kib) for name, current_kib in wanted)

    def _target(self, name: TargetName, current_kib: int) -> PlannedTarget:
        request = self.request
        host_target_kib = current_kib + self.target_offset_kib + request.videoram_kib
        have_kib = self.current_kib if self.grows_by_hot_add else self.reachable_max_kib
        return PlannedTarget(
            name,
            request.memory_kib if name == "boot" else host_target_kib,
            current_kib,
            current_kib - self.overhead_kib,
            -(-max(0, current_kib - have_kib) // SECTION_KIB) * SECTION_KIB,
        )


def plan(request: PlanRequest) -> Plan:
    """Work it out.

    Raises:
        PlanError: no toolstack would start this, or no such kernel exists.
    """
    check_request(request)
    regime = regime_of(request.kernel)
    firmware = memory_map(build_map(request.shape(), regime.clamp))
    kernel = kernel_cost(request.kernel)
    present_kib, offset_kib, current_kib = _counts(request, firmware)
    reach_kib = max(0, present_kib - request.videoram_kib)
    costs = boot_cost(
        BootShape(
            request.domain_type,
            kernel,
            firmware,
            request.memory_kib if request.is_pv else firmware.ram_kib,
            request.bits,
            request.e820_host,
            request.cpus,
        )
    )
    overhead_kib = total_kib(costs)
    verdict = boot_verdict(
        request.memory_kib,
        overhead_kib,
        current_kib - overhead_kib,
        bits=request.bits,
        is_pv=request.is_pv,
    )
    holder, certain = _holder(request)
    hot_add_max_kib = None
    if request.kernel >= HOTPLUG_SINCE:
        most_kib = min(request.maxmem_kib, request.most_kib)
        hot_add_max_kib = most_kib - offset_kib - request.videoram_kib
    return Plan(
        request=request,
        firmware=firmware,
        reachable_max_kib=reach_kib,
        host_reachable_max_kib=present_kib + offset_kib,
        hot_add_max_kib=hot_add_max_kib,
        target_offset_kib=offset_kib,
        current_kib=current_kib,
        mem_total_kib=current_kib - overhead_kib,
        beyond_kib=present_kib - current_kib,
        holder=holder,
        holder_certain=certain,
        costs=costs,
        boots=verdict.boots,
        obstacle=verdict.code,
        reason=verdict.reason,
        measured=kernel.measured and request.bits == 64 and not request.own_build,
    )


def _counts(request: PlanRequest, firmware: MemoryMap) -> tuple[int, int, int]:
    """Pages of the map that the driver counts, the target's offset, current_kb at boot; in KiB.

    An HVM guest boots with memory less its video memory and libxl's fudge; the driver then takes
    the offset off once more, which has the video memory in it again (watch_target in
    drivers/xen/xen-balloon.c).
    """
    regime = regime_of(request.kernel)
    if request.is_pv:
        reach_kib = reachable_pages(request.shape(), regime.clamp) * PAGE_KIB
        return reach_kib, 0, min(request.memory_kib, reach_kib)
    present_kib = (firmware.ram_pages - firmware.page_zero_pages) * PAGE_KIB
    offset_kib = request.maxmem_kib - present_kib if regime.target_diff else 0
    target_kib = request.memory_kib - request.videoram_kib
    if request.domain_type == "hvm" and request.maxmem_kib > request.memory_kib:
        target_kib -= HVM_FUDGE_KIB
    return present_kib, offset_kib, max(0, min(present_kib, target_kib - offset_kib))


def _holder(request: PlanRequest) -> tuple[Holder, bool]:
    """Who gets the RAM beyond memory, and whether that is certain for this release.

    Where not every stable release has the change, it is as it was before.
    """
    if not request.is_pv:
        return "balloon", True
    regime = regime_of(request.kernel)
    certain = regime.extra_memory != "either"
    known = regime if certain else REGIMES[REGIMES.index(regime) - 1]
    holder: Holder = "balloon" if known.extra_memory == "balloon" else "unpopulated-alloc"
    return holder, certain
