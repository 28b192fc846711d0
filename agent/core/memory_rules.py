# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules about the map, the cost of its size, and the guest being short of memory."""

from typing import Final

from agent.core.boot_facts import uncounted_kib
from agent.core.finding import Finding
from agent.core.situation import Situation
from agent.core.units import MIB_KIB, format_kib

# Shares of current_kb that page structures may take: 5 % is reached at maxmem = 3.2 x memory,
# 10 % at 6.4 x.
_STRUCT_SHARE_TOLD_PERCENT: Final = 5
_STRUCT_SHARE_BAD_PERCENT: Final = 10
_SHORT_AVAILABLE_PERCENT: Final = 5
_SHORT_FULL_AVG10_PERCENT: Final = 5.0


def unexplained(situation: Situation) -> Finding | None:
    """The reconciliation leaves something over."""
    left_kib = situation.reconciliation.unexplained_kib
    if not left_kib:
        return None
    return Finding(
        "unexplained", "warning",
        f"{format_kib(left_kib)} ({left_kib // 4} pages) of the map are in no count.",
        {term.name: term.kib for term in situation.reconciliation.terms},
        "this should not happen: run `balloon-agent capture FILE.tar.gz` and report it",
    )  # fmt: skip


def maxmem_unreachable(situation: Situation) -> Finding | None:
    """The map ends before static-max: the kernel cut it, or the toolstack ignored maxmem."""
    snapshot = situation.snapshot
    static_max_kib, boot_ram_kib = snapshot.host.static_max_kib, situation.boot.ram_kib
    if static_max_kib is None or boot_ram_kib is None or snapshot.firmware_map is None:
        return None
    reach_kib = boot_ram_kib - uncounted_kib(snapshot.firmware_map, snapshot.domain.domain_type)
    reach_kib += situation.offset.kib if situation.offset else 0
    missing_kib = static_max_kib - reach_kib
    dom0 = (snapshot.domain.domain_type or "").startswith("dom0")
    if missing_kib <= MIB_KIB or dom0 or not situation.boot.ram_exact:
        return None
    can_hotplug = snapshot.hotplug_unpopulated is not None
    how = "the kernel must hot-add the rest" if can_hotplug else "this kernel cannot get beyond it"
    return Finding(
        "maxmem-unreachable", "info" if can_hotplug else "warning",
        f"The boot's map reaches {format_kib(reach_kib)}, {format_kib(missing_kib)} less than "
        f"static-max ({format_kib(static_max_kib)}): {how}.",
        {
            "boot_map_kib": boot_ram_kib,
            "static_max_kib": static_max_kib,
            "missing_kib": missing_kib,
            "can_hotplug": "yes" if can_hotplug else "no",
        },
        "boot with more memory= (Linux keeps at most 11 times of it in the map), or lower maxmem=",
    )  # fmt: skip


def page_struct_overhead(situation: Situation) -> Finding | None:
    """Page structures for RAM that is not there eat the RAM that is."""
    parts, balloon = situation.overhead, situation.snapshot.balloon
    if parts is None or balloon is None or not balloon.current_kib:
        return None
    structs_kib = next((term.kib for term in parts.terms if term.name == "struct-pages"), 0)
    share = structs_kib * 100 / balloon.current_kib
    if share <= _STRUCT_SHARE_TOLD_PERCENT:
        return None
    return Finding(
        "page-struct-overhead", "warning" if share > _STRUCT_SHARE_BAD_PERCENT else "info",
        f"Page structures for the whole map take {format_kib(structs_kib)}, {share:.0f} % of what "
        "the guest has now.",
        {
            "struct_pages_kib": structs_kib,
            "current_kib": balloon.current_kib,
            "share_percent": round(share, 1),
        },
        "lower maxmem=, or give the guest more memory= to start with",
    )  # fmt: skip


def pressure_after_deflate(situation: Situation) -> Finding | None:
    """The guest is short of memory while the balloon holds some of it."""
    snapshot = situation.snapshot
    memory, balloon, pressure = snapshot.memory, snapshot.balloon, snapshot.pressure
    if memory is None or balloon is None or not memory.total_kib:
        return None
    available_percent = memory.available_kib * 100 / memory.total_kib
    stalled = pressure is not None and pressure.full_avg10 > _SHORT_FULL_AVG10_PERCENT
    scarce = available_percent < _SHORT_AVAILABLE_PERCENT
    if not (scarce or stalled) or not situation.headroom.up_kib:
        return None
    return Finding(
        "pressure-after-deflate", "critical" if scarce and stalled else "warning",
        f"The guest is short of memory ({format_kib(memory.available_kib)} available) while the "
        f"host could still give {format_kib(situation.headroom.up_kib)}.",
        {
            "available_kib": memory.available_kib,
            "available_percent": round(available_percent, 1),
            "full_avg10_percent": pressure.full_avg10 if pressure else "unknown",
        },
        "on the host: xl mem-set DOMAIN SIZE with a larger size",
    )  # fmt: skip


def map_odd(situation: Situation) -> Finding | None:
    """Ranges that overlap, end before they start, or could not be read."""
    firmware_map = situation.snapshot.firmware_map
    if firmware_map is None or not firmware_map.oddities:
        return None
    return Finding(
        "map-odd", "info",
        f"The firmware map is odd in {len(firmware_map.oddities)} places: "
        f"{firmware_map.oddities[0]}.",
        {"oddities": len(firmware_map.oddities)},
        "nothing to do in the guest; see `balloon-agent memmap`",
    )  # fmt: skip


def iomem_hidden(situation: Situation) -> Finding | None:
    """The kernel shows an ordinary user no addresses."""
    if situation.snapshot.sources.get("iomem") != "hidden":
        return None
    return Finding(
        "iomem-hidden", "info",
        "/proc/iomem shows no addresses to this user; the firmware map is used instead.",
        {"iomem": "hidden"},
        "run as root to see hot-added and 'Xen scratch' ranges as the kernel uses them",
    )  # fmt: skip


def kdump_kernel(situation: Situation) -> Finding | None:
    """A crash kernel obeys the balloon too."""
    if not any(o.startswith("elfcorehdr=") for o in situation.snapshot.kernel_options):
        return None
    return Finding(
        "kdump-kernel", "info",
        "This is a crash kernel; the balloon's target is that of the crashed one.",
        {"elfcorehdr": "on the command line"},
        "nothing to do: write the dump and reboot",
    )  # fmt: skip


MEMORY_RULES: Final = (
    unexplained,
    maxmem_unreachable,
    page_struct_overhead,
    pressure_after_deflate,
    map_odd,
    iomem_hidden,
    kdump_kernel,
)
