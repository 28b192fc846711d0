# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest is to be started with, and what cannot be a guest at all."""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.core.boot.cost import LINUX_6_12
from agent.core.boot.map import HVM_HOLE_KIB, GuestShape
from agent.core.facts.kernel_regimes import REGIMES
from agent.core.facts.kernel_release import KernelRelease
from agent.core.facts.memory_map import FOUR_GIB
from agent.core.facts.snapshot import DomainType, is_dom0, is_pv
from agent.core.facts.units import GIB_KIB, KIB, MIB_KIB, format_kib

DEFAULT_KERNEL: Final = LINUX_6_12.release
DEFAULT_VIDEORAM_KIB: Final = 8 * MIB_KIB  # libxl_create.c: Cirrus, xl's card of an HVM guest
MOST_KIB: Final = 1024 * 1024 * GIB_KIB
XEN_512GB_SINCE: Final = (4, 3)  # c70727a5bc18, xen: allow more than 512 GB of RAM
MOST_PV_KIB: Final = 512 * GIB_KIB
MOST_PV_OLD_KIB: Final = 500 * GIB_KIB
MOST_32BIT_KIB: Final = 64 * GIB_KIB
DOM0_LEAST_KIB: Final = 128 * MIB_KIB  # LIBXL_MIN_DOM0_MEM


class PlanError(ValueError):
    """What was asked for is no guest; the message is one sentence with the way out."""


class PlanRequest(NamedTuple):
    """The settings of a guest before its boot; KiB.

    `host_memory_kib` matters for dom0 only: what a missing `max:` would let it map.
    `mmio_hole_kib`: of an HVM guest, mmio_hole= in xl.cfg.  `own_build`: the kernel is built by
    another distribution than Debian, whose kernels were measured.
    """

    domain_type: DomainType
    memory_kib: int
    maxmem_kib: int
    kernel: KernelRelease = DEFAULT_KERNEL
    bits: int = 64
    videoram_kib: int = 0
    e820_host: bool = False
    host_memory_kib: int | None = None
    cpus: int = 1
    mmio_hole_kib: int = HVM_HOLE_KIB
    own_build: bool = False

    @property
    def most_kib(self) -> int:
        """More than that the kernel does not map, whatever it is given.

        32 bits: 36 bits of address (PAE).  PV: CONFIG_XEN_MAX_DOMAIN_MEMORY, 500 GiB, before Linux
        4.3; since then CONFIG_XEN_512GB (on by default) holds a guest, not dom0, at 512 GiB.
        """
        if self.bits == 32:
            return MOST_32BIT_KIB
        if self.is_pv and self.kernel < XEN_512GB_SINCE:
            return MOST_PV_OLD_KIB
        return MOST_PV_KIB if self.domain_type == "pv" else MOST_KIB

    @property
    def is_pv(self) -> bool:
        return is_pv(self.domain_type)

    @property
    def is_dom0(self) -> bool:
        return is_dom0(self.domain_type)

    def shape(self) -> GuestShape:
        return GuestShape(
            self.domain_type,
            self.memory_kib,
            self.maxmem_kib,
            self.videoram_kib,
            self.e820_host,
            mmio_hole_kib=self.mmio_hole_kib,
            most_kib=self.most_kib,
        )


def check_request(request: PlanRequest) -> None:
    """Refuse what no toolstack would start.

    Raises:
        PlanError: with the sentence to show.
    """
    _check_sizes(request)
    _check_kind(request)


def _check_sizes(request: PlanRequest) -> None:
    memory_kib, maxmem_kib = request.memory_kib, request.maxmem_kib
    for name, kib in (("memory", memory_kib), ("maxmem", maxmem_kib)):
        if kib < MIB_KIB:
            raise PlanError(f"{name} is {kib} KiB, with which no Linux boots: take 64M or more.")
        if kib % MIB_KIB:
            raise PlanError(
                f"{name} is {kib} KiB, and toolstacks count in whole MiB: "
                f"take {kib // MIB_KIB}M or {kib // MIB_KIB + 1}M."
            )
        if kib > MOST_KIB:
            raise PlanError(f"{name} is {format_kib(kib)}, more than Linux can address: take less.")
    if memory_kib > maxmem_kib:
        raise PlanError(
            f"memory ({format_kib(memory_kib)}) is larger than maxmem ({format_kib(maxmem_kib)}): "
            f"raise maxmem to {memory_kib // MIB_KIB}M or lower memory."
        )
    if request.videoram_kib and request.domain_type != "hvm":
        raise PlanError("Only an HVM guest has video memory: leave out --videoram.")
    _check_hole(request)
    if request.videoram_kib >= memory_kib:
        raise PlanError(
            f"The video memory ({format_kib(request.videoram_kib)}) is taken from memory "
            f"({format_kib(memory_kib)}): raise memory."
        )


def _check_hole(request: PlanRequest) -> None:
    """xl_parse.c: a hole is at least the usual one, and leaves as much below it."""
    most_kib = FOUR_GIB // KIB - HVM_HOLE_KIB
    if request.mmio_hole_kib != HVM_HOLE_KIB and request.domain_type != "hvm":
        raise PlanError("Only an HVM guest has a hole for devices: leave out --mmio-hole.")
    if not HVM_HOLE_KIB <= request.mmio_hole_kib <= most_kib or request.mmio_hole_kib % MIB_KIB:
        raise PlanError(
            f"The hole for devices is {format_kib(request.mmio_hole_kib)}, and xl takes whole MiB "
            f"from {HVM_HOLE_KIB // MIB_KIB}M to {most_kib // MIB_KIB}M."
        )


def _check_kind(request: PlanRequest) -> None:
    if request.kernel < REGIMES[0].since:
        raise PlanError(
            f"Linux {request.kernel} has no Xen balloon; the first that has is {REGIMES[0].since}."
        )
    if request.domain_type == "pvh" and request.kernel < (4, 11):
        raise PlanError("Linux boots as PVH since 4.11: take a later kernel, or --type hvm.")
    if request.is_pv and request.bits == 32 and request.kernel >= (5, 9):
        raise PlanError(
            "Linux has no 32-bit PV kernel since 5.9: take --type pvh, or --arch x86_64."
        )
    if request.bits == 32 and not request.is_pv and request.maxmem_kib > MOST_32BIT_KIB:
        raise PlanError(
            f"A 32-bit kernel addresses {format_kib(MOST_32BIT_KIB)}, and maxmem is "
            f"{format_kib(request.maxmem_kib)}: lower maxmem, or take --arch x86_64."
        )
    if request.is_dom0 and request.memory_kib < DOM0_LEAST_KIB:
        raise PlanError("dom0 needs at least 128M (xl refuses less): raise memory.")
    if request.e820_host and request.domain_type != "pv":
        raise PlanError("Only a PV guest takes e820_host: leave out --e820-host.")
    if request.host_memory_kib is not None and not request.is_dom0:
        raise PlanError("--host-memory is for --type dom0: leave it out.")
    if request.host_memory_kib is not None and request.host_memory_kib < request.maxmem_kib:
        raise PlanError(
            f"maxmem ({format_kib(request.maxmem_kib)}) is more than the host has "
            f"({format_kib(request.host_memory_kib)}): lower maxmem."
        )
