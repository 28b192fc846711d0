# SPDX-License-Identifier: GPL-2.0-or-later
"""What the host says of this domain in xenstore."""

from __future__ import annotations

from typing import Final

from agent.core.account.headroom import limit_kib
from agent.core.facts.pattern import Pattern
from agent.core.facts.snapshot import Snapshot
from agent.core.facts.units import MIB_KIB, format_apart, format_kib, kib_to_pages
from agent.core.findings.examination import Examination
from agent.core.findings.finding import Finding, Fix
from agent.core.findings.host_commands import configure, on_host_scale_kib, set_memory, set_range
from agent.core.findings.registry import DRIVER, STATIC_MAX, TARGET, XENSTORE, check
from agent.core.findings.units_trap import LEAST_KIB

# XAPI and xl allow the toolstack's own difference; what is larger is a contradiction.
_SLACK_KIB: Final = MIB_KIB
# In a text as `excerpt` quotes it.
_LEADING_DIGITS: Final = Pattern(r"""["'](?: |\\[tnrvf]|\\x0[bc])*([0-9]{1,64})""")


@check(
    "target-beyond-static-max",
    severity="warning",
    do="`xl mem-set` within maxmem, or `xl mem-max` first",
    needs=(TARGET, STATIC_MAX),
    unless=("units-trap",),
)
def target_beyond_static_max(seen: Examination) -> Finding | None:
    """The host asks for more than the domain may have, by a page or more."""
    target_kib, most_kib = seen.snapshot.host.target_kib, limit_kib(seen.snapshot)
    if target_kib is None or most_kib is None:
        return None
    if kib_to_pages(target_kib) <= kib_to_pages(most_kib):
        return None
    return Finding(
        summary=f"The host asks for {format_apart(target_kib, most_kib)}, the domain may have at "
        f"most {format_apart(most_kib, target_kib)}.",
        evidence={"memory/target_kib": target_kib, "memory/static-max_kib": most_kib},
        cause="memory/target was written by hand, or by a tool that does not look at static-max; "
        "the kernel tries to get there, in vain.",
        fixes=(_within(seen, most_kib),),
    )


def _within(seen: Examination, most_kib: int) -> Fix:
    """The maximum, or what of it this kernel can have; where the guest can live in that."""
    situation, driver, room = seen.situation, seen.driver, seen.situation.headroom
    note = "or give the domain a larger maximum first"
    if driver is None or room.reach_kib is None:
        return set_memory(seen.snapshot, most_kib, note)
    within_kib = most_kib - situation.offset_kib
    if room.floor_kib is not None and within_kib < room.floor_kib:
        return Fix("host", note="give the domain a larger maximum: it uses more than this one")
    reached_kib = min(within_kib, driver.current_kib + room.reach_kib)
    kib = on_host_scale_kib(situation, reached_kib)
    return set_memory(seen.snapshot, kib, note if reached_kib == within_kib else "all it can have")


@check(
    "host-limits-contradict", severity="warning", do="set them again, together", needs=(XENSTORE,)
)
def host_limits_contradict(seen: Examination) -> Finding | None:
    """dynamic-min, dynamic-max and static-max do not rise."""
    host = seen.snapshot.host
    limits = (
        ("memory/dynamic-min", host.dynamic_min_kib),
        ("memory/dynamic-max", host.dynamic_max_kib),
        ("memory/static-max", host.static_max_kib),
    )
    known = [(name, kib) for name, kib in limits if kib is not None]
    sizes = [kib for _, kib in known]
    if all(low <= high + _SLACK_KIB for low, high in zip(sizes, sizes[1:])):
        return None
    return Finding(
        summary="The host's limits contradict each other: they should rise from dynamic-min over "
        "dynamic-max to static-max.",
        evidence={f"{name}_kib": kib for name, kib in known},
        cause="The keys were written one by one, or by two tools.",
        fixes=(_range_in_order(seen.snapshot),),
    )


def _range_in_order(snapshot: Snapshot) -> Fix:
    """The same dynamic range the right way round, within static-max."""
    host = snapshot.host
    most_kib = host.static_max_kib
    sizes = [kib for kib in (host.dynamic_min_kib, host.dynamic_max_kib) if kib is not None]
    within = sorted(kib if most_kib is None else min(kib, most_kib) for kib in sizes)
    if snapshot.domain.toolstack != "xapi":
        return Fix("host", note="set its limits again, together")
    return set_range(snapshot, within[0], within[-1])


@check(
    "host-target-garbage",
    severity="warning; critical when what the kernel makes of it is below 24 MiB",
    do="on the host write it again",
    needs=(XENSTORE,),
)
def host_target_garbage(seen: Examination) -> Finding | None:
    """`memory/target` is no plain number.

    The kernel takes its first digits (`512M` is 512 KiB), or keeps its last target where there are
    none.
    """
    text = seen.snapshot.host.target_text
    if text is None:
        return None
    read_kib = _what_the_kernel_reads_kib(text)
    deadly = read_kib is not None and read_kib < LEAST_KIB
    return Finding(
        severity="critical" if deadly else "warning",
        summary="The host's memory/target is not a number; the kernel keeps its last target."
        if read_kib is None
        else f"The host's memory/target is not a plain number; the kernel reads "
        f"{format_kib(read_kib)} from it.",
        evidence={"memory/target": text},
        cause="Something on the host writes the key without looking at what it writes."
        + ("" if read_kib is None else " The kernel takes the digits and ignores the rest."),
        fixes=(_write_again(seen),),
    )


