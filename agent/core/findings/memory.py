# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules about the map, the cost of its size, and the guest being short of memory."""

from __future__ import annotations

from typing import Final

from agent.core.account.boot_facts import uncounted_kib
from agent.core.account.situation import Situation
from agent.core.boot.cost import struct_pages_kib
from agent.core.facts.kernel_regimes import regime_of
from agent.core.facts.units import MIB_KIB, format_kib
from agent.core.findings.finding import Finding
from agent.core.findings.host_commands import set_populated

# The share of current_kb that page structures may take: reached at maxmem = 3.2 x memory.
STRUCT_SHARE_TOLD_PERCENT: Final = 5
# The map's size as a multiple of what was populated, where Linux's limit is at work: 10 times
# as much on top (arch/x86/xen/setup.c, EXTRA_MEM_RATIO), 10 times in all in the oldest kernels.
_CLAMP_FROM: Final = 9.9
_CLAMP_TO: Final = 11.1
_CUTTING_OPTIONS: Final = ("mem=", "memmap=", "xen_512gb_limit")
_TOLD_ODDITIES: Final = 3
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
        "balloon-agent capture guest.tar.gz  # and report it with this file",
        cause="An identity that held on every guest tried does not hold on this one.",
    )  # fmt: skip


def maxmem_unreachable(situation: Situation) -> Finding | None:
    """The map ends before static-max, or what it has is out of the balloon's reach."""
    snapshot = situation.snapshot
    static_max_kib, boot_ram_kib = snapshot.host.static_max_kib, situation.boot.ram_kib
    if static_max_kib is None or boot_ram_kib is None or snapshot.firmware_map is None:
        return None
    can_hotplug = snapshot.hotplug_unpopulated is not None
    reach_kib = boot_ram_kib - uncounted_kib(snapshot.firmware_map, snapshot.domain.domain_type)
    reach_kib += situation.offset.kib if situation.offset else 0
    if not can_hotplug:
        reach_kib -= _held_elsewhere_kib(situation)
    missing_kib = static_max_kib - reach_kib
    dom0 = snapshot.domain.is_dom0
    if missing_kib <= MIB_KIB or dom0 or not situation.boot.ram_exact:
        return None
    how = "the kernel must hot-add the rest" if can_hotplug else "this kernel cannot get beyond it"
    cause, fix = _what_cut_the_map(situation, boot_ram_kib)
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
        fix,
        cause=cause,
        actor="either",
    )  # fmt: skip


def _held_elsewhere_kib(situation: Situation) -> int:
    """What unpopulated-alloc took of the map for good."""
    term = situation.reconciliation.term("unpopulated-alloc")
    return 0 if term is None else -term.kib


def _what_cut_the_map(situation: Situation, boot_ram_kib: int) -> tuple[str, str]:
    """The cause and the fix, as far as the map, the kernel and its options tell."""
    snapshot = situation.snapshot
    options = [o for o in snapshot.kernel_options if o.startswith(_CUTTING_OPTIONS)]
    if options:
        return (
            f"The kernel's command line cuts the map: {' '.join(options)}.",
            "sudoedit /etc/default/grub && sudo update-grub  # take them out, and reboot",
        )
    nr_pages = situation.boot.nr_pages
    ratio = boot_ram_kib / (nr_pages.pages * 4) if nr_pages else 0.0
    regime = regime_of(snapshot.domain.kernel)
    more = "memory=SIZE  # larger, or maxmem= smaller, in the domain's configuration on the host"
    if _held_elsewhere_kib(situation) and not snapshot.hotplug_unpopulated:
        return "The kernel gave the map's extra RAM to unpopulated-alloc, for good.", more
    if regime.clamp == "max-reservation":
        return "Linux 3.1 ends the map at the first target, not at maxmem.", more
    if _CLAMP_FROM <= ratio <= _CLAMP_TO:
        return f"Linux keeps at most 11 times memory= in the map; here it is {ratio:.1f}.", more
    return (
        "static-max was raised after the boot, or Linux or the toolstack ended the map before it.",
        more,
    )


