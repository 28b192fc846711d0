# SPDX-License-Identifier: GPL-2.0-or-later
"""The doctor's rules about time: what changed between several looks, or since the boot."""

from __future__ import annotations

from typing import Final

from agent.core.facts.units import MIB_KIB, format_kib
from agent.core.findings.examination import Examination, Look, Watch
from agent.core.findings.finding import Finding
from agent.core.findings.host_commands import set_populated, stop_balancing

# The balloon's thread sleeps when it has nothing to do; these shares of one CPU are far more than
# its polling once a second costs.
_BUSY_PERCENT: Final = 5.0
_BUSY_SINCE_BOOT_PERCENT: Final = 5.0
_LONG_ENOUGH_S: Final = 600.0
_TURNS_OF_AN_OSCILLATION: Final = 4
_SHORT_PERCENT: Final = 10


def kthread_busy(examination: Examination) -> Finding | None:
    """The balloon's kernel thread takes CPU time although nothing moves."""
    watch, processes = examination.watch, examination.processes
    uptime_s = examination.situation.snapshot.uptime_s
    if processes is None or processes.balloon_thread_s is None:
        return None
    percent, span_s, limit = 0.0, 0.0, _BUSY_PERCENT
    if watch is not None and _stands_still(watch):
        first, last = watch.looks[0].balloon_thread_s, watch.looks[-1].balloon_thread_s
        if first is not None and last is not None:
            percent, span_s = (last - first) * 100 / watch.lasted_s, watch.lasted_s
    elif watch is None and uptime_s is not None and uptime_s >= _LONG_ENOUGH_S:
        percent, span_s = processes.balloon_thread_s * 100 / uptime_s, uptime_s
        limit = _BUSY_SINCE_BOOT_PERCENT
    if percent <= limit:
        return None
    return Finding(
        "kthread-busy", "warning",
        f"The kernel thread [xen-balloon] takes {percent:.0f} % of a CPU while the balloon stands "
        "still.",
        {"cpu_percent": round(percent, 1), "over_s": round(span_s, 1)},
        f"{set_populated(examination.situation, watch.looks[-1].current_kib or 0)}  # on the host: "
        "a target that can be reached"
        if watch is not None
        else "balloon-agent doctor --seconds 60  # shows whether it is so now",
        cause="It polls for something that does not come: a target beyond what can be added, or "
        "one that the host changes again and again.",
        actor="either",
    )  # fmt: skip


