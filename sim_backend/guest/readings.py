# SPDX-License-Identifier: GPL-2.0-or-later
"""The snapshot of a simulated domain, built directly from the model.

It equals what the sources read from the same domain's files, but for the origin and for what a
capture cannot tell (whether the balloon moves).  None of them is asked for it, so that the
two judge each other (tests/sim_backend/guest/test_snapshot_and_capture_agree.py).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from agent.core.facts import host_keys
from agent.core.facts.bounds import LARGEST_ADDRESS, unwrapped
from agent.core.facts.kernel_release import KernelRelease
from agent.core.facts.memory_map import FOUR_GIB, SYSTEM_RAM, MemoryMap, Region, memory_map
from agent.core.facts.memory_options import crash_kernel_kib, memory_options
from agent.core.facts.numbers import MalformedError, excerpt
from agent.core.facts.snapshot import BalloonReading, DomainFacts, HostMemoryKeys, Snapshot, Zones
from agent.core.facts.units import PAGE_BYTES, PAGE_KIB
from sim_backend.guest.kernel_text import ULONG_MASK, pages_as_kib
from sim_backend.guest.machine import Machine

XEN_VERSION: Final = "4.17.7"
GUEST_TYPE_SINCE: Final = KernelRelease(4, 13)
_KEYS: Final = (*(f"memory/{name}" for name in host_keys.NUMBERS), "name", "domid", "vm")
SILENT: Final = "malformed: xenstored does not answer"
_ALWAYS_THERE: Final = (
    "hypervisor.type",
    "hypervisor.uuid",
    "hypervisor.version",
    "hypervisor.features",
    "capabilities",
    "firmware-map",
    "iomem",
    "meminfo",
    "zoneinfo",
    "memory-blocks",
    "kernel-release",
    "kernel-options",
    "uptime",
    "kernel-log",
)


def snapshot_of(domain: Machine) -> Snapshot:
    """Everything at this moment."""
    image = domain.config.image
    memory_keys, host_statuses = host_memory_keys(domain)
    balloon, balloon_statuses = balloon_reading(domain)
    options, ram_kib = memory_options(domain.config.cmdline), domain.blocks.firmware.ram_kib
    statuses = dict.fromkeys(_ALWAYS_THERE, "ok")
    statuses["hypervisor.guest_type"] = "ok" if image.release >= GUEST_TYPE_SINCE else "absent"
    statuses["pressure"] = "ok" if image.pressure else "absent"
    statuses["hotplug-unpopulated"] = "ok" if image.hotplug and image.balloon else "absent"
    statuses["boot-record"] = "absent"
    facts = DomainFacts(
        domain_type=domain.config.domain_type,
        kernel=image.release,
        kernel_text=image.release_text,
        xen_version=XEN_VERSION,
        name=None if domain.store.silent else domain.store.read("name"),
        uuid=domain.config.hypervisor_uuid,
        domid=None if domain.store.silent else domain.domid,
        toolstack=domain.toolstack if _has_host_keys(domain) else None,
    )
    return Snapshot(
        origin=domain.origin,
        domain=facts,
        sources=statuses | balloon_statuses | host_statuses,
        firmware_map=domain.blocks.firmware,
        iomem=iomem_of(domain.blocks.firmware, domain.boot.map.top, domain.blocks.scratch),
        balloon=balloon,
        host=memory_keys,
        memory=domain.memory.reading(),
        zones=zones_of(domain),
        pressure=domain.memory.pressure() if image.pressure else None,
        blocks=domain.blocks.reading(),
        hotplug_unpopulated=False if image.hotplug and image.balloon else None,
        boot_log=domain.boot.log,
        kernel_options=options,
        crash_kernel_kib=0 if domain.config.is_pv else crash_kernel_kib(options, ram_kib),
        uptime_s=round(domain.uptime_s, 2),
    )


def _has_host_keys(domain: Machine) -> bool:
    """Whether a toolstack left its mark; in dom0 it often has not."""
    store = domain.store
    keys = ("memory/static-max", "memory/memory_static_max")
    return not store.silent and any(store.read(key) is not None for key in keys)


def balloon_reading(domain: Machine) -> tuple[BalloonReading | None, dict[str, str]]:
    """The driver's attributes, and which of them this kernel has."""
    driver, image = domain.driver, domain.config.image
    if not image.balloon:
        return None, {"balloon": "absent"}
    has = image.regime.backoff_files
    counters = ("current_kb", "target_kb", "target", "low_kb", "high_kb")
    backoff = ("schedule_delay", "max_schedule_delay", "retry_count", "max_retry_count")
    statuses = dict.fromkeys(counters, "ok") | dict.fromkeys(backoff, "ok" if has else "absent")
    statuses["scrub_pages"] = "ok" if image.scrub_file else "absent"
    reading = BalloonReading(
        current_kib=pages_as_kib(driver.current_pages),
        target_kib=domain.target_kib,
        target_bytes=unwrapped(driver.target_pages * PAGE_BYTES & ULONG_MASK, LARGEST_ADDRESS),
        low_kib=pages_as_kib(driver.low_pages),
        high_kib=pages_as_kib(driver.high_pages),
        schedule_delay_s=driver.schedule_delay_s if has else None,
        max_schedule_delay_s=driver.max_schedule_delay_s if has else None,
        retry_count=driver.retry_count if has else None,
        max_retry_count=driver.max_retry_count if has else None,
        scrub_pages=True if image.scrub_file else None,
        motion="moved" if driver.state == "done" and driver.credit else "still",
    )
    return reading, {f"balloon.{name}": status for name, status in statuses.items()}


