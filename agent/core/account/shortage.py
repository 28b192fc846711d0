# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the guest is short of memory: the one answer for every screen, key and decision.

What is available decides.  Pressure alone does not: its averages decay for minutes after the last
stall, and a control group that is held to its own limit stalls with gigabytes free.  A guest whose
programs wait counts as short somewhat earlier than one whose programs do not: what they wait for
then is the cache that MemAvailable still counts (mm/show_mem.c, si_mem_available).
"""

from __future__ import annotations

from typing import Final, Literal

from agent.core.facts.snapshot import MemoryReading, Pressure
from agent.core.facts.units import MIB_KIB

Shortage = Literal["none", "short", "stalled"]

STALLED_PERCENT: Final = 5.0
_LEAST_KIB: Final = 8 * MIB_KIB
_SHARE: Final = 33  # 3 %
_WHILE_STALLED: Final = 3


def least_available_kib(memory: MemoryReading) -> int:
    """What has to stay available; below that, the guest is short."""
    for_all_kib = memory.total_kib - memory.hugetlb_kib  # huge pages serve nobody else
    return max(_LEAST_KIB, for_all_kib // _SHARE)


def shortage(
    memory: MemoryReading | None,
    pressure: Pressure | None,
    stalled_percent: float = STALLED_PERCENT,
) -> Shortage:
    """`short`: next to nothing is available; `stalled`: and programs wait for it.

    `stalled_percent`: of the last ten seconds, in which no program got on.
    """
    if memory is None:
        return "none"
    least_kib = least_available_kib(memory)
    stalls = pressure is not None and pressure.full_avg10 >= stalled_percent
    if stalls and memory.available_kib < _WHILE_STALLED * least_kib:
        return "stalled"
    return "short" if memory.available_kib < least_kib else "none"
