# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a guest comes up with what its kernel leaves of the memory, and why not.

Seen on real guests: with memory=128 and maxmem=4096 a PV guest comes up, has 52 MiB of MemTotal
and starves before it can run a program of any size; with memory=256 (150 MiB) all is well.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from agent.core.facts.units import MIB_KIB, format_kib

MEM_TOTAL_NO_KIB: Final = 24 * MIB_KIB  # below it the kernel cannot start init
MEM_TOTAL_RISKY_KIB: Final = 64 * MIB_KIB  # below it init hardly runs a program
# What 32 bits map for good (LowTotal): 896 MiB less their own tables, seen with 1 GiB; less what
# the hypervisor's hole takes of the top of a PV guest below a 64-bit Xen.
_LOW_KIB: Final = 853 * MIB_KIB
_LOW_PV_KIB: Final = 727 * MIB_KIB

Boots = Literal["yes", "risky", "no"]


class BootVerdict(NamedTuple):
    """`code` names the limit that is in the way, None when none is."""

    boots: Boots
    code: str | None
    reason: str


def low_memory_kib(*, is_pv: bool) -> int:
    """How much of its memory a 32-bit kernel reaches at all times; its tables must fit in there."""
    return _LOW_PV_KIB if is_pv else _LOW_KIB


def boot_verdict(
    memory_kib: int, overhead_kib: int, mem_total_kib: int, *, bits: int = 64, is_pv: bool = True
) -> BootVerdict:
    """Judge a boot with `memory_kib` populated of which Linux leaves `mem_total_kib`."""
    if bits == 32:
        low_kib = min(memory_kib, low_memory_kib(is_pv=is_pv))
        if overhead_kib > low_kib - MEM_TOTAL_NO_KIB:
            return BootVerdict(
                "no", "low-memory-32bit",
                f"what Linux keeps ({format_kib(overhead_kib)}, page structures of the map above "
                f"all) does not fit into {format_kib(low_kib)} of low memory",
            )  # fmt: skip
    if mem_total_kib < MEM_TOTAL_NO_KIB:
        left = f"{format_kib(mem_total_kib)} would be" if mem_total_kib > 0 else "nothing would be"
        return BootVerdict("no", "memory-too-small", f"{left} left for programs")
    if mem_total_kib < MEM_TOTAL_RISKY_KIB:
        return BootVerdict(
            "risky", "memory-too-small", f"only {format_kib(mem_total_kib)} are left for programs"
        )
    return BootVerdict("yes", None, f"{format_kib(mem_total_kib)} are left for programs")
