# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines that start a planned guest: xl.cfg, xe, and the Xen command line for dom0."""

from __future__ import annotations

from typing import NamedTuple

from agent.core.boot.map import HVM_HOLE_KIB
from agent.core.facts.units import MIB_KIB
from agent.core.plan.request import PlanRequest


class PlanConfig(NamedTuple):
    """Lines to paste, by where they go; empty where they do not apply."""

    xl: tuple[str, ...] = ()
    xe: tuple[str, ...] = ()
    xen: tuple[str, ...] = ()
    xl_conf: tuple[str, ...] = ()


def plan_config(request: PlanRequest) -> PlanConfig:
    """The same sizes in each toolstack's words.

    XAPI starts a guest between dynamic-min and dynamic-max, as the host has room; its static-max
    is maxmem.
    """
    memory_mib, maxmem_mib = request.memory_kib // MIB_KIB, request.maxmem_kib // MIB_KIB
    if request.is_dom0:
        return PlanConfig(
            xe=(_xe("DOM0_UUID", memory_mib, memory_mib, maxmem_mib),),
            xen=(f"dom0_mem={memory_mib}M,max:{maxmem_mib}M",),
            xl_conf=('autoballoon="off"',),
        )
    xl = [f'type = "{request.domain_type}"', f"memory = {memory_mib}", f"maxmem = {maxmem_mib}"]
    if request.domain_type == "hvm":
        xl.append(f"videoram = {request.videoram_kib // MIB_KIB}")
        if request.mmio_hole_kib != HVM_HOLE_KIB:
            xl.append(f"mmio_hole = {request.mmio_hole_kib // MIB_KIB}")
    if request.e820_host:
        xl.append("e820_host = 1")
    if request.cpus > 1:
        xl.append(f"vcpus = {request.cpus}")
    return PlanConfig(xl=tuple(xl), xe=(_xe("UUID", memory_mib, maxmem_mib, maxmem_mib),))


def _xe(uuid: str, least_mib: int, most_mib: int, static_max_mib: int) -> str:
    return (
        f"xe vm-memory-limits-set uuid={uuid} static-min={least_mib}MiB "
        f"dynamic-min={least_mib}MiB dynamic-max={most_mib}MiB static-max={static_max_mib}MiB"
    )