def page_struct_overhead(situation: Situation) -> Finding | None:
    """Page structures for RAM that is not there, hot-added or from boot, eat the RAM that is.

    Worth knowing and no more, however large: it was settled when the guest was configured, and only
    another boot changes it.  `plan` warns before that.
    """
    firmware_map, balloon = situation.snapshot.firmware_map, situation.snapshot.balloon
    if firmware_map is None or balloon is None or not balloon.current_kib:
        return None
    structs_kib = struct_pages_kib(firmware_map)
    share = structs_kib * 100 / balloon.current_kib
    if share <= STRUCT_SHARE_TOLD_PERCENT:
        return None
    return Finding(
        "page-struct-overhead", "info",
        f"Page structures for the whole map take {format_kib(structs_kib)}, {share:.0f} % of what "
        "the guest has now.",
        {
            "struct_pages_kib": structs_kib,
            "current_kib": balloon.current_kib,
            "share_percent": round(share, 1),
        },
        "maxmem=SIZE  # lower, or memory= higher, in the domain's configuration on the host",
        cause="Linux makes 64 bytes of page structure for each page of the map at boot, ballooned "
        "or not, out of what the guest has.",
        actor="host",
    )  # fmt: skip


def pressure_after_deflate(situation: Situation) -> Finding | None:
    """The guest is short of memory while the balloon holds some of it."""
    snapshot = situation.snapshot
    memory, balloon, pressure = snapshot.memory, snapshot.balloon, snapshot.pressure
    if memory is None or balloon is None or not memory.total_kib or not balloon.current_kib:
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
        f"{set_populated(situation, balloon.current_kib + _more_kib(situation))}  # on the host",
        cause="The host's target is below what the guest uses; the Xen balloon gives nothing back "
        "by itself when memory runs short.",
        actor="host",
    )  # fmt: skip


def _more_kib(situation: Situation) -> int:
    """A step up for a guest that is short: a quarter of what it has, or what is left."""
    balloon = situation.snapshot.balloon
    current_kib = (balloon.current_kib or 0) if balloon else 0
    return min(situation.headroom.up_kib or 0, current_kib // 4 // MIB_KIB * MIB_KIB)


def map_odd(situation: Situation) -> Finding | None:
    """Ranges that overlap, end before they start, or could not be read."""
    firmware_map = situation.snapshot.firmware_map
    if firmware_map is None or not firmware_map.oddities:
        return None
    count = len(firmware_map.oddities)
    return Finding(
        "map-odd", "info",
        f"The firmware map is odd in {count} {'place' if count == 1 else 'places'}.",
        {f"map_{n}": text for n, text in enumerate(firmware_map.oddities[:_TOLD_ODDITIES], 1)},
        "balloon-agent memmap  # shows the ranges; nothing to do in the guest",
        cause="The firmware or the toolstack wrote it so; Linux sorts it out, and so do the sums.",
        actor="nobody",
    )  # fmt: skip


def iomem_hidden(situation: Situation) -> Finding | None:
    """The kernel shows an ordinary user no addresses."""
    if situation.snapshot.sources.get("iomem") != "hidden":
        return None
    return Finding(
        "iomem-hidden", "info",
        "/proc/iomem shows no addresses to this user; the firmware map is used instead.",
        {"iomem": "hidden"},
        "sudo balloon-agent status  # shows hot-added and 'Xen scratch' ranges as well",
        cause="The kernel shows addresses to CAP_SYS_ADMIN only.",
    )  # fmt: skip


def kdump_kernel(situation: Situation) -> Finding | None:
    """A crash kernel obeys the balloon too."""
    snapshot = situation.snapshot
    if not any(o.startswith("elfcorehdr=") for o in snapshot.kernel_options):
        return None
    balloon, map_kib = snapshot.balloon, _map_kib(situation)
    target_kib = (balloon.target_kib or 0) if balloon else 0
    grows = bool(map_kib) and target_kib > map_kib
    return Finding(
        "kdump-kernel", "warning" if grows else "info",
        "This is a crash kernel; the balloon's target is that of the crashed one"
        + (", and beyond the memory set aside for it." if grows else "."),
        {"elfcorehdr": "on the command line", "target_kib": target_kib, "map_kib": map_kib},
        "nothing to do; write the dump and reboot",
        cause="The driver takes memory/target for its own in the crash kernel as well.",
        actor="nobody",
    )  # fmt: skip


def _map_kib(situation: Situation) -> int:
    """System RAM of the map, 0 where it is not known."""
    firmware_map = situation.snapshot.firmware_map
    return firmware_map.ram_kib if firmware_map else 0
