# SPDX-License-Identifier: GPL-2.0-or-later
"""Gather: read every source once and put what belongs to one moment into one `Snapshot`.

Relies on docs/design.md A10.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from agent.core.facts.kernel_release import parse_kernel_release
from agent.core.facts.snapshot import DomainFacts, MemoryReading, Origin, Snapshot, Zones, is_pv
from agent.core.facts.toolstack import known_toolstack
from agent.core.facts.units import KIB
from agent.sources import kernel
from agent.sources.boot_record import read_boot_record
from agent.sources.crash_kernel import read_crash_kernel
from agent.sources.firmware_memmap import read_firmware_memmap
from agent.sources.host_keys import read_host
from agent.sources.hypervisor import domain_type, read_hypervisor
from agent.sources.iomem import read_iomem
from agent.sources.kernel_log import read_kernel_log
from agent.sources.meminfo import read_meminfo
from agent.sources.memory_blocks import read_memory_blocks
from agent.sources.outcome import Statuses
from agent.sources.pressure import read_pressure
from agent.sources.swaps import read_zram_free_kib
from agent.sources.system_root import NotXenError, SystemRoot
from agent.sources.xen_memory import read_xen_memory
from agent.sources.xenstore.key_store import KeyStore
from agent.sources.zoneinfo import read_zoneinfo

_KERNEL_PAGE_SIZES_KIB = (4, 16, 64)


def gather(
    root: SystemRoot, store: KeyStore, origin: Origin, sleep: Callable[[float], None] | None = None
) -> Snapshot:
    """One snapshot of the domain below `root`.

    `sleep` (seconds) allows to watch a moving balloon for a moment; leave it out for a capture.

    Raises:
        NotXenError: nothing below `root` speaks of Xen.  All else degrades, by source.
    """
    hypervisor, statuses = read_hypervisor(root)
    balloon, balloon_statuses = read_xen_memory(root, sleep)
    if not hypervisor.is_xen and balloon is None:
        raise NotXenError
    took = Statuses(statuses)
    firmware_map = took.take("firmware-map", read_firmware_memmap(root))
    iomem = took.take("iomem", read_iomem(root))
    memory = took.take("meminfo", read_meminfo(root))
    zones = took.take("zoneinfo", read_zoneinfo(root))
    pressure = took.take("pressure", read_pressure(root))
    blocks = took.take("memory-blocks", read_memory_blocks(root))
    hotplug = took.take("hotplug-unpopulated", kernel.read_hotplug_unpopulated(root))
    release_text = took.take("kernel-release", kernel.read_release(root))
    options = took.take("kernel-options", kernel.read_memory_options(root))
    uptime_s = took.take("uptime", kernel.read_uptime(root))
    if firmware_map is None and iomem is not None and iomem.is_of_arm:
        firmware_map = iomem  # there is no other there
    record = took.take("boot-record", read_boot_record(root))
    log = took.take("kernel-log", read_kernel_log(root))
    host, host_statuses = read_host(store)
    kind = domain_type(hypervisor)
    return Snapshot(
        origin=origin,
        domain=DomainFacts(
            domain_type=kind,
            kernel=parse_kernel_release(release_text) if release_text else None,
            kernel_text=release_text,
            xen_version=hypervisor.version,
            name=host.name,
            uuid=hypervisor.uuid or host.uuid,
            domid=host.domid,
            toolstack=known_toolstack(host.toolstack, release_text, hypervisor.version),
            page_kib=_page_kib(root, memory, zones),
        ),
        sources=took | balloon_statuses | host_statuses,
        firmware_map=firmware_map,
        iomem=iomem,
        balloon=balloon,
        host=host.memory,
        memory=memory,
        zones=zones,
        pressure=pressure,
        blocks=blocks,
        hotplug_unpopulated=hotplug,
        boot_log=log,
        boot_record=record,
        kernel_options=options or (),
        crash_kernel_kib=read_crash_kernel(
            root, options or (), firmware_map.ram_kib if firmware_map else None, is_pv=is_pv(kind)
        ),
        zram_free_kib=read_zram_free_kib(root).value or 0,
        uptime_s=uptime_s,
    )


def _page_kib(root: SystemRoot, memory: MemoryReading | None, zones: Zones | None) -> int:
    """The kernel's page in KiB: asked for live; in a capture MemTotal / managed pages tells."""
    if root.is_live:
        return os.sysconf("SC_PAGE_SIZE") // KIB
    if memory is None or zones is None or not zones.managed_pages:
        return _KERNEL_PAGE_SIZES_KIB[0]
    ratio = memory.total_kib / zones.managed_pages
    return min(_KERNEL_PAGE_SIZES_KIB, key=lambda size: abs(size - ratio))
