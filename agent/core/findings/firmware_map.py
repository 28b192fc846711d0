# SPDX-License-Identifier: GPL-2.0-or-later
"""The map: what of it is in no count, what it costs, how far it reaches."""

from __future__ import annotations

from typing import Final

from agent.core.account.headroom import limit_kib
from agent.core.account.situation import Situation
from agent.core.boot.cost import STRUCT_PAGE_BYTES, struct_pages_kib
from agent.core.facts.kernel_regimes import regime_of
from agent.core.facts.units import MIB_KIB, format_kib, format_pages, pages_to_kib
from agent.core.findings.examination import Examination
from agent.core.findings.finding import Finding, Fix
from agent.core.findings.guest_commands import boot_options
from agent.core.findings.host_commands import configure
from agent.core.findings.registry import DRIVER, STATIC_MAX, check

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
    size = f"{format_kib(abs(left_kib))} ({format_pages(abs(left_kib))})"
    return Finding(
        summary=f"{size} of the map are in no count."
        if left_kib > 0
        else f"{size} more are counted than the map has.",
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
    reach_kib = situation.boot.counted_kib
    if most_kib is None or boot_ram_kib is None or reach_kib is None:
        return None
    if snapshot.domain.is_dom0 or snapshot.host.hotplug_max_kib is not None:
        return None  # Qubes means what lies beyond the map to be hot-added
    can_hotplug = snapshot.hotplug_unpopulated is not None
    reach_kib += situation.offset_kib
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
    return max(_HVM_SLACK_KIB, situation.snapshot.host.video_kib) + MIB_KIB


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
    bits = seen.snapshot.domain.bits
    structs_kib = struct_pages_kib(firmware_map, bits=bits)
    share = structs_kib * 100 / driver.current_kib
    if share <= STRUCT_SHARE_TOLD_PERCENT:
        return None
    return Finding(
        summary=f"Page structures for the whole map take {format_kib(structs_kib)}, {share:.0f} % "
        f"of what {seen.snapshot.domain.called()} has now.",
        evidence={
            "struct_pages_kib": structs_kib,
            "current_kib": driver.current_kib,
            "share_percent": round(share, 1),
        },
        cause=f"Linux makes {STRUCT_PAGE_BYTES[bits]} bytes of page structure for each page of the "
        f"map at boot, ballooned or not, out of what {seen.snapshot.domain.called()} has.",
        # The map of dom0 is the host's, whatever it may have.
        fixes=()
        if seen.snapshot.domain.is_dom0
        else (configure(seen.snapshot, "maxmem= lower, or memory= higher"),),
    )


@check("map-odd", severity="info", do="see `memmap`", needs=("firmware-map",))
def map_odd(seen: Examination) -> Finding | None:
    """Ranges overlap or make no sense."""
    firmware_map = seen.snapshot.firmware_map
    if firmware_map is None or not firmware_map.oddities:
        return None
    count = len(firmware_map.oddities)
    return Finding(
        summary=f"The firmware map is odd in {count} {'place' if count == 1 else 'places'}.",
        evidence={
            f"map_{n}": text for n, text in enumerate(firmware_map.oddities[:_TOLD_ODDITIES], 1)
        },
        cause="The firmware or the toolstack wrote it so; Linux sorts it out, and so do the sums.",
        remark="balloon-agent memmap shows the ranges; nothing to do in the guest",
    )


@check("iomem-hidden", severity="info", do="run as root")
def iomem_hidden(seen: Examination) -> Finding | None:
    """/proc/iomem shows this user no addresses."""
    if seen.snapshot.sources.get("iomem") != "hidden":
        return None
    instead = "the firmware map is used instead"
    as_root = "shows hot-added and 'Xen scratch' ranges as well"
    if seen.snapshot.firmware_map is None:
        instead = "there is no firmware map either, so the sum cannot be made"
        as_root = "makes the sum"
    return Finding(
        summary=f"/proc/iomem shows no addresses to this user; {instead}.",
        evidence={"iomem": "hidden"},
        cause="The kernel shows addresses to CAP_SYS_ADMIN only.",
        remark=f"as root, status {as_root}",
    )
