# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest is short of memory."""

from __future__ import annotations

from typing import Final

from agent.core.account.driver import Driver
from agent.core.account.shortage import shortage
from agent.core.facts.snapshot import MemoryReading, Pressure
from agent.core.facts.units import MIB_KIB, format_kib
from agent.core.findings.examination import Examination
from agent.core.findings.finding import Evidence, Finding, Fix, known
from agent.core.findings.guest_commands import aim_at
from agent.core.findings.host_commands import give_at_least, make_larger
from agent.core.findings.registry import DRIVER, check

# What the host could give has to be some help.
WORTH_KIB: Final = 8 * MIB_KIB


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
    memory = seen.snapshot.memory
    if up_kib < WORTH_KIB or driver is None or memory is None or _shortage(seen) == "none":
        return None
    return Finding(
        severity="critical" if _shortage(seen) == "stalled" else "warning",
        summary=f"{seen.snapshot.domain.called(first=True)} is short of memory "
        f"({format_kib(memory.available_kib)} available) while the host could still give "
        f"{format_kib(up_kib)}.",
        evidence=_shortness(memory, seen.snapshot.pressure),
        cause=f"The target is below what {seen.snapshot.domain.called()} uses; the Xen balloon "
        "gives nothing back by itself when memory runs short.",
        fixes=(give_more(seen, driver, up_kib),),
    )


def give_more(seen: Examination, driver: Driver, up_kib: int) -> Fix:
    """A quarter more; or what the host gives already, where the kernel aims at less."""
    wanted_kib = seen.situation.host_target_on_kernel_scale_kib
    if wanted_kib is not None and wanted_kib > max(driver.target_kib, driver.current_kib):
        return aim_at(min(wanted_kib, driver.current_kib + up_kib), "what the host gives")
    quarter_kib = driver.current_kib // 4 // MIB_KIB * MIB_KIB
    larger_kib = max(wanted_kib or 0, driver.current_kib + quarter_kib)
    return give_at_least(seen.situation, min(driver.current_kib + up_kib, larger_kib))


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
    memory = seen.snapshot.memory
    if memory is None or _shortage(seen) == "none":
        return None
    held_kib = seen.driver.ballooned_kib if seen.driver else 0
    return Finding(
        severity="critical" if _shortage(seen) == "stalled" else "warning",
        summary=f"{seen.snapshot.domain.called(first=True)} is short of memory "
        f"({format_kib(memory.available_kib)} available), and has all that the host lets it have.",
        evidence=_shortness(memory, seen.snapshot.pressure),
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


def _shortness(memory: MemoryReading, pressure: Pressure | None) -> Evidence:
    return {
        "available_kib": memory.available_kib,
        "available_percent": round(memory.available_kib * 100 / max(1, memory.total_kib), 1),
        "full_avg10_percent": known(pressure and pressure.full_avg10),
    }
