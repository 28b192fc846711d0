# SPDX-License-Identifier: GPL-2.0-or-later
"""Time: what changed between several looks, or since the boot."""

from __future__ import annotations

from typing import Final

from agent.core.account.shortage import least_available_kib
from agent.core.facts.snapshot import DomainFacts
from agent.core.facts.units import GIB_KIB, MIB_KIB, format_kib, pages_to_kib
from agent.core.findings.examination import Examination, VmCounters, Watch
from agent.core.findings.finding import Evidence, Finding, Fix, known
from agent.core.findings.memory import WORTH_KIB, give_more
from agent.core.findings.registry import DRIVER, check

# The balloon's thread sleeps when it has nothing to do; these shares of one CPU are far more than
# its polling once a second costs.
_BUSY_PERCENT: Final = 5.0
_LONG_ENOUGH_S: Final = 600.0
_TURNS_OF_AN_OSCILLATION: Final = 4
_SOON_SHORT: Final = 3  # times what has to stay available
_USUAL_DOM0_KIB: Final = 4 * GIB_KIB
_MINUTE: Final = "minute-of-watching"


@check(
    "kthread-busy",
    severity="warning",
    do="a target that can be reached",
    needs=("processes",),
    because=(
        "target-retrying", "target-cancelled", "not-seen-moving", "hotplug-refused",
        "hotplug-offline", "target-oscillation",
    ),
)  # fmt: skip
def kthread_busy(seen: Examination) -> Finding | None:
    """The balloon's kernel thread takes CPU time although nothing moves."""
    watch, processes, uptime_s = seen.watch, seen.processes, seen.snapshot.uptime_s
    if processes is None or processes.balloon_thread_s is None:
        return None
    percent, span_s = 0.0, 0.0
    if watch is not None and len({look.current_kib for look in watch.looks}) == 1:  # it stood still
        first, last = watch.looks[0].balloon_thread_s, watch.looks[-1].balloon_thread_s
        if first is not None and last is not None:
            percent, span_s = (last - first) * 100 / watch.lasted_s, watch.lasted_s
    elif watch is None and uptime_s is not None and uptime_s >= _LONG_ENOUGH_S:
        percent, span_s = processes.balloon_thread_s * 100 / uptime_s, uptime_s
    if percent <= _BUSY_PERCENT:
        return None
    return Finding(
        summary=f"The kernel thread [xen-balloon] takes {percent:.0f} % of a CPU while the balloon "
        "stands still.",
        evidence={"cpu_percent": round(percent, 1), "over_s": round(span_s, 1)},
        cause="It polls for something that does not come: a target beyond what can be added, or "
        "one that the host changes again and again.",
        remark="balloon-agent doctor --seconds 60 shows whether it is so now, and what moves",
    )


@check(
    "memory-stalls",
    severity="warning; critical when it happens while the doctor looks; info where XAPI has given "
    "all back",
    do="`xl mem-set` with more",
    needs=("vmstat",),
    because=("units-trap", "pressure-after-deflate"),
)
def memory_stalls(seen: Examination) -> Finding | None:
    """Processes were killed or kept waiting for want of memory while the host could give more.

    Those killed at the limit of a control group of their own do not count.
    """
    driver, counters = seen.driver, seen.counters
    if counters is None or driver is None:
        return None
    up_kib = seen.situation.headroom.reach_kib or 0
    own = _kills_of_groups(seen, counters.oom_kills)
    since_boot, watched = counters.oom_kills - own, _counted_within(seen.watch)
    evidence: Evidence = {
        "oom_kills_since_boot": counters.oom_kills,
        "oom_kills_of_groups": known(own if _log_tells_kills(seen) else None),
        "oom_kills_watched": watched.oom_kills,
        "allocation_stalls_watched": watched.allocation_stalls,
        "swapped_out_pages_watched": watched.swapped_out_pages,
    }
    if up_kib < WORTH_KIB:
        return _killed_when_smaller(seen, since_boot, evidence)
    busy = watched.oom_kills > 0 and since_boot > 0
    busy = busy or (watched.allocation_stalls > 0 and watched.swapped_out_pages > 0)
    if not busy and not since_boot:
        return None
    summary = (
        f"{seen.snapshot.domain.called(first=True)} is short of memory right now: it kills or "
        "swaps while the host could give more."
        if busy
        else f"{_processes(since_boot)} killed for want of memory since the boot, and the host "
        f"could give {format_kib(up_kib)} more."
    )
    return Finding(
        severity="critical" if busy else "warning",
        summary=summary,
        evidence=evidence,
        cause=f"The target is, or was, below what {seen.snapshot.domain.called()} needs; the Xen "
        "balloon does not deflate by itself before the OOM killer comes."
        + _what_the_log_forgot(seen),
        # What was killed long ago is no reason to paste anything now.
        fixes=(give_more(seen, driver, up_kib),) if busy else (),
        remark=_should_it_come_again(seen.snapshot.domain),
    )


