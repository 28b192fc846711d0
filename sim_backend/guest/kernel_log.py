# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's log of a simulated boot: the lines that speak of memory, as Linux prints them.

[    0.000000] Released 0 page(s)
[    2.593577] Memory: 440904K/1048188K available (..., 607028K reserved, 0K cma-reserved)
[    4.856340] Freeing initrd memory: 6844K
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from agent.core.facts.kernel_release import KernelRelease
from agent.core.facts.memory_map import SYSTEM_RAM
from sim_backend.guest.boot import LAST_LINE_S, Boot
from sim_backend.guest.config import GuestConfig

_TYPE_WORDS: Final = {
    SYSTEM_RAM: "usable",
    "Reserved": "reserved",
    "Unusable memory": "unusable",
    "ACPI Tables": "ACPI data",
    "ACPI Non-volatile Storage": "ACPI NVS",
}
_BOOT_NAMES: Final = {"pv": "Xen PV", "dom0-pv": "Xen PV", "pvh": "Xen PVH", "dom0-pvh": "Xen PVH"}
_COMPILER: Final = "(builder@localhost) (gcc 12.2.0, GNU ld 2.40)"


def version_line(config: GuestConfig) -> str:
    """What /proc/version shows."""
    image = config.image
    return f"Linux version {image.release_text} {_COMPILER} {image.version_text}"


def kernel_log(config: GuestConfig, boot: Boot, later: Sequence[tuple[float, str]] = ()) -> str:
    """The whole log, with times; `later` is what the kernel said since."""
    entries = (*_boot_lines(config, boot), *later)
    return "".join(f"[{seconds:12.6f}] {text}\n" for seconds, text in entries)


def _driver_line(config: GuestConfig) -> str:
    """How the driver announced itself in its time."""
    release = config.image.release
    if release < KernelRelease(2, 6, 39):
        order = config.balloon_unit_pages.bit_length() - 1
        return f"xen_balloon: Initialising balloon driver with page order {order}."
    if release < KernelRelease(3, 13):
        return "xen/balloon: Initialising balloon driver."
    return "xen:balloon: Initialising balloon driver"


def _boot_lines(config: GuestConfig, boot: Boot) -> Iterator[tuple[float, str]]:
    image, log = config.image, boot.log
    yield 0.0, version_line(config)
    yield 0.0, f"Command line: {config.cmdline}"
    if config.is_pv:
        yield 0.0, f"Released {log.released_pages} page(s)"
    prefix = "Xen" if config.is_pv else "BIOS-e820"
    for region in boot.map.in_order_read:
        word = _TYPE_WORDS.get(region.kind, region.kind)
        yield 0.0, f"{prefix}: [mem {region.start:#018x}-{region.end:#018x}] {word}"
    if config.is_pv:
        yield 1.9, "Remapped 0 page(s)"
    if config.domain_type in _BOOT_NAMES:
        yield 2.0, f"Booting kernel on {_BOOT_NAMES[config.domain_type]}"
    if image.freed_before is not None:
        label, kib = image.freed_before
        yield 2.4, f"Freeing {label} memory: {kib}K"
    available = f"{log.physical_kib - log.reserved_kib}K/{log.physical_kib}K available"
    reserved = f"{log.reserved_kib}K reserved, 0K cma-reserved"
    yield 2.5, f"Memory: {available} ({image.sizes}, {reserved})"
    freed = [f"Freeing {label} memory: {kib}K" for label, kib in image.freed]
    yield 3.8, freed[0]
    if image.balloon:
        yield 4.2, _driver_line(config)
    if image.balloon and not config.is_pv:
        yield 5.0, "xen:balloon: Waiting for initial ballooning down having finished."
        yield 5.1, "xen:balloon: Initial ballooning down finished."
    yield from ((5.2, text) for text in freed[1:-1])
    yield LAST_LINE_S, freed[-1]
