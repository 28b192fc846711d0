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

from agent.core.account.situation import Situation
from agent.core.boot.verdict import MEM_TOTAL_NO_KIB
from agent.core.facts.units import GIB_KIB, MIB_KIB, format_kib
from agent.core.findings.finding import Finding
from agent.core.findings.host_commands import set_memory

BALLOON_DIRECTORY: Final = "/sys/devices/system/xen_memory/xen_memory0"
TARGET_FILE: Final = f"{BALLOON_DIRECTORY}/target_kb"
# No Linux lives in less, so nobody means it.
LEAST_KIB: Final = MEM_TOTAL_NO_KIB
_LARGER_UNITS_KIB: Final = (("MiB", MIB_KIB), ("GiB", GIB_KIB))


class Misread(NamedTuple):
    """A number that makes no sense as KiB and does in `unit`; `meant_kib` is what it is then."""

    unit: str
    meant_kib: int


def misread_host_target(situation: Situation) -> Misread | None:
    """The unit in which memory/target makes sense, where KiB is not it."""
    host = situation.snapshot.host
    number, most_kib = host.target_kib, host.static_max_kib or situation.boot.ram_kib
    if not number or most_kib is None:
        return None
    if number > most_kib:
        meant_kib = number // 1024
        return Misread("bytes", meant_kib) if LEAST_KIB <= meant_kib <= most_kib else None
    if number >= LEAST_KIB:
        return None
    for unit, unit_kib in _LARGER_UNITS_KIB:
        if LEAST_KIB <= number * unit_kib <= most_kib:
            return Misread(unit, number * unit_kib)
    return None


def misread_kernel_target(situation: Situation) -> bool:
    """Whether target_kb is less than anybody means, and not because the host said so."""
    balloon, wanted_kib = situation.snapshot.balloon, situation.host_target_on_kernel_scale_kib
    if balloon is None or balloon.target_kib is None or wanted_kib is None:
        return False
    return balloon.target_kib < LEAST_KIB <= wanted_kib


def units_trap(situation: Situation) -> Finding | None:
    """A target of the host or of the guest, or the driver's file `target`, in another unit."""
    misread = misread_host_target(situation)
    if misread is not None:
        return _host_wrote(situation, misread)
    if misread_kernel_target(situation):
        return _guest_wrote(situation)
    return _file_differs(situation)


def _host_wrote(situation: Situation, misread: Misread) -> Finding:
    snapshot = situation.snapshot
    number, too_much = snapshot.host.target_kib or 0, misread.unit == "bytes"
    return Finding(
        "units-trap", "warning" if too_much else "critical",
        f"The host asks for {format_kib(number)} and seems to mean "
        f"{format_kib(misread.meant_kib)}: memory/target takes KiB, and {number} looks like "
        f"{misread.unit}.",
        {
            "memory/target_kib": number,
            "memory/static-max_kib": snapshot.host.static_max_kib or 0,
            "meant_kib": misread.meant_kib,
        },
        f"{set_memory(snapshot, misread.meant_kib)}  # on the host",
        cause="memory/target was written by hand or by a script, in the wrong unit; "
        + (
            "the kernel tries, and the hypervisor refuses."
            if too_much
            else "the kernel gives away all it can, until nothing is left to run on."
        ),
        actor="host",
    )  # fmt: skip


def _guest_wrote(situation: Situation) -> Finding:
    balloon = situation.snapshot.balloon
    target_kib = (balloon.target_kib or 0) if balloon else 0
    wanted_kib = situation.host_target_on_kernel_scale_kib
    return Finding(
        "units-trap", "critical",
        f"The kernel aims at {format_kib(target_kib)}, which no guest can live in; the host's "
        f"target means {format_kib(wanted_kib or 0)}.",
        {
            "target_kib": target_kib,
            "memory/target_kib": situation.snapshot.host.target_kib or 0,
        },
        f"echo {wanted_kib} > {TARGET_FILE}  # follow the host again",
        cause="Somebody in the guest wrote target_kb, which is in KiB, or target, which is in "
        "bytes although its documentation says pages, in another unit.",
    )  # fmt: skip


def _file_differs(situation: Situation) -> Finding | None:
    balloon = situation.snapshot.balloon
    if balloon is None or balloon.target_bytes is None or balloon.target_kib is None:
        return None
    shown = balloon.target_kib * 1024 % (1 << 64)
    if balloon.motion != "still" or shown == balloon.target_bytes:
        return None
    return Finding(
        "units-trap", "info",
        "The driver's file target does not hold target_kb in bytes.",
        {"target": balloon.target_bytes, "target_kib": balloon.target_kib},
        f"cat {TARGET_FILE}  # go by this one",
        cause="The file's unit is bytes in every kernel known, although its documentation says "
        "pages; this kernel differs, or the target changed between two reads.",
    )  # fmt: skip
