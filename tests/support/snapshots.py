# SPDX-License-Identifier: GPL-2.0-or-later
"""Snapshots of ordinary guests, as real ones read, each to be changed in one thing by a test.

a_pv_guest()                                    512 of 1024 MiB, Linux 6.1, settled
a_pv_guest(balloon={"target_kib": 786432})      the same on its way to 768 MiB
a_pv_guest(zones=None)                          the same without /proc/zoneinfo
"""

from __future__ import annotations

from typing import Any, Final

from agent.core.facts.kernel_release import KernelRelease
from agent.core.facts.memory_map import MemoryMap, Region, memory_map
from agent.core.facts.snapshot import (
    BalloonReading,
    BootLog,
    DomainFacts,
    HostMemoryKeys,
    MemoryBlocks,
    MemoryReading,
    Origin,
    Pressure,
    Snapshot,
    Zones,
)

MIB: Final = 1024
GIB: Final = 1024 * MIB
RAM: Final = "System RAM"
BLOCK: Final = 128 << 20

LINUX_2_6_32: Final = KernelRelease(2, 6, 32)
LINUX_3_2: Final = KernelRelease(3, 2, 65)
LINUX_3_13: Final = KernelRelease(3, 13)
LINUX_4_4: Final = KernelRelease(4, 4)
LINUX_5_10: Final = KernelRelease(5, 10, 223)
LINUX_6_1: Final = KernelRelease(6, 1, 192)
LINUX_6_12: Final = KernelRelease(6, 12, 107)

CALM: Final = Pressure(0.0, 0.0, 0.0, 0, 0.0, 0.0, 0.0, 0)
STALLED: Final = CALM._replace(some_avg10=63.0, full_avg10=34.0)


def ram_map(*ranges: tuple[int, int]) -> MemoryMap:
    """A map of System RAM alone, from first and last addresses."""
    return memory_map([Region(start, end, RAM) for start, end in ranges])


def guest_map(maxmem_kib: int = GIB, *added: tuple[int, int]) -> MemoryMap:
    """What a PV or PVH guest's firmware map shows, with hot-added ranges behind it."""
    return memory_map(
        [
            Region(0, 0x9FFFF, RAM),
            Region(0xA0000, 0xFFFFF, "Reserved"),
            Region(0x100000, maxmem_kib * 1024 - 1, RAM),
            *(Region(start, end, RAM) for start, end in added),
        ]
    )


HVM_MAP: Final = memory_map(
    [
        Region(0, 0x9FBFF, RAM),
        Region(0x9FC00, 0x9FFFF, "Reserved"),
        Region(0xF0000, 0xFFFFF, "Reserved"),
        Region(0x100000, 0x3FFFEFFF, RAM),
        Region(0xFC000000, 0xFFFFFFFF, "Reserved"),
    ]
)
DOM0_MAP: Final = memory_map(
    [
        Region(0, 0x9EFFF, RAM),
        Region(0x9FC00, 0xFFFFF, "Reserved"),
        Region(0x100000, 0x60060FFF, RAM),
        Region(0xFEC00000, 0xFEC00FFF, "Reserved"),
    ]
)

_PV: Final = Snapshot(
    origin=Origin("capture", "guest"),
    domain=DomainFacts("pv", LINUX_6_1, "6.1.192", "4.17.7", "guest1", None, 5, "libxl"),
    sources={"balloon.current_kb": "ok"},
    firmware_map=guest_map(),
    iomem=guest_map(),
    balloon=BalloonReading(
        current_kib=524288, target_kib=524288, target_bytes=536870912, low_kib=524288, high_kib=0,
        schedule_delay_s=1, max_schedule_delay_s=32, retry_count=1, max_retry_count=4,
        scrub_pages=True, motion="still",
    ),
    host=HostMemoryKeys(target_kib=524288, static_max_kib=1048576, videoram_kib=0),
    memory=MemoryReading(456048, 380268, 348512, 32080),
    zones=Zones(262048, 262047, 114012),
    pressure=CALM,
    blocks=MemoryBlocks(BLOCK, tuple(range(8)), (), "offline"),
    hotplug_unpopulated=False,
    boot_log=BootLog(1048188, 607028, 14888, 0, 5.8),
    uptime_s=300.0,
)  # fmt: skip

_PVH: Final = _PV._replace(
    domain=_PV.domain._replace(domain_type="pvh"),
    balloon=BalloonReading(523900, 523900, None, 524288, 0, 1, 32, 1, 4, True, False, "still"),
    memory=MemoryReading(459592, 383000, 350000),
    zones=Zones(262048, 262047, 114898),
    boot_log=BootLog(1048188, 79196, 14888, 0, 15.7),
)

_HVM: Final = _PVH._replace(
    domain=_PV.domain._replace(domain_type="hvm"),
    firmware_map=HVM_MAP,
    iomem=HVM_MAP,
    balloon=_PVH.balloon and _PVH.balloon._replace(
        current_kib=522868, target_kib=522868, low_kib=525312
    ),
    host=HostMemoryKeys(target_kib=523264, static_max_kib=1048576, videoram_kib=0),
    memory=MemoryReading(458560, 383000, 350000),
    zones=Zones(262047, 262045, 114640),
    boot_log=BootLog(1048180, 79196, 14888, 0, 20.0),
)  # fmt: skip

_DOM0: Final = _PV._replace(
    domain=DomainFacts("dom0-pv", LINUX_6_1, "6.1.192", "4.17.7", "Domain-0", None, 0),
    firmware_map=DOM0_MAP,
    iomem=DOM0_MAP,
    balloon=BalloonReading(1048576, 1048576, None, 524288, 0, 1, 32, 1, 4, True, False, "still"),
    host=HostMemoryKeys(),
    memory=MemoryReading(900288, 700000, 650000),
    zones=Zones(393312, 393215, 225072),
    blocks=None,
    boot_log=BootLog(1572860, 672572, 0, 0, 3.0),
)


def a_pv_guest(**changes: Any) -> Snapshot:
    """memory=512 maxmem=1024 on Linux 6.1, where the balloon holds what lies beyond nr_pages."""
    return changed(_PV, **changes)


def a_pvh_guest(**changes: Any) -> Snapshot:
    """The same as PVH: the kernel aims 388 KiB below the host's target."""
    return changed(_PVH, **changes)


def an_hvm_guest(**changes: Any) -> Snapshot:
    """The same as HVM: 396 KiB below, and a range that ends inside a page."""
    return changed(_HVM, **changes)


def a_dom0(**changes: Any) -> Snapshot:
    """dom0 (PV) with 1024 of 1536 MiB; xenstore says nothing of its memory."""
    return changed(_DOM0, **changes)


def an_unpopulated_guest(**changes: Any) -> Snapshot:
    """The PV guest on Linux 6.12: unpopulated-alloc holds what lies beyond nr_pages."""
    kernel = {"kernel": LINUX_6_12, "kernel_text": "6.12.107"}
    return changed(changed(_PV, domain=kernel, balloon={"low_kib": 0}), **changes)


def changed(snapshot: Snapshot, **changes: Any) -> Snapshot:
    """Other fields; a dict changes some fields of the part of that name."""
    for name, change in changes.items():
        part = getattr(snapshot, name)
        if isinstance(change, dict) and name != "sources":
            if change.get("target_kib") is not None and name == "balloon":
                change = {"target_bytes": change["target_kib"] * 1024} | change  # noqa: PLW2901
            change = part._replace(**change)  # noqa: PLW2901 - the same change, completed
        snapshot = snapshot._replace(**{name: change})
    return snapshot
