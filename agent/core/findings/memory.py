# SPDX-License-Identifier: GPL-2.0-or-later
"""The map, the cost of its size, and the guest being short of memory."""

from __future__ import annotations

from typing import Final

from agent.core.account.boot_facts import uncounted_kib
from agent.core.account.driver import Driver
from agent.core.account.headroom import limit_kib
from agent.core.account.shortage import shortage
from agent.core.account.situation import Situation
from agent.core.boot.cost import struct_pages_kib
from agent.core.facts.kernel_regimes import regime_of
from agent.core.facts.units import MIB_KIB, format_kib, kib_to_pages, pages_to_kib
from agent.core.findings.examination import Examination
from agent.core.findings.finding import Finding, Fix, known
from agent.core.findings.guest_commands import aim_at, boot_options
from agent.core.findings.host_commands import configure, give_at_least, make_larger
from agent.core.findings.registry import CRASH_KERNEL, DRIVER, STATIC_MAX, check

# The share of current_kb that page structures may take: reached at maxmem = 3.2 x memory.
STRUCT_SHARE_TOLD_PERCENT: Final = 5
# The map's size as a multiple of what was populated, where Linux's limit is at work: 10 times
# as much on top (arch/x86/xen/setup.c, EXTRA_MEM_RATIO), 10 times in all in the oldest kernels.
_CLAMP_FROM: Final = 9.9
_CLAMP_TO: Final = 11.1
_CUTTING_OPTIONS: Final = ("mem=", "memmap=", "xen_512gb_limit")
# What a host counts of an HVM guest and Linux does not: video memory, firmware, as XAPI has it.
_HVM_SLACK_KIB: Final = 32 * MIB_KIB
_TOLD_ODDITIES: Final = 3
# What the host could give has to be some help.
WORTH_KIB: Final = 8 * MIB_KIB


@check(
    "unexplained",
    severity="warning",
    do="report it with a capture",
    needs=(*DRIVER, "firmware-map"),
)
def unexplained(seen: Examination) -> Finding | None:
    """The reconciliation leaves something over."""
    left_kib = seen.situation.reconciliation.unexplained_kib
    if not left_kib:
        return None
    return Finding(
        severity="warning",
        summary=f"{format_kib(left_kib)} ({kib_to_pages(left_kib)} pages) of the map are in no "
        "count.",
        evidence={term.name: term.kib for term in seen.situation.reconciliation.terms},
        cause="An identity that held on every guest tried does not hold on this one.",
        remark="balloon-agent capture guest.tar.gz, and report it with this file",
    )


@check(
    "maxmem-unreachable",
    severity="warning; info when the kernel can hot-add",
    do="more `memory=`, or less `maxmem=`",
    needs=(STATIC_MAX, "firmware-map"),
    unless=("static-max-moved",),
)
def maxmem_unreachable(seen: Examination) -> Finding | None:
    """The boot's map ends before static-max.

    The cause says what cut it: a limit of Linux, an option on its command line, unpopulated-alloc.
    """
    situation, snapshot = seen.situation, seen.snapshot
    most_kib, boot_ram_kib = limit_kib(snapshot), situation.boot.ram_kib
    if most_kib is None or boot_ram_kib is None or snapshot.firmware_map is None:
        return None
    if snapshot.domain.is_dom0 or snapshot.host.hotplug_max_kib is not None:
        return None  # Qubes means what lies beyond the map to be hot-added
    can_hotplug = snapshot.hotplug_unpopulated is not None
    reach_kib = boot_ram_kib - uncounted_kib(snapshot.firmware_map, snapshot.domain.domain_type)
    reach_kib += situation.offset.kib if situation.offset else 0
    if not can_hotplug:
        reach_kib -= _held_elsewhere_kib(situation)
    missing_kib = most_kib - reach_kib
    if missing_kib <= _slack_kib(situation) or not situation.boot.ram_exact:
        return None
    how = "the kernel must hot-add the rest" if can_hotplug else "this kernel cannot get beyond it"
    cause, fix = _what_cut_the_map(seen, boot_ram_kib)
    return Finding(
        severity="info" if can_hotplug else "warning",
        summary=f"The boot's map reaches {format_kib(reach_kib)}, {format_kib(missing_kib)} less "
        f"than the maximum ({format_kib(most_kib)}): {how}.",
        evidence={
            "boot_map_kib": boot_ram_kib,
            "static_max_kib": most_kib,
            "missing_kib": missing_kib,
            "can_hotplug": "yes" if can_hotplug else "no",
        },
        cause=cause,
        fixes=(fix,),
    )


def _slack_kib(situation: Situation) -> int:
    """What may be missing by how the host counts; without an offset the kernel does not know it."""
    domain = situation.snapshot.domain
    if domain.is_pv or regime_of(domain.kernel).target_diff:
        return MIB_KIB
    return max(_HVM_SLACK_KIB, situation.snapshot.host.videoram_kib or 0) + MIB_KIB


