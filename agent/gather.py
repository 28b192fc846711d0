# SPDX-License-Identifier: GPL-2.0-or-later
"""Gather: read every source once and put what belongs to one moment into one `Snapshot`.

Relies on docs/design.md A10.
"""

import os
from collections.abc import Callable

from agent.core.kernel_release import parse_kernel_release
from agent.core.snapshot import DomainFacts, MemoryReading, Origin, Snapshot, Zones
from agent.sources import kernel
from agent.sources.boot_record import read_boot_record
from agent.sources.firmware_memmap import read_firmware_memmap
from agent.sources.host_wishes import read_host
from agent.sources.hypervisor import domain_type, read_hypervisor
from agent.sources.iomem import read_iomem
from agent.sources.kernel_log import read_kernel_log
from agent.sources.key_store import KeyStore
from agent.sources.meminfo import read_meminfo_lean
from agent.sources.memory_blocks import read_memory_blocks
from agent.sources.outcome import DENIED, HIDDEN, Outcome
from agent.sources.pressure import read_pressure
from agent.sources.system_root import SystemRoot
from agent.sources.xen_memory import read_xen_memory
from agent.sources.zoneinfo import read_zoneinfo

_KERNEL_PAGE_SIZES_KIB = (4, 16, 64)


class NotXenError(Exception):
    """There is no Xen domain here."""


def gather(
    root: SystemRoot,
    store: KeyStore,
    origin: Origin,
    sleep: Callable[[float], None] | None = None,
    read_memory: Callable[[SystemRoot], Outcome[MemoryReading]] = read_meminfo_lean,
) -> Snapshot:
    """One snapshot of the domain below `root`.

    `sleep` (seconds) allows to watch a moving balloon for a moment; leave it out for a capture.
    `read_memory`: how /proc/meminfo is read.

    Raises:
        NotXenError: nothing below `root` speaks of Xen.  All else degrades, by source.
    """
    hypervisor, statuses = read_hypervisor(root)
    balloon, balloon_statuses = read_xen_memory(root, sleep)
    if not hypervisor.is_xen and balloon is None:
        raise NotXenError
    memory = read_memory(root)
    firmware_map = read_firmware_memmap(root)
    iomem = read_iomem(root)
    zones = read_zoneinfo(root)
    pressure = read_pressure(root)
    blocks = read_memory_blocks(root)
    hotplug = kernel.read_hotplug_unpopulated(root)
    release = kernel.read_release(root)
    options = kernel.read_memory_options(root)
    uptime = kernel.read_uptime(root)
    record = read_boot_record(root)
    log = read_kernel_log(root)
    host, host_statuses = read_host(store)
    statuses |= {
        "firmware-map": firmware_map.status,
        "iomem": iomem.status,
        "meminfo": memory.status,
        "zoneinfo": zones.status,
        "pressure": pressure.status,
        "memory-blocks": blocks.status,
        "hotplug-unpopulated": hotplug.status,
        "kernel-release": release.status,
        "kernel-options": options.status,
        "uptime": uptime.status,
        "boot-record": record.status,
        "kernel-log": log.status,
    }
    release_text = release.value
    return Snapshot(
        origin=origin,
        domain=DomainFacts(
            domain_type=domain_type(hypervisor),
            kernel=parse_kernel_release(release_text) if release_text else None,
            kernel_text=release_text,
            xen_version=hypervisor.version,
            name=host.name,
            uuid=hypervisor.uuid or host.uuid,
            domid=host.domid,
            toolstack=host.toolstack,
            page_kib=_page_kib(root, memory.value, zones.value),
        ),
        sources=statuses | balloon_statuses | host_statuses,
        firmware_map=firmware_map.value,
        iomem=iomem.value,
        balloon=balloon,
        host=host.wishes,
        memory=memory.value,
        zones=zones.value,
        pressure=pressure.value,
        blocks=blocks.value,
        hotplug_unpopulated=hotplug.value,
        boot_log=log.value,
        boot_record=record.value,
        kernel_options=options.value or (),
        uptime_s=uptime.value,
    )


def lacks_privileges(snapshot: Snapshot) -> tuple[str, ...]:
    """The sources that root could have read and this user could not."""
    return tuple(name for name, status in snapshot.sources.items() if status in (DENIED, HIDDEN))


def _page_kib(root: SystemRoot, memory: MemoryReading | None, zones: Zones | None) -> int:
    """The kernel's page in KiB: asked for live; in a capture MemTotal / managed pages tells."""
    if root.is_live:
        return os.sysconf("SC_PAGE_SIZE") // 1024
    if memory is None or zones is None or not zones.managed_pages:
        return _KERNEL_PAGE_SIZES_KIB[0]
    ratio = memory.total_kib / zones.managed_pages
    return min(_KERNEL_PAGE_SIZES_KIB, key=lambda size: abs(size - ratio))
