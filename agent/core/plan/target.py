# SPDX-License-Identifier: GPL-2.0-or-later
"""Would `xl mem-set DOMAIN SIZE` hurt this running guest, now?

Judged from one snapshot: what is in use, the floor that headroom keeps, swap, pressure, what the
balloon holds, and whether hot-added memory would come online.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from agent.core.account.driver import may_hot_add
from agent.core.account.headroom import limit_kib, needed_kib
from agent.core.account.shortage import shortage
from agent.core.account.situation import Situation
from agent.core.facts.snapshot import MemoryReading, Snapshot
from agent.core.facts.units import MIB_KIB, format_kib
from agent.core.findings.host_commands import on_host_scale_kib
from agent.core.plan.plan import SECTION_KIB

Answer = Literal["yes", "risky", "no"]

_RANK: Final[dict[Answer, int]] = {"yes": 0, "risky": 1, "no": 2}


class Advice(NamedTuple):
    """The answer; KiB, targets as `xl mem-set` counts them.

    Attributes:
        answer: "yes": it will not hurt; "risky"; "no": it hurts or cannot be reached.
        target_kib: what was asked for.
        kernel_target_kib: the same as target_kb will show it.
        mem_total_kib, available_kib: what is left then, if the programs stay as they are.
        safe_from_kib, safe_to_kib: between these it does not hurt.
        reasons: whole sentences, the weightiest first.
    """

    answer: Answer
    target_kib: int
    kernel_target_kib: int
    mem_total_kib: int
    available_kib: int
    safe_from_kib: int
    safe_to_kib: int
    reasons: tuple[str, ...]


class _Verdict(NamedTuple):
    answer: Answer
    reason: str


def advise(situation: Situation, target_kib: int) -> Advice | None:
    """None: neither current_kb nor MemAvailable could be read, so nothing can be said."""
    snapshot = situation.snapshot
    balloon, memory = snapshot.balloon, snapshot.memory
    if balloon is None or balloon.current_kib is None or memory is None:
        return None
    below_kib = on_host_scale_kib(situation, 0)  # target_kb, below what `xl mem-set` is told
    kernel_kib = snapshot.domain.whole_pages_kib(target_kib) - below_kib
    change_kib, held_kib = kernel_kib - balloon.current_kib, balloon.ballooned_kib or 0
    now_kib, floor_kib = balloon.current_kib + below_kib, needed_kib(balloon.current_kib, memory)
    if change_kib < 0:
        in_use_kib = balloon.current_kib - memory.available_kib
        found = _shrink(snapshot, memory, in_use_kib, floor_kib, kernel_kib)
    else:
        found = _grow(snapshot, target_kib, change_kib, held_kib)
    found += _state(situation)
    found.sort(key=lambda verdict: -_RANK[verdict.answer])
    return Advice(
        found[0].answer,
        target_kib,
        kernel_kib,
        max(0, memory.total_kib + change_kib),
        max(0, memory.available_kib + change_kib),
        min(now_kib, -(-(floor_kib + below_kib) // MIB_KIB) * MIB_KIB),
        _safe_to_kib(snapshot, now_kib, held_kib),
        tuple(verdict.reason for verdict in found),
    )


def _shrink(
    snapshot: Snapshot, memory: MemoryReading, in_use_kib: int, floor_kib: int, kernel_kib: int
) -> list[_Verdict]:
    """Taking memory away: what is in use decides."""
    left = f"{format_kib(max(0, kernel_kib - in_use_kib))} would stay available"
    found = [_Verdict("yes", f"{left}, and the floor keeps {format_kib(floor_kib - in_use_kib)}.")]
    if kernel_kib < in_use_kib:
        found = [_to_swap(snapshot, memory, in_use_kib - kernel_kib)]
    elif kernel_kib < floor_kib:
        found = [
            _Verdict("risky", f"Only {left}, less than the floor of {format_kib(floor_kib)} keeps.")
        ]
    if shortage(memory, snapshot.pressure) != "none":
        found.append(_Verdict("risky", "The guest is short of memory already."))
    return found


def _to_swap(snapshot: Snapshot, memory: MemoryReading, short_kib: int) -> _Verdict:
    """More is in use than would be left: whether it has anywhere to go.

    Huge pages cannot be swapped, and swap on zram lies in the memory that is to be taken away.
    """
    swap_kib = max(0, memory.swap_free_kib - snapshot.zram_free_kib)
    movable_kib = memory.total_kib - memory.available_kib - memory.hugetlb_kib
    if short_kib <= min(swap_kib, movable_kib):
        return _Verdict(
            "risky",
            f"{format_kib(short_kib)} that are in use would have to go to swap "
            f"({format_kib(swap_kib)} free).",
        )
    why = f"swap has {format_kib(swap_kib)}"
    if snapshot.zram_free_kib:
        why += " (zram lies in memory itself and makes none free)"
    if memory.hugetlb_kib:
        why += f", {format_kib(memory.hugetlb_kib)} are huge pages and cannot be swapped"
    return _Verdict(
        "no",
        f"{format_kib(short_kib)} more are in use than would be left; {why}: the guest would stall "
        "and the OOM killer take a program.",
    )


def _grow(snapshot: Snapshot, target_kib: int, change_kib: int, held_kib: int) -> list[_Verdict]:
    """Giving memory: the limit, the balloon, and hot-adding decide."""
    if change_kib == 0:
        return [_Verdict("yes", "The guest has that much now.")]
    most_kib = _most_asked_kib(snapshot)
    if most_kib is not None and target_kib > most_kib:
        refuses = f"The host refuses more than its limit ({format_kib(most_kib)})"
        return [_Verdict("no", f"{refuses}: {_how_to_raise(snapshot)}.")]
    grows = _Verdict("yes", f"The balloon holds {format_kib(held_kib)} to grow from.")
    if change_kib > held_kib:
        grows = _hot_add(snapshot, change_kib - held_kib)
    return [grows, _Verdict("yes", "Whether the host has the memory cannot be seen from inside.")]


def _how_to_raise(snapshot: Snapshot) -> str:
    """The limit, by what set it."""
    return {
        "libxl": "raise it with xl mem-max first",
        "xend": "raise it with xm mem-max first",
        "xapi": "static-max can be raised while the VM is shut down",
        "qubes": "the qube's maxmem can be raised for its next start",
    }.get(snapshot.domain.toolstack or "", "ask whoever runs the host to raise it")


def _most_asked_kib(snapshot: Snapshot) -> int | None:
    """The largest size that `xl mem-set` takes.

    libxl takes the video memory off what it is told before it compares with static-max
    (libxl_mem.c, libxl_set_memory_target); xend compared what it was told.
    """
    most_kib = limit_kib(snapshot)
    if most_kib is None or snapshot.domain.toolstack not in ("libxl", "qubes"):
        return most_kib
    return most_kib + snapshot.host.video_kib


def _hot_add(snapshot: Snapshot, missing_kib: int) -> _Verdict:
    beyond = f"{format_kib(missing_kib)} more than the balloon holds"
    if not may_hot_add(snapshot):
        return _Verdict("no", f"That is {beyond}, and this kernel cannot hot-add memory.")
    if snapshot.hotplug_unpopulated is None:
        return _Verdict("risky", f"That is {beyond}, and nothing tells whether it can hot-add.")
    size_kib = -(-missing_kib // SECTION_KIB) * SECTION_KIB
    if snapshot.blocks is None or snapshot.blocks.auto_online in (None, "offline"):
        return _Verdict(
            "risky",
            f"That is {beyond}: the kernel hot-adds {format_kib(size_kib)}, which stays offline "
            "until somebody puts it online (auto_online_blocks is offline).",
        )
    return _Verdict(
        "yes",
        f"That is {beyond}: the kernel hot-adds {format_kib(size_kib)}, whose page structures take "
        f"{format_kib(size_kib // 64)} of what is free.",
    )


def _state(situation: Situation) -> list[_Verdict]:
    if situation.state == "moving":
        return [_Verdict("risky", "The balloon is moving now: what is in use may change.")]
    if situation.state in ("retrying", "cancelled", "unreachable"):
        why = f"The balloon does not reach its present target ({situation.state}): see status."
        return [_Verdict("risky", why)]
    return []


def _safe_to_kib(snapshot: Snapshot, now_kib: int, held_kib: int) -> int:
    """How far up without harm: what the balloon holds, or the limit where memory comes online.

    The balloon may hold more than the host lets it have; what the guest has now is safe.
    """
    most_kib, reach_kib = _most_asked_kib(snapshot), now_kib + held_kib
    if most_kib is None:
        return reach_kib
    online = snapshot.blocks is not None and (snapshot.blocks.auto_online or "").startswith(
        "online"
    )
    if online and snapshot.hotplug_unpopulated is not None:
        reach_kib = most_kib
    return max(now_kib, min(reach_kib, most_kib))