def memory_stalls(examination: Examination) -> Finding | None:
    """Processes were killed or kept waiting for want of memory while the balloon holds some."""
    balloon, watch = examination.situation.snapshot.balloon, examination.watch
    counters = examination.counters
    if counters is None or balloon is None or not examination.situation.headroom.up_kib:
        return None
    first = watch.looks[0].counters if watch else None
    last = watch.looks[-1].counters if watch else None
    kills = stalls = swapped = 0
    if first is not None and last is not None:
        kills = last.oom_kills - first.oom_kills
        stalls = last.allocation_stalls - first.allocation_stalls
        swapped = last.swapped_out_pages - first.swapped_out_pages
    busy = kills > 0 or (stalls > 0 and swapped > 0)
    if not busy and not counters.oom_kills:
        return None
    more_kib = balloon.current_kib or 0
    more_kib += min(examination.situation.headroom.up_kib, more_kib // 4 // MIB_KIB * MIB_KIB)
    summary = (
        "The guest is short of memory right now: it kills or swaps while the host could give more."
        if busy
        else f"{_processes(counters.oom_kills)} killed for want of memory since the boot, and "
        f"the host could give {format_kib(examination.situation.headroom.up_kib)} more."
    )
    return Finding(
        "memory-stalls", "critical" if busy else "warning",
        summary,
        {
            "oom_kills_since_boot": counters.oom_kills,
            "oom_kills_watched": kills,
            "allocation_stalls_watched": stalls,
            "swapped_out_pages_watched": swapped,
        },
        f"{set_populated(examination.situation, more_kib)}  # on the host",
        cause="The target is, or was, below what the guest needs; the Xen balloon does not "
        "deflate by itself before the OOM killer comes.",
        actor="host",
    )  # fmt: skip


def _processes(count: int) -> str:
    return "1 process was" if count == 1 else f"{count} processes were"


def target_oscillation(examination: Examination) -> Finding | None:
    """The host moves the target up and down."""
    watch = examination.watch
    turns = _turns(watch) if watch else 0
    if watch is None or turns < _TURNS_OF_AN_OSCILLATION:
        return None
    snapshot = examination.situation.snapshot
    return Finding(
        "target-oscillation", "warning",
        f"The host changed its mind {turns} times within {watch.lasted_s:.0f} s.",
        {"turns": turns, "over_s": round(watch.lasted_s, 1)},
        f"{stop_balancing(snapshot, snapshot.host.target_kib or 0)}  # on the host: a fixed size "
        "stops it",
        cause="A toolstack that divides memory keeps dividing while another guest does not follow.",
        actor="host",
    )  # fmt: skip


def dom0_autoballoon(examination: Examination) -> Finding | None:
    """dom0 gives its memory to new guests, because nobody fixed its size."""
    situation, watch = examination.situation, examination.watch
    if not situation.snapshot.domain.is_dom0:
        return None
    balloon, nr_pages = situation.snapshot.balloon, situation.boot.nr_pages
    if balloon is None or balloon.current_kib is None:
        return None
    targets = {look.host_target_kib for look in watch.looks} if watch else set()
    moves = len(targets) > 1
    map_kib = situation.boot.ram_kib
    whole = nr_pages is not None and map_kib is not None and nr_pages.pages * 4 * 10 >= map_kib * 9
    boot_kib = nr_pages.pages * 4 if nr_pages else 0
    shrunk = whole and balloon.current_kib * 10 < boot_kib * 9
    if not moves and not shrunk:
        return None
    return Finding(
        "dom0-autoballoon", "warning" if moves else "info",
        "dom0's memory changes by itself."
        if moves
        else f"dom0 was started with {format_kib(boot_kib)}, all of its map, and has "
        f"{format_kib(balloon.current_kib)} now.",
        {"boot_kib": boot_kib, "current_kib": balloon.current_kib, "targets_seen": len(targets)},
        "dom0_mem=4096M,max:4096M  # on Xen's command line; autoballoon=off in /etc/xen/xl.conf",
        cause="Without dom0_mem=, xl and libvirt take memory from dom0 for each guest they start. "
        "Xen's command line cannot be read without privileges, so this is a conclusion.",
        actor="host",
    )  # fmt: skip


def host_does_not_move(examination: Examination) -> Finding | None:
    """A guest that runs low under a toolstack that should be giving."""
    watch, situation = examination.watch, examination.situation
    toolstack, memory = situation.snapshot.domain.toolstack, situation.snapshot.memory
    if watch is None or memory is None or toolstack not in ("xapi", "qubes"):
        return None
    if situation.state != "settled" or not situation.headroom.up_kib:
        return None
    first, last = watch.looks[0], watch.looks[-1]
    if first.available_kib is None or last.available_kib is None or not memory.total_kib:
        return None
    steady = len({look.host_target_kib for look in watch.looks}) == 1
    low = last.available_kib * 100 < memory.total_kib * _SHORT_PERCENT
    if not (steady and low and last.available_kib < first.available_kib):
        return None
    return Finding(
        "host-does-not-move", "warning",
        "The guest runs low, and the host has not moved memory/target meanwhile.",
        {
            "available_kib": last.available_kib,
            "available_before_kib": first.available_kib,
            "over_s": round(watch.lasted_s, 1),
        },
        "systemctl restart qubes-qmemman.service  # in dom0"
        if toolstack == "qubes"
        else "systemctl restart squeezed.service  # in dom0",
        cause="The balloon does what it is told; whoever divides the memory on the host is stuck "
        "or has none left.",
        actor="host",
    )  # fmt: skip


def _stands_still(watch: Watch) -> bool:
    """Whether the balloon had nothing to do: current_kb was the same in every look."""
    return len({look.current_kib for look in watch.looks}) == 1


def _turns(watch: Watch) -> int:
    """How often the host's target changed direction."""
    steps = [_step(earlier, later) for earlier, later in zip(watch.looks, watch.looks[1:])]
    moves = [step for step in steps if step]
    return sum((a > 0) != (b > 0) for a, b in zip(moves, moves[1:]))


def _step(earlier: Look, later: Look) -> int:
    if earlier.host_target_kib is None or later.host_target_kib is None:
        return 0
    return later.host_target_kib - earlier.host_target_kib
