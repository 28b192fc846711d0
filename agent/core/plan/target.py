# SPDX-License-Identifier: GPL-2.0-or-later
"""Would `xl mem-set DOMAIN SIZE` hurt this running guest, now?

Judged from one snapshot: what is in use, the floor that headroom keeps, swap, pressure, what the
balloon holds, and whether hot-added memory would come online.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from agent.core.account.driver import may_hot_add
from agent.core.account.headroom import limit_kib
from agent.core.account.shortage import shortage
from agent.core.account.situation import Situation
from agent.core.facts.snapshot import MemoryReading, Snapshot
from agent.core.facts.units import MIB_KIB, format_kib
from agent.core.findings.host_commands import on_host_scale_kib
from agent.core.plan.plan import SECTION_KIB

Answer = Literal["yes", "risky", "no"]

_RANK: Final[dict[Answer, int]] = {"yes": 0, "risky": 1, "no": 2}
_NO_HOST_WORD: Final = "Whether the host has the memory cannot be seen from inside"


class Advice(NamedTuple):
    """The answer; KiB, targets as `xl mem-set` counts them, None where it cannot be told.

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
    mem_total_kib: int | None
    available_kib: int | None
    safe_from_kib: int | None
    safe_to_kib: int | None
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
    below_kib = _below_host_kib(situation)
    kernel_kib = snapshot.domain.whole_pages_kib(target_kib) - below_kib
    change_kib = kernel_kib - balloon.current_kib
    if change_kib < 0:
        found = _shrink(situation, memory, balloon.current_kib, kernel_kib)
    else:
        found = _grow(situation, target_kib, change_kib)
    found += _state(situation)
    answer = max((verdict.answer for verdict in found), key=_RANK.__getitem__)
    found.sort(key=lambda verdict: -_RANK[verdict.answer])
    floor_kib = situation.headroom.floor_kib
    return Advice(
        answer,
        target_kib,
        kernel_kib,
        max(0, memory.total_kib + change_kib),
        max(0, memory.available_kib + change_kib),
        None if floor_kib is None else -(-(floor_kib + below_kib) // MIB_KIB) * MIB_KIB,
        _safe_to_kib(situation, balloon.current_kib, below_kib),
        tuple(verdict.reason for verdict in found),
    )


def _below_host_kib(situation: Situation) -> int:
    """By how much target_kb stays below the size that `xl mem-set` is told."""
    return on_host_scale_kib(situation, 0)


def _shrink(
    situation: Situation, memory: MemoryReading, current_kib: int, kernel_kib: int
) -> list[_Verdict]:
    """Taking memory away: what is in use decides."""
    in_use_kib = current_kib - memory.available_kib
    floor_kib = situation.headroom.floor_kib or in_use_kib
    left = f"{format_kib(max(0, kernel_kib - in_use_kib))} would stay available"
    found = [_Verdict("yes", f"{left}, and the floor keeps {format_kib(floor_kib - in_use_kib)}.")]
    if kernel_kib < in_use_kib:
        found = [_to_swap(situation.snapshot, memory, in_use_kib - kernel_kib)]
    elif kernel_kib < floor_kib:
        found = [
            _Verdict("risky", f"Only {left}, less than the floor of {format_kib(floor_kib)} keeps.")
        ]
    if shortage(memory, situation.snapshot.pressure) != "none":
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


def _grow(situation: Situation, target_kib: int, change_kib: int) -> list[_Verdict]:
    """Giving memory: the limit, the balloon, and hot-adding decide."""
    if change_kib == 0:
        return [_Verdict("yes", "The guest has that much now.")]
    most_kib = _most_asked_kib(situation.snapshot)
    if most_kib is not None and target_kib > most_kib:
        return [
            _Verdict(
                "no",
                f"The host refuses more than its limit ({format_kib(most_kib)}): raise it with "
                "xl mem-max first.",
            )
        ]
    balloon = situation.snapshot.balloon
    held_kib = (balloon.ballooned_kib if balloon else None) or 0
    if change_kib <= held_kib:
        return [
            _Verdict("yes", f"The balloon holds {format_kib(held_kib)} to grow from."),
            _Verdict("yes", f"{_NO_HOST_WORD}."),
        ]
    return [_hot_add(situation, change_kib - held_kib), _Verdict("yes", f"{_NO_HOST_WORD}.")]


def _most_asked_kib(snapshot: Snapshot) -> int | None:
    """The largest size that `xl mem-set` takes.

    libxl takes the video memory off what it is told before it compares with static-max
    (libxl_mem.c, libxl_set_memory_target); xend compared what it was told.
    """
    most_kib = limit_kib(snapshot)
    if most_kib is None or snapshot.domain.toolstack not in ("libxl", "qubes"):
        return most_kib
    return most_kib + snapshot.host.video_kib


def _hot_add(situation: Situation, missing_kib: int) -> _Verdict:
    snapshot = situation.snapshot
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
        return [
            _Verdict(
                "risky",
                f"The balloon does not reach its present target ({situation.state}): see status.",
            )
        ]
    return []


def _safe_to_kib(situation: Situation, current_kib: int, below_kib: int) -> int | None:
    """How far up without harm: what the balloon holds, or the limit where memory comes online."""
    snapshot = situation.snapshot
    held_kib = (snapshot.balloon.ballooned_kib if snapshot.balloon else None) or 0
    most_kib = _most_asked_kib(snapshot)
    online = snapshot.blocks is not None and (snapshot.blocks.auto_online or "").startswith(
        "online"
    )
    if online and snapshot.hotplug_unpopulated is not None and most_kib is not None:
        return most_kib
    return current_kib + held_kib + below_kib