def _held_elsewhere_kib(situation: Situation) -> int:
    """What unpopulated-alloc took of the map for good."""
    term = situation.reconciliation.term("unpopulated-alloc")
    return 0 if term is None else -term.kib


def _what_cut_the_map(seen: Examination, boot_ram_kib: int) -> tuple[str, Fix]:
    """The cause and the fix, as far as the map, the kernel and its options tell."""
    situation, snapshot = seen.situation, seen.snapshot
    options = [o for o in snapshot.kernel_options if o.startswith(_CUTTING_OPTIONS)]
    if options:
        words = " ".join(options)
        fix = boot_options(seen.distribution, f"take {words} off the kernel's command line")
        return f"The kernel's command line cuts the map: {words}.", fix
    nr_pages = situation.boot.nr_pages
    started_kib = pages_to_kib(nr_pages.pages) if nr_pages else 0
    ratio = boot_ram_kib / started_kib if started_kib > 0 else 0.0
    more = configure(snapshot, "memory= larger, or maxmem= smaller")
    if _held_elsewhere_kib(situation) and not snapshot.hotplug_unpopulated:
        return "The kernel gave the map's extra RAM to unpopulated-alloc, for good.", more
    if regime_of(snapshot.domain.kernel).clamp == "max-reservation":
        return "Linux 3.1 ends the map at the first target, not at maxmem.", more
    if _CLAMP_FROM <= ratio <= _CLAMP_TO:
        return f"Linux keeps at most 11 times memory= in the map; here it is {ratio:.1f}.", more
    return (
        "static-max was raised after the boot, or Linux or the toolstack ended the map before it.",
        more,
    )


@check(
    "page-struct-overhead",
    severity="info",
    do="less `maxmem=`, or more `memory=`",
    needs=(*DRIVER, "firmware-map"),
)
def page_struct_overhead(seen: Examination) -> Finding | None:
    """Page structures for the whole map take more than 5 % of current.

    [plan](plan.md) warns above 10 %, before it is too late.
    """
    # Worth knowing and no more, however large: it was settled when the guest was configured.
    firmware_map, driver = seen.snapshot.firmware_map, seen.driver
    if firmware_map is None or driver is None or driver.current_kib <= 0:
        return None
    structs_kib = struct_pages_kib(firmware_map)
    share = structs_kib * 100 / driver.current_kib
    if share <= STRUCT_SHARE_TOLD_PERCENT:
        return None
    return Finding(
        severity="info",
        summary=f"Page structures for the whole map take {format_kib(structs_kib)}, {share:.0f} % "
        "of what the guest has now.",
        evidence={
            "struct_pages_kib": structs_kib,
            "current_kib": driver.current_kib,
            "share_percent": round(share, 1),
        },
        cause="Linux makes 64 bytes of page structure for each page of the map at boot, ballooned "
        "or not, out of what the guest has.",
        # The map of dom0 is the host's, whatever it may have.
        fixes=()
        if seen.snapshot.domain.is_dom0
        else (configure(seen.snapshot, "maxmem= lower, or memory= higher"),),
    )


@check(
    "pressure-after-deflate",
    severity="warning; critical when programs wait for memory",
    do="`xl mem-set` with more",
    needs=(*DRIVER, "meminfo"),
    because=("units-trap",),
)
def pressure_after_deflate(seen: Examination) -> Finding | None:
    """The guest is short of memory while the host could give."""
    up_kib, driver = seen.situation.headroom.reach_kib or 0, seen.driver
    if up_kib < WORTH_KIB or driver is None or _shortage(seen) == "none":
        return None
    available_kib = seen.snapshot.memory.available_kib if seen.snapshot.memory else 0
    return Finding(
        severity="critical" if _shortage(seen) == "stalled" else "warning",
        summary=f"The guest is short of memory ({format_kib(available_kib)} available) while the "
        f"host could still give {format_kib(up_kib)}.",
        evidence=_shortness(seen),
        cause="The target is below what the guest uses; the Xen balloon gives nothing back by "
        "itself when memory runs short.",
        fixes=(give_more(seen, driver, up_kib),),
    )


