# SPDX-License-Identifier: GPL-2.0-or-later
"""A target in the wrong unit: as a number it is in order, as an amount of memory it is not.

    memory/target    KiB, written by the host
    target_kb        KiB, written in the guest
    target           bytes, in every kernel known; Documentation/ABI says pages

Nothing between whoever writes and the driver checks the number, and the driver gives away what
the guest runs on to reach it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.core.account.boot_facts import LARGEST_USUAL_KIB
from agent.core.account.headroom import limit_kib
from agent.core.account.situation import Situation
from agent.core.boot.verdict import MEM_TOTAL_NO_KIB
from agent.core.facts.bounds import LARGEST_KIB
from agent.core.facts.units import GIB_KIB, KIB, MIB_KIB, format_kib
from agent.core.findings.examination import Examination
from agent.core.findings.finding import Finding, Fix, known
from agent.core.findings.guest_commands import TARGET_FILE, aim_at
from agent.core.findings.host_commands import hold_at, on_host_scale_kib, set_memory
from agent.core.findings.registry import DRIVER, check

# No Linux lives in less, so nobody means it.
LEAST_KIB: Final = MEM_TOTAL_NO_KIB
# Nor in less than the kernel's page structures take: a 64th of the map, of 32 bits a 128th.
_STRUCTS_SHARE: Final = 128
_LARGER_UNITS_KIB: Final = (("MiB", MIB_KIB), ("GiB", GIB_KIB))
# Bytes for KiB make 1024 times as much; a guest is seldom meant to have less than an 8th.
_BYTES_FROM_TIMES: Final = 128


class Misread(NamedTuple):
    """A number that makes no sense as KiB and does in `unit`; `meant_kib` is what it is then."""

    number: int
    unit: str
    meant_kib: int


@check(
    "units-trap",
    severity="critical where the guest gives away what it runs on, else warning",
    do="write the target that was meant",
    needs=(*DRIVER, "balloon.target"),
)
def units_trap(seen: Examination) -> Finding | None:
    """A target in the wrong unit.

    `memory/target` in MiB, GiB or bytes instead of KiB; `target_kb` below 24 MiB, or a
    128th of the map, because somebody in the guest wrote another unit, or because the host asks for
    so little in any. Info: the file `target` is not in bytes, as it is in every kernel known.
    """
    misread = misread_host_target(seen.situation)
    if misread is not None:
        return _host_wrote(seen, misread)
    return _guest_wrote(seen) or _host_wrote_too_little(seen) or _file_differs(seen)


def misread_host_target(situation: Situation) -> Misread | None:
    """The unit in which memory/target makes sense, where KiB is not it."""
    host, driver = situation.snapshot.host, situation.driver
    number, most_kib = host.target_kib, _most_kib(situation)
    if not number or not most_kib:
        return None
    if driver is not None and driver.way_kib == 0:
        above_kib = number - driver.current_kib
        if 0 <= above_kib <= LARGEST_USUAL_KIB and driver.current_kib >= LEAST_KIB:
            return None  # what the guest rests at was meant
    if number >= most_kib * _BYTES_FROM_TIMES:
        meant_kib = number // KIB
        return Misread(number, "bytes", meant_kib) if LEAST_KIB <= meant_kib <= most_kib else None
    if number >= _least_lived_in_kib(situation):
        return None
    for unit, unit_kib in _LARGER_UNITS_KIB:
        if LEAST_KIB <= number * unit_kib <= most_kib:
            return Misread(number, unit, number * unit_kib)
    return None


def _least_lived_in_kib(situation: Situation) -> int:
    """The smallest target that any guest with this map can live at."""
    return max(LEAST_KIB, (situation.boot.ram_kib or 0) // _STRUCTS_SHARE)


def _most_kib(situation: Situation) -> int | None:
    """The largest target that makes sense; the host counts more than is in the guest's map."""
    snapshot, map_kib = situation.snapshot, situation.boot.ram_kib
    if (limit := limit_kib(snapshot)) is not None or map_kib is None:
        return limit
    video_kib = snapshot.host.video_kib
    return map_kib + (0 if snapshot.domain.is_pv else LARGEST_USUAL_KIB + video_kib)


def _host_wrote(seen: Examination, misread: Misread) -> Finding:
    number, too_much = misread.number, misread.unit == "bytes"
    return Finding(
        severity="warning" if too_much else "critical",
        summary=f"The host asks for {format_kib(number)} and seems to mean "
        f"{format_kib(misread.meant_kib)}: memory/target takes KiB, and {number} looks like "
        f"{misread.unit}.",
        evidence={
            "memory/target_kib": number,
            "most_kib": known(_most_kib(seen.situation)),
            "meant_kib": misread.meant_kib,
        },
        cause="memory/target was written by hand or by a script, in the wrong unit; "
        + (
            "the kernel tries to get there, in vain."
            if too_much
            else "the kernel gives away all it can, until nothing is left to run on."
        ),
        fixes=(_as_meant(seen, misread.meant_kib),),
    )


