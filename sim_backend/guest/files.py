# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's files of a simulated domain: what they show, and what writing to them does.

Paths are relative to the root, as in a capture.  The balloon's four back-off attributes print in
hexadecimal without a prefix (drivers/base/core.c, device_show_ulong): the usual 32 seconds of
max_schedule_delay read as `20`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from agent.core.facts.units import KIB, PAGE_BYTES, PAGE_KIB
from sim_backend.guest import kernel_text
from sim_backend.guest.kernel_log import kernel_log, version_line
from sim_backend.guest.kernel_text import pages_as_kib
from sim_backend.guest.machine import Machine
from sim_backend.guest.readings import GUEST_TYPE_SINCE, iomem_of, zones_of

BALLOON: Final = "sys/devices/system/xen_memory/xen_memory0"
BLOCKS: Final = "sys/devices/system/memory"
_FEATURES: Final = {
    "pv": "000220f0",
    "pvh": "00012305",
    "hvm": "00012705",
    "dom0-pv": "000228f0",
    "dom0-pvh": "00012b05",
}
_DMA_END_PAGE: Final = 4096
_DMA32_END_PAGE: Final = 1 << 20


class KernelFiles(Mapping[str, str]):
    """Every file of a guest, made when it is read, alone or with those beside it."""

    def __init__(self, domain: Machine) -> None:
        self._domain = domain
        self._made: dict[str, dict[str, str]] = {}
        self._long = dict(_LONG)
        if not domain.config.image.pressure:
            del self._long["proc/pressure/memory"]

    def __getitem__(self, path: str) -> str:
        if path in self._long:
            return self._long[path](self._domain)
        return self._beside(next(one for one in _TOGETHER if path.startswith(one)))[path]

    def __iter__(self) -> Iterator[str]:
        for folder in _TOGETHER:
            yield from self._beside(folder)
        yield from self._long

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _beside(self, folder: str) -> dict[str, str]:
        if folder not in self._made:
            self._made[folder] = _TOGETHER[folder](self._domain)
        return self._made[folder]


def write(domain: Machine, path: str, text: str) -> None:
    """Write `text` to a file, as root.

    Raises:
        OSError: EINVAL or ERANGE for what the kernel refuses, EACCES for a read-only file, ENOENT;
            and as `Machine.set_target_pages`.
    """
    driver = domain.driver
    name = path.removeprefix(f"{BALLOON}/")
    if path not in KernelFiles(domain):
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    try:
        if name == "target_kb":
            value, _ = kernel_text.simple_strtoull(text)
            domain.set_target_pages((value * KIB & kernel_text.ULONG_MASK) // PAGE_BYTES)
        elif name == "target":
            domain.set_target_pages(kernel_text.memparse(text) // PAGE_BYTES)
        elif name == "max_retry_count":
            driver.max_retry_count = kernel_text.kstrtoul(text)
        elif name == "max_schedule_delay":
            driver.max_schedule_delay_s = kernel_text.kstrtoul(text)
        elif name == "scrub_pages":
            kernel_text.kstrtobool(text)
        else:
            _write_block(domain, path, text)
    except ValueError as error:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path) from error
    except OverflowError as error:
        raise OSError(errno.ERANGE, os.strerror(errno.ERANGE), path) from error


def _write_block(domain: Machine, path: str, text: str) -> None:
    """memoryN/state and auto_online_blocks; all else is read-only."""
    word = text.strip()
    if path == f"{BLOCKS}/auto_online_blocks":
        if word not in ("offline", "online", "online_kernel", "online_movable"):
            raise ValueError(text)
        domain.blocks.auto_online = word
        return
    block, _, leaf = path.removeprefix(f"{BLOCKS}/memory").partition("/")
    if leaf != "state" or not block.isdigit():
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)
    if word.startswith("online"):
        domain.online_block(int(block))
    elif word == "offline":
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
    else:
        raise ValueError(text)