def _counted_within(watch: Watch | None) -> VmCounters:
    """What was counted between the first look and the last."""
    first = watch.looks[0].counters if watch else None
    last = watch.looks[-1].counters if watch else None
    if first is None or last is None:
        return VmCounters(0, 0, 0)
    return VmCounters(*(after - before for before, after in zip(first, last)))


def _should_it_come_again(domain: DomainFacts) -> str:
    if not domain.is_dom0:
        return "nothing to paste: it is over; if it comes again, let the guest have more"
    words = "it is over; if it comes again: dom0_mem=SIZE,max:SIZE on Xen's command line"
    if domain.toolstack == "qubes":
        words += ", or dom0-mem-boost in /etc/qubes/qmemman.conf"
    return words


def _killed_when_smaller(seen: Examination, kills: int, evidence: Evidence) -> Finding | None:
    """XAPI takes a VM down to dynamic-min for as long as it migrates or suspends it."""
    least_kib, driver = seen.snapshot.host.dynamic_min_kib, seen.driver
    if not kills or driver is None or least_kib is None or driver.way_kib:
        return None
    if seen.snapshot.domain.toolstack != "xapi" or least_kib + WORTH_KIB > driver.current_kib:
        return None
    note = f"if it comes with migrations, raise the VM's dynamic-min ({format_kib(least_kib)})"
    return Finding(
        severity="info",
        summary=f"{_processes(kills)} killed for want of memory since the boot; the guest has all "
        "that it may have now.",
        evidence={**evidence, "memory/dynamic-min_kib": least_kib},
        cause="Perhaps it was smaller then: XAPI takes a VM down to its dynamic-min to migrate or "
        "suspend it, and what it uses may not fit in there." + _what_the_log_forgot(seen),
        fixes=(Fix("host", note=note),),
    )


def _log_tells_kills(seen: Examination) -> bool:
    """The counter does not tell whose limit it was; the log does, for as long as it holds that."""
    if seen.counters is not None and not seen.counters.oom_kills:
        return True
    complaints = seen.complaints
    return complaints is not None and bool(complaints.kills or complaints.group_kills)


def _what_the_log_forgot(seen: Examination) -> str:
    if seen.complaints is None or _log_tells_kills(seen):
        return ""
    return (
        " The kernel's log does not hold these kills any more, so it cannot be told whether some "
        "were for the limit of a control group."
    )


def _kills_of_groups(seen: Examination, oom_kills: int) -> int:
    """How many of the kills were for a control group's own limit, which the counter counts too.

    The log is a ring: where it tells of such kills alone, so were those it has forgotten.
    """
    complaints = seen.complaints
    if complaints is None or not complaints.group_kills:
        return 0
    return oom_kills if not complaints.kills else min(oom_kills, complaints.group_kills)


def _processes(count: int) -> str:
    return "1 process was" if count == 1 else f"{count} processes were"


@check(
    "target-oscillation",
    severity="warning",
    do="a fixed size, or find the guest that does not follow",
    needs=(_MINUTE,),
)
def target_oscillation(seen: Examination) -> Finding | None:
    """The host moves the target up and down."""
    watch = seen.watch
    turns = _turns(watch) if watch else 0
    if watch is None or turns < _TURNS_OF_AN_OSCILLATION:
        return None
    return Finding(
        summary=f"The host changed its mind {turns} times within {watch.lasted_s:.0f} s.",
        evidence={"turns": turns, "over_s": round(watch.lasted_s, 1)},
        cause="A toolstack or a script that divides memory keeps dividing while another guest does "
        "not follow.",
        fixes=(Fix("host", note=_who_keeps_dividing(seen.snapshot.domain.toolstack)),),
    )


def _who_keeps_dividing(toolstack: str | None) -> str:
    if toolstack == "qubes":
        return (
            "find the qube that does not follow (qubesd's and qmemman's journal); "
            "qvm-prefs QUBE maxmem 0 takes one out of the balancing from its next start"
        )
    if toolstack == "xapi":
        return "find the VM that is marked uncooperative (xe vm-list)"
    return "find what writes memory/target; another command of it would be overwritten"