def _as_meant(seen: Examination, meant_kib: int) -> Fix:
    """What was meant; where the guest uses more than that, what it has.

    `meant_kib` is of memory/target; mem-set takes the video memory off what it is told.
    """
    situation, balloon, room = seen.situation, seen.snapshot.balloon, seen.situation.headroom
    current_kib = balloon.current_kib if balloon else None
    if current_kib is None:
        return set_memory(seen.snapshot, meant_kib)
    meant_kib -= situation.offset_kib
    if room.floor_kib is not None and meant_kib < room.floor_kib:
        return hold_at(situation, current_kib, "it uses more than seems to be meant")
    most_kib = meant_kib if room.reach_kib is None else current_kib + room.reach_kib
    return set_memory(
        seen.snapshot,
        on_host_scale_kib(situation, min(meant_kib, most_kib)),
        "" if meant_kib <= most_kib else "all that this kernel can have until its next start",
    )


def _guest_wrote(seen: Examination) -> Finding | None:
    """target_kb is less than anybody means, and not because the host said so."""
    driver, wanted_kib = seen.driver, seen.situation.host_target_on_kernel_scale_kib
    if driver is None or wanted_kib is None:
        return None
    if not driver.target_kib < _least_lived_in_kib(seen.situation) <= wanted_kib:
        return None
    return Finding(
        severity="critical",
        summary=f"The kernel aims at {format_kib(driver.target_kib)}, which no guest can live in; "
        f"the host's target means {format_kib(wanted_kib)}.",
        evidence={"target_kib": driver.target_kib, "wanted_kib": wanted_kib},
        cause="Somebody in the guest wrote target_kb, which is in KiB, or target, which is in "
        "bytes although its documentation says pages, in another unit.",
        fixes=(follow_or_ask(seen, wanted_kib),),
    )


def _host_wrote_too_little(seen: Examination) -> Finding | None:
    """The kernel follows a target that is less than anybody means, in whatever unit."""
    number, driver = seen.snapshot.host.target_kib, seen.driver
    if number is None or driver is None or driver.way_kib >= 0:
        return None
    if driver.target_kib != seen.situation.host_target_on_kernel_scale_kib:
        return None
    if number >= _least_lived_in_kib(seen.situation):
        return None
    return Finding(
        severity="critical",
        summary=f"The host asks for {format_kib(number)}, which this guest cannot live in.",
        evidence={"memory/target_kib": number, "target_kib": driver.target_kib},
        cause="memory/target was written by hand or by a script; the kernel gives away all it can, "
        "until nothing is left to run on.",
        fixes=(hold_at(seen.situation, driver.current_kib, "what it has"),),
    )


def follow_or_ask(seen: Examination, wanted_kib: int) -> Fix:
    """Nobody is told to paste a target below what the guest uses, or beyond what it may have."""
    driver, floor_kib = seen.driver, seen.situation.headroom.floor_kib
    if (limit := limit_kib(seen.snapshot)) is not None:
        wanted_kib = min(wanted_kib, limit - seen.situation.offset_kib)
    if driver is not None and wanted_kib < max(LEAST_KIB, floor_kib or 0):
        most_kib = driver.current_kib + (seen.situation.headroom.reach_kib or 0)
        kib = max(min(driver.target_kib, most_kib), floor_kib or driver.current_kib)
        return hold_at(seen.situation, kib, "what the guest uses is more than it asks for")
    return aim_at(wanted_kib, "follow the host again")


def _file_differs(seen: Examination) -> Finding | None:
    balloon = seen.snapshot.balloon
    if balloon is None or balloon.target_bytes is None or balloon.target_kib is None:
        return None
    if balloon.motion != "still" or balloon.target_kib * KIB == balloon.target_bytes:
        return None
    if abs(balloon.target_kib) == LARGEST_KIB:
        return None  # beyond what either file was read to
    return Finding(
        severity="info",
        summary="The driver's file target does not hold target_kb in bytes.",
        evidence={"target": balloon.target_bytes, "target_kib": balloon.target_kib},
        cause="The file's unit is bytes in every kernel known, although its documentation says "
        "pages; this kernel differs, or the target changed between two reads.",
        remark=f"go by {TARGET_FILE}",
    )
