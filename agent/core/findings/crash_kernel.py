# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel that writes a dump, whose balloon has the target of the one that crashed."""

from __future__ import annotations

from agent.core.account.boot_facts import mapped_kib
from agent.core.findings.examination import Examination
from agent.core.findings.finding import Finding, Fix, Severity, what_is_known
from agent.core.findings.guest_commands import aim_at
from agent.core.findings.registry import CRASH_KERNEL, check


@check(
    CRASH_KERNEL,
    severity="info; warning when it would outgrow its memory, critical when it is squeezed",
    do="nothing; where its target is below zero, `target_kb` to what it has",
    needs=("kernel-options",),
)
def kdump_kernel(seen: Examination) -> Finding | None:
    """A crash kernel, whose balloon has the crashed one's target.

    Nothing else is looked for in one.
    """
    if not seen.situation.in_crash_kernel:
        return None
    driver, firmware_map = seen.driver, seen.snapshot.firmware_map
    severity: Severity = "info"
    what_of_it = ""
    fixes: tuple[Fix, ...] = ()
    evidence = {
        "elfcorehdr": "on the command line",
        "current_kib": driver and driver.current_kib,
        "target_kib": driver and driver.target_kib,
        "map_kib": firmware_map and firmware_map.ram_kib,
    }
    if driver is not None and driver.target_kib < driver.current_kib:
        severity = "critical"
        what_of_it = ", and takes the memory away that it needs to write its dump"
        fixes = (aim_at(_whole_kib(seen, driver.current_kib), "then write the dump"),)
    elif driver and firmware_map and driver.target_kib > firmware_map.ram_kib:
        severity, what_of_it = "warning", ", and beyond the memory set aside for it"
    negative = driver is not None and driver.target_kib < 0
    return Finding(
        severity=severity,
        summary="This is a crash kernel; the balloon's target is that of the crashed one"
        f"{what_of_it}.",
        evidence=what_is_known(evidence),
        cause="The driver takes memory/target for its own in the crash kernel as well"
        + ("; less the offset it finds there, that is less than nothing." if negative else "."),
        fixes=fixes,
        remark="nothing to do; write the dump and reboot",
    )


def _whole_kib(seen: Examination, current_kib: int) -> int:
    """What the crash kernel started with: all of its map, or what it still has."""
    firmware_map = seen.snapshot.firmware_map
    if firmware_map is None:
        return current_kib
    return max(current_kib, mapped_kib(firmware_map, seen.snapshot.domain.domain_type))