def _what_the_kernel_reads_kib(excerpt: str) -> int | None:
    """What `xenbus_scanf(..., "%llu")` finds in the key: digits after blanks (balloon.c)."""
    digits = _LEADING_DIGITS.match(excerpt)
    return int(digits[1]) % (1 << 64) if digits else None


def _write_again(seen: Examination) -> Fix:
    """A target that changes nothing, or stops a fall; xl mem-set reads the key and would refuse."""
    driver, domid = seen.driver, seen.snapshot.domain.domid
    if driver is None or domid is None:
        return Fix("host", note="write memory/target again: KiB, digits only")
    least_kib = max(LEAST_KIB, seen.situation.headroom.floor_kib or 0)
    kib = driver.target_kib if driver.target_kib >= least_kib else driver.current_kib
    kib += seen.situation.offset_kib
    command = f"xenstore-write /local/domain/{domid}/memory/target {kib}"
    return Fix("host", (command,), note="KiB, digits only")


@check("static-max-moved", severity="info", do="nothing, or reboot", needs=(STATIC_MAX,))
def static_max_moved(seen: Examination) -> Finding | None:
    """static-max was changed after boot; the driver uses the first."""
    record, host, offset = seen.snapshot.boot_record, seen.snapshot.host, seen.situation.offset
    now_kib, recorded_kib = host.static_max_kib, record.static_max_kib if record else None
    if now_kib is None or host.hotplug_max_kib is not None:
        return None  # with memory hotplug, Qubes moves it with each target
    by_offset = (
        offset is not None
        and offset.basis in ("settled-target", "plain-map")
        and seen.situation.boot.ram_kib is not None
    )
    if not by_offset and recorded_kib in (None, now_kib):
        return None
    return Finding(
        summary="memory/static-max was changed after boot; the kernel goes by the one it read "
        "first.",
        evidence={"memory/static-max_kib": now_kib},
        cause="xl mem-max, or a toolstack that moves static-max with the target.",
        remark="nothing to do; a reboot lets the kernel read the new one",
    )


@check("videoram-minus-one", severity="info", do="`videoram=0`", needs=(XENSTORE,))
def videoram_minus_one(seen: Examination) -> Finding | None:
    """Old xl: -1 for no video memory, mem-set misses by 1 KiB."""
    if seen.snapshot.host.videoram_kib != -1:
        return None
    return Finding(
        summary="The toolstack wrote -1 as video memory, which makes xl mem-set miss by 1 KiB.",
        evidence={"memory/videoram_kib": -1},
        cause="xl writes -1 where the configuration of a PV or PVH guest does not set videoram.",
        fixes=() if seen.snapshot.domain.is_dom0 else (configure(seen.snapshot, "videoram=0"),),
    )


@check("hvm-below-configured", severity="info", do="nothing", needs=(*DRIVER, TARGET))
def hvm_below_configured(seen: Examination) -> Finding | None:
    """The kernel aims below the host's target by design."""
    offset, domain_type = seen.situation.offset, seen.snapshot.domain.domain_type
    if domain_type != "hvm" or offset is None or not offset.kib:
        return None
    if seen.situation.state != "settled":
        return None
    return Finding(
        summary=f"The kernel aims {format_kib(offset.kib)} below the host's target. This is by "
        "design.",
        evidence={"offset_kib": offset.kib, "offset_basis": offset.basis},
        cause="The host counts firmware and video pages that are no RAM for the guest.",
    )


@check(
    "pod-gap",
    severity="critical",
    do="memory = maxmem, or a kernel with the driver",
    needs=(TARGET, STATIC_MAX),
)
def pod_gap(seen: Examination) -> Finding | None:
    """An HVM or PVH guest without a driver was given less than its map has.

    Xen kills it when it uses more.
    """
    snapshot, host = seen.snapshot, seen.snapshot.host
    if snapshot.balloon is not None or snapshot.domain.domain_type not in ("hvm", "pvh"):
        return None
    given_kib = host.initial_target_kib or host.target_kib
    if given_kib is None or host.static_max_kib is None or _uses_more_than(seen, given_kib):
        return None
    gap_kib = host.static_max_kib - given_kib - host.video_kib
    if gap_kib <= 2 * MIB_KIB:
        return None
    advice = "memory= and maxmem= the same, until the guest's kernel has CONFIG_XEN_BALLOON=y"
    return Finding(
        summary=f"The guest believes it has {format_kib(gap_kib)} more than it was given: Xen "
        "kills it when it uses them."
        if host.initial_target_kib
        else f"The guest believes it has {format_kib(gap_kib)} more than the host's target: if it "
        "was started so, Xen kills it when it uses them.",
        evidence={
            "given_kib": given_kib,
            "memory/static-max_kib": host.static_max_kib,
            "gap_kib": gap_kib,
            "xen_memory0": "absent",
        },
        cause="The domain was started with memory below maxmem (populate on demand), which only a "
        "balloon driver makes good; there is none.",
        fixes=(configure(snapshot, advice, qubes="maxmem 0"),),
    )


def _uses_more_than(seen: Examination, given_kib: int) -> bool:
    """Whether pages beyond that are in use and the guest lives: it was started with them."""
    memory = seen.snapshot.memory
    return memory is not None and memory.total_kib - memory.free_kib > given_kib