def _proc(domain: Machine) -> dict[str, str]:
    image = domain.config.image
    shown = {
        "proc/cmdline": domain.config.cmdline + "\n",
        "proc/uptime": f"{domain.uptime_s:.2f} {domain.uptime_s / 2:.2f}\n",
        "proc/version": version_line(domain.config) + "\n",
        "proc/sys/kernel/osrelease": image.release_text + "\n",
        "proc/xen/capabilities": "control_d\n" if domain.config.is_dom0 else "",
    }
    if image.hotplug and image.balloon:
        shown["proc/sys/xen/balloon/hotplug_unpopulated"] = "0\n"
    return shown


def _balloon(domain: Machine) -> dict[str, str]:
    if not domain.config.image.balloon:
        return {}
    driver, regime = domain.driver, domain.config.image.regime
    shown = {
        "target_kb": f"{pages_as_kib(driver.target_pages)}\n",
        "target": f"{driver.target_pages * PAGE_BYTES & kernel_text.ULONG_MASK}\n",
        "info/current_kb": f"{pages_as_kib(driver.current_pages)}\n",
        "info/low_kb": f"{pages_as_kib(driver.low_pages)}\n",
        "info/high_kb": f"{pages_as_kib(driver.high_pages)}\n",
    }
    if regime.driver_kb_file:
        shown["info/driver_kb"] = "0\n"
    if regime.backoff_files:
        shown |= {
            "schedule_delay": f"{driver.schedule_delay_s:x}\n",
            "max_schedule_delay": f"{driver.max_schedule_delay_s:x}\n",
            "retry_count": f"{driver.retry_count:x}\n",
            "max_retry_count": f"{driver.max_retry_count:x}\n",
        }
    if domain.config.image.scrub_file:
        shown["scrub_pages"] = "1\n"
    return {f"{BALLOON}/{name}": text for name, text in shown.items()}


def _hypervisor(domain: Machine) -> dict[str, str]:
    config = domain.config
    shown = {
        "type": "xen\n",
        "uuid": f"{config.hypervisor_uuid}\n",
        "version/major": "4\n",
        "version/minor": "17\n",
        "version/extra": ".7\n",
        "properties/features": f"{_FEATURES[config.domain_type]}\n",
        "properties/pagesize": "1000\n",
    }
    if config.image.release >= GUEST_TYPE_SINCE:
        shown["guest_type"] = config.domain_type.removeprefix("dom0-").upper() + "\n"
    return {f"sys/hypervisor/{name}": text for name, text in shown.items()}


def _memmap(domain: Machine) -> dict[str, str]:
    shown: dict[str, str] = {}
    for number, region in enumerate(domain.blocks.firmware.in_order_read):
        entry = f"sys/firmware/memmap/{number}"
        shown[f"{entry}/start"] = f"{region.start:#x}\n"
        shown[f"{entry}/end"] = f"{region.end:#x}\n"
        shown[f"{entry}/type"] = f"{region.kind}\n"
    return shown


def _blocks(domain: Machine) -> dict[str, str]:
    blocks = domain.blocks.reading()
    shown = {
        f"{BLOCKS}/block_size_bytes": f"{blocks.block_bytes:x}\n",
        f"{BLOCKS}/auto_online_blocks": f"{blocks.auto_online}\n",
    }
    states = dict.fromkeys(blocks.online, "online") | dict.fromkeys(blocks.offline, "offline")
    for block, state in sorted(states.items()):
        shown[f"{BLOCKS}/memory{block}/state"] = f"{state}\n"
        shown[f"{BLOCKS}/memory{block}/phys_index"] = f"{block:08x}\n"
    return shown


def _iomem(domain: Machine) -> str:
    table = iomem_of(domain.blocks.firmware, domain.boot.map.top, domain.blocks.scratch)
    lines: list[str] = []
    for region in table.regions:
        lines.append(f"{region.start:08x}-{region.end:08x} : {region.kind}")
        lines += [
            f"  {part.start:08x}-{part.end:08x} : {part.name}"
            for part in domain.config.image.segments
            if region.kind == "System RAM" and region.start <= part.start <= region.end
        ]
    return "\n".join(lines) + "\n"