def give_more(seen: Examination, driver: Driver, up_kib: int) -> Fix:
    """A quarter more; or what the host gives already, where the kernel aims at less."""
    wanted_kib = seen.situation.host_target_on_kernel_scale_kib
    if wanted_kib is not None and wanted_kib > max(driver.target_kib, driver.current_kib):
        return aim_at(wanted_kib, "what the host gives")
    asked_kib = 0 if wanted_kib is None else wanted_kib - driver.current_kib
    more_kib = min(up_kib, max(asked_kib, driver.current_kib // 4 // MIB_KIB * MIB_KIB))
    return give_at_least(seen.situation, driver.current_kib + more_kib)


@check(
    "memory-short",
    severity="warning; critical when programs wait for memory",
    do="a larger guest, or programs that need less",
    needs=("meminfo",),
    unless=("pressure-after-deflate",),
    because=("hole-given-away", "dom0-autoballoon"),
)
def memory_short(seen: Examination) -> Finding | None:
    """The guest is short of memory and has all that the host lets it have."""
    if _shortage(seen) == "none" or seen.snapshot.memory is None:
        return None
    held_kib = seen.driver.ballooned_kib if seen.driver else 0
    return Finding(
        severity="critical" if _shortage(seen) == "stalled" else "warning",
        summary=f"The guest is short of memory ({format_kib(seen.snapshot.memory.available_kib)} "
        "available), and has all that the host lets it have.",
        evidence=_shortness(seen),
        cause="Its programs need more than the guest was made for"
        + (
            "; the balloon holds nothing that could help."
            if not held_kib
            else f"; the {format_kib(held_kib)} in the balloon are beyond what the host allows."
        ),
        fixes=(make_larger(seen.snapshot),),
    )


def _shortage(seen: Examination) -> str:
    return shortage(seen.snapshot.memory, seen.snapshot.pressure)


def _shortness(seen: Examination) -> dict[str, int | float | str]:
    """What shows that it is short."""
    memory, pressure = seen.snapshot.memory, seen.snapshot.pressure
    if memory is None:
        return {}
    return {
        "available_kib": memory.available_kib,
        "available_percent": round(memory.available_kib * 100 / max(1, memory.total_kib), 1),
        "full_avg10_percent": known(pressure and pressure.full_avg10),
    }


@check(
    "map-odd",
    severity="info",
    do="see `memmap`",
    needs=("firmware-map",),
)
def map_odd(seen: Examination) -> Finding | None:
    """Ranges overlap or make no sense."""
    firmware_map = seen.snapshot.firmware_map
    if firmware_map is None or not firmware_map.oddities:
        return None
    count = len(firmware_map.oddities)
    return Finding(
        severity="info",
        summary=f"The firmware map is odd in {count} {'place' if count == 1 else 'places'}.",
        evidence={
            f"map_{n}": text for n, text in enumerate(firmware_map.oddities[:_TOLD_ODDITIES], 1)
        },
        cause="The firmware or the toolstack wrote it so; Linux sorts it out, and so do the sums.",
        remark="balloon-agent memmap shows the ranges; nothing to do in the guest",
    )


@check(
    "iomem-hidden",
    severity="info",
    do="run as root",
)
def iomem_hidden(seen: Examination) -> Finding | None:
    """/proc/iomem shows this user no addresses."""
    if seen.snapshot.sources.get("iomem") != "hidden":
        return None
    return Finding(
        severity="info",
        summary="/proc/iomem shows no addresses to this user; "
        + (
            "there is no firmware map either, so the sum cannot be made."
            if seen.snapshot.firmware_map is None
            else "the firmware map is used instead."
        ),
        evidence={"iomem": "hidden"},
        cause="The kernel shows addresses to CAP_SYS_ADMIN only.",
        remark="as root, status makes the sum"
        if seen.snapshot.firmware_map is None
        else "as root, status shows hot-added and 'Xen scratch' ranges as well",
    )


def _whole_kib(seen: Examination, current_kib: int) -> int:
    """What the crash kernel started with: all of its map, or what it still has."""
    firmware_map = seen.snapshot.firmware_map
    if firmware_map is None:
        return current_kib
    mapped_kib = firmware_map.ram_kib - uncounted_kib(
        firmware_map, seen.snapshot.domain.domain_type
    )
    return max(current_kib, mapped_kib)


@check(
    CRASH_KERNEL,
    severity="info; warning when it would outgrow its memory, critical when it is squeezed",
    do="nothing; where its target is below zero, `target_kb` to what it has",
    needs=("kernel-options",),
)
def kdump_kernel(seen: Examination) -> Finding | None:
    """A crash kernel, whose balloon has the crashed one's target.

    Nothing else is looked for in one.
    """
    if not seen.situation.in_crash_kernel:
        return None
    driver, firmware_map = seen.driver, seen.snapshot.firmware_map
    grows = (
        driver is not None
        and firmware_map is not None
        and (driver.target_kib > firmware_map.ram_kib)
    )
    squeezed = driver is not None and driver.target_kib < driver.current_kib
    evidence: dict[str, int | float | str] = {"elfcorehdr": "on the command line"}
    if driver is not None:
        evidence |= {"current_kib": driver.current_kib, "target_kib": driver.target_kib}
    if firmware_map is not None:
        evidence["map_kib"] = firmware_map.ram_kib
    return Finding(
        severity="critical" if squeezed else "warning" if grows else "info",
        summary="This is a crash kernel; the balloon's target is that of the crashed one"
        + (
            ", and takes the memory away that it needs to write its dump."
            if squeezed
            else ", and beyond the memory set aside for it."
            if grows
            else "."
        ),
        evidence=evidence,
        cause="The driver takes memory/target for its own in the crash kernel as well"
        + (
            "; less the offset it finds there, that is less than nothing."
            if driver is not None and driver.target_kib < 0
            else "."
        ),
        fixes=(aim_at(_whole_kib(seen, driver.current_kib), "then write the dump"),)
        if driver is not None and squeezed
        else (),
        remark="nothing to do; write the dump and reboot",
    )