@check(
    "dom0-autoballoon",
    severity="info; warning while it moves and nobody fixed its size",
    do="`dom0_mem=SIZE,max:SIZE` on Xen's command line, and autoballoon=off in xl.conf",
    needs=DRIVER,
)
def dom0_autoballoon(seen: Examination) -> Finding | None:
    """dom0 gives its memory to new guests, because nobody fixed its size."""
    situation, watch, driver = seen.situation, seen.watch, seen.driver
    domain = seen.snapshot.domain
    if driver is None or not domain.is_dom0 or domain.toolstack == "qubes":
        return None
    targets = {look.host_target_kib for look in watch.looks} if watch else set()
    moves = len(targets) > 1
    nr_pages, map_kib = situation.boot.nr_pages, situation.boot.ram_kib
    boot_kib = pages_to_kib(nr_pages.pages) if nr_pages else _whole_kib(seen)
    least_kib, shrunk = min(driver.current_kib, driver.target_kib), False
    if boot_kib is not None and map_kib is not None:
        shrunk = boot_kib * 10 >= map_kib * 9 and least_kib * 10 < boot_kib * 9
    if not moves and not shrunk:
        return None
    size_mib = _ample_kib(situation.headroom.floor_kib or 0, boot_kib) // MIB_KIB
    fixed = f"dom0_mem={size_mib}M,max:{size_mib}M on Xen's command line"
    return Finding(
        severity="warning" if moves else "info",
        summary="dom0's memory changes by itself."
        if moves
        else f"dom0 was started with {format_kib(boot_kib or 0)}, all of its map, and "
        f"{'goes to' if driver.way_kib else 'has'} {format_kib(driver.target_kib)} now.",
        evidence={
            "boot_kib": known(boot_kib),
            "current_kib": driver.current_kib,
            "target_kib": driver.target_kib,
            "targets_seen": len(targets),
        },
        cause="Without dom0_mem=, xl and libvirt take memory from dom0 for each guest they start. "
        "Xen's command line cannot be read without privileges, so this is a conclusion.",
        fixes=(Fix("host", (), "next-boot", f"{fixed}, and autoballoon=off in /etc/xen/xl.conf"),),
    )


def _ample_kib(floor_kib: int, boot_kib: int | None) -> int:
    """Whole GiB that serve what dom0 uses, and not less than is usual on a host of that size."""
    usual_kib = _USUAL_DOM0_KIB if boot_kib is None else min(_USUAL_DOM0_KIB, boot_kib // 2)
    return max(1, -(-max(floor_kib, usual_kib) // GIB_KIB)) * GIB_KIB


def _whole_kib(seen: Examination) -> int | None:
    """What a dom0 had that gives back what its own map holds: no limit was set for it."""
    most_kib, driver = seen.snapshot.host.static_max_kib, seen.driver
    if most_kib is None or driver is None:
        return None
    held_kib = driver.current_kib + driver.ballooned_kib
    return held_kib if abs(held_kib - most_kib) <= MIB_KIB else None


@check(
    "host-does-not-move",
    severity="warning",
    do="see why the balancer does not give: the host's free memory, its journal",
    needs=(_MINUTE,),
    unless=("pressure-after-deflate",),
)
def host_does_not_move(seen: Examination) -> Finding | None:
    """A guest that runs low under a toolstack that should be giving."""
    watch, situation, memory = seen.watch, seen.situation, seen.snapshot.memory
    toolstack = seen.snapshot.domain.toolstack
    if watch is None or memory is None or toolstack not in ("xapi", "qubes"):
        return None
    if situation.state != "settled" or not situation.headroom.up_kib:
        return None
    first, last = watch.looks[0], watch.looks[-1]
    if first.available_kib is None or last.available_kib is None:
        return None
    steady = len({look.host_target_kib for look in watch.looks}) == 1
    low = last.available_kib < _SOON_SHORT * least_available_kib(memory)
    if not (steady and low and last.available_kib < first.available_kib):
        return None
    balancer = "qubes-qmemman" if toolstack == "qubes" else "squeezed"
    note = f"see in dom0 whether {balancer} runs, and what its journal says"
    return Finding(
        summary="The guest runs low, and the host has not moved memory/target meanwhile.",
        evidence={
            "available_kib": last.available_kib,
            "available_before_kib": first.available_kib,
            "over_s": round(watch.lasted_s, 1),
        },
        cause="The balloon does what it is told; whoever divides the memory on the host is stuck "
        "or has none left.",
        fixes=(Fix("host", note=note),),
    )


def _turns(watch: Watch) -> int:
    """How often the host's target changed direction."""
    targets = [look.host_target_kib for look in watch.looks]
    pairs = [(a, b) for a, b in zip(targets, targets[1:]) if a is not None and b is not None]
    rises = [b > a for a, b in pairs if a != b]
    return sum(rise != next_rise for rise, next_rise in zip(rises, rises[1:]))