def _meminfo(domain: Machine) -> str:
    memory = domain.memory
    reading = memory.reading()
    reclaimable_kib = reading.reclaimable_kib
    rows = {
        "MemTotal": reading.total_kib,
        "MemFree": reading.free_kib,
        "MemAvailable": reading.available_kib,
        "Buffers": 0,
        "Cached": reading.cached_kib - reclaimable_kib,
        "SwapCached": 0,
        "Active": memory.used_kib // 2,
        "Inactive": memory.used_kib // 4,
        "SwapTotal": reading.swap_total_kib,
        "SwapFree": reading.swap_free_kib,
        "AnonPages": max(0, memory.used_kib - memory.workload.kernel_kib),
        "Shmem": 0,
        "Slab": memory.workload.kernel_kib + reclaimable_kib,
        "SReclaimable": reclaimable_kib,
        "SUnreclaim": memory.workload.kernel_kib,
    }
    if domain.config.image.balloon_in_meminfo:
        rows["Balloon"] = pages_as_kib(domain.driver.ballooned_pages)
    return "".join(f"{name + ':':<15} {kib:>8} kB\n" for name, kib in rows.items())


def _vmstat(domain: Machine) -> str:
    rows = {"nr_free_pages": domain.memory.free_kib // PAGE_KIB}
    if domain.config.image.balloon_in_meminfo:
        rows["nr_balloon_pages"] = domain.driver.ballooned_pages
    rows["oom_kill"] = domain.memory.oom_kills
    return "".join(f"{name} {count}\n" for name, count in rows.items())


def _pressure(domain: Machine) -> str:
    found = domain.memory.pressure()
    return (
        f"some avg10={found.some_avg10:.2f} avg60={found.some_avg60:.2f} "
        f"avg300={found.some_avg300:.2f} total={found.some_total_us}\n"
        f"full avg10={found.full_avg10:.2f} avg60={found.full_avg60:.2f} "
        f"avg300={found.full_avg300:.2f} total={found.full_total_us}\n"
    )


def _zoneinfo(domain: Machine) -> str:
    """One block per zone, with the lines that readers of the file look for."""
    sums = zones_of(domain)
    boot_map = domain.boot.map
    present = [
        boot_map.ram_within_pages(PAGE_BYTES, _DMA_END_PAGE * PAGE_BYTES),
        boot_map.ram_within_pages(_DMA_END_PAGE * PAGE_BYTES, _DMA32_END_PAGE * PAGE_BYTES),
    ]
    present.append(sums.present_pages - sum(present))
    top_page = min(boot_map.top // PAGE_BYTES, _DMA32_END_PAGE)
    scratch = domain.blocks.scratch_pages
    spanned = [_DMA_END_PAGE - 1, top_page - _DMA_END_PAGE]
    spanned.append(sums.spanned_pages - sum(spanned) - scratch)
    free = domain.memory.free_kib // PAGE_KIB
    managed_dma = max(0, min(present[0] - 15, sums.managed_pages))
    managed_normal = min(present[2], sums.managed_pages - managed_dma)
    managed = [managed_dma, sums.managed_pages - managed_dma - managed_normal, managed_normal]
    zones = [
        *zip(("DMA", "DMA32", "Normal"), spanned, present, managed),
        ("Movable", 0, 0, 0),
        ("Device", scratch, 0, 0),
    ]
    return "".join(
        f"Node 0, zone {name:>8}\n"
        f"  pages free     {min(free, zone_managed)}\n"
        f"        min      {zone_managed // 170}\n"
        f"        spanned  {zone_spanned}\n"
        f"        present  {zone_present}\n"
        f"        managed  {zone_managed}\n"
        for name, zone_spanned, zone_present, zone_managed in zones
    )


_LONG: Final[Mapping[str, Callable[[Machine], str]]] = {
    "proc/meminfo": _meminfo,
    "proc/zoneinfo": _zoneinfo,
    "proc/iomem": _iomem,
    "proc/vmstat": _vmstat,
    "proc/pressure/memory": _pressure,
    "kernel.log": lambda domain: kernel_log(domain.config, domain.boot, domain.kernel_said),
}
_TOGETHER: Final[Mapping[str, Callable[[Machine], dict[str, str]]]] = {
    BALLOON: _balloon,
    "sys/hypervisor/": _hypervisor,
    "sys/firmware/": _memmap,
    f"{BLOCKS}/": _blocks,
    "": _proc,
}