def host_memory_keys(domain: Machine) -> tuple[HostMemoryKeys, dict[str, str]]:
    """memory/* of the domain's xenstore, as far as it is numbers."""
    store = domain.store
    if store.silent:
        return HostMemoryKeys(), {"xenstore": SILENT} | {f"xenstore.{key}": SILENT for key in _KEYS}
    numbers: dict[str, int] = {}
    target_text: str | None = None
    statuses = {"xenstore": "ok"}
    for key in _KEYS:
        statuses[f"xenstore.{key}"] = "absent" if store.read(key) is None else "ok"
    for name, field in host_keys.NUMBERS.items():
        text = store.read(f"memory/{name}")
        if text is None:
            continue
        number, statuses[f"xenstore.memory/{name}"], shown = _judged(name, text)
        if number is not None:
            numbers.setdefault(field, number)
        elif name == "target":
            target_text = shown
    uncooperative = store.read("memory/uncooperative") is not None
    memory_keys = HostMemoryKeys(**numbers, target_text=target_text, uncooperative=uncooperative)
    return memory_keys, statuses


@lru_cache(maxsize=4096)
def _judged(name: str, text: str) -> tuple[int | None, str, str | None]:
    """A number from the host, or why it is none and how it can be shown."""
    raw = text.encode()
    try:
        return host_keys.parser_of(name)(raw), "ok", None
    except MalformedError as error:
        return None, f"malformed: {error}", excerpt(raw)


def zones_of(domain: Machine) -> Zones:
    """/proc/zoneinfo, summed."""
    blocks, boot = domain.blocks, domain.boot
    scratch = blocks.scratch_pages - boot.scratch_pages
    return Zones(
        spanned_pages=boot.spanned_pages + _normal_growth_pages(domain) + scratch,
        present_pages=boot.present_pages + blocks.online_hot_added_pages,
        managed_pages=domain.memory.managed_kib // PAGE_KIB,
    )


def _normal_growth_pages(domain: Machine) -> int:
    """By how much zone Normal spans more than at boot: hot-added memory goes there, holes and all.

    What lies where DMA32 spans already becomes part of that (mm/memory_hotplug.c,
    default_kernel_zone_for_pfn).
    """
    boot_top = domain.boot.map.top
    low_top = min(boot_top, FOUR_GIB)
    spans = [span for span in domain.blocks.online_hot_added_spans() if span[0] >= low_top]
    if not spans:
        return 0
    at_boot = [(FOUR_GIB, boot_top)] if boot_top > FOUR_GIB else []
    both = [*at_boot, *spans]
    length = max(stop for _, stop in both) - min(start for start, _ in both)
    return (length - sum(stop - start for start, stop in at_boot)) // PAGE_BYTES


@lru_cache(maxsize=256)
def iomem_of(firmware: MemoryMap, boot_top: int, scratch: tuple[Region, ...]) -> MemoryMap:
    """/proc/iomem: page zero taken out, touching hot-added ranges merged, the scratch ranges."""
    regions = [Region(0, PAGE_BYTES - 1, "Reserved")]
    for region in sorted(firmware.in_order_read):
        start = max(region.start, PAGE_BYTES)
        last = regions[-1]
        both_hot_added = last.kind == region.kind == SYSTEM_RAM and last.start >= boot_top
        if both_hot_added and last.end + 1 == start:
            regions[-1] = Region(last.start, region.end, SYSTEM_RAM)
        else:
            regions.append(Region(start, region.end, region.kind))
    regions += scratch
    return memory_map(sorted(regions))
