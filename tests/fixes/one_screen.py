# SPDX-License-Identifier: GPL-2.0-or-later
"""What has to hold on every screen, whatever the guest: one cause, one cure, one verdict."""

from __future__ import annotations

import re
from typing import Final

from agent import exit_codes
from agent.core.account.situation import Situation
from agent.core.facts.snapshot import Snapshot
from agent.core.facts.units import MIB_KIB
from agent.core.findings.diagnosis import Diagnosis
from agent.core.findings.finding import Finding
from agent.core.plan.target import advise
from agent.report.check_line import Thresholds, check
from agent.report.doctor_text import doctor_lines
from agent.report.memmap_text import memmap_lines
from agent.report.status_text import status_lines
from agent.report.styled import plain

_IN_GUEST: Final = re.compile(r"echo ([0-9]+) > /sys/devices/system/xen_memory/\S+/target_kb")
_ON_HOST: Final = re.compile(
    r"xl mem-set [0-9]+ (?P<xl>[0-9]+)k|xm mem-set [0-9]+ (?P<xm>[0-9]+)"
    r"|xenstore-write /local/domain/[0-9]+/memory/target (?P<key>[0-9]+)"
)
_WORDS_OF: Final = {
    "libxl": ("xl ", "xenstore-write "),
    "xend": ("xm ", "xenstore-write "),
    "xapi": ("xe ", "xenstore-write "),
    "qubes": ("qvm-prefs ", "xenstore-write "),
}
_STATUS_OF: Final = {"ok": 0, "warning": 1, "critical": 2, "unknown": 3}
_PAGE_KIB: Final = 4


def must_agree(diagnosis: Diagnosis) -> None:
    """All of it but the words."""
    one_size(diagnosis.findings)
    a_cause_for_each_consequence(diagnosis.findings)
    one_meaning(diagnosis)
    nothing_that_squeezes(diagnosis)
    moving_was_seen(diagnosis.examination.situation)


def one_size(findings: tuple[Finding, ...]) -> None:
    """No two cures say how large the guest is to be, now or from its next start on."""
    for effect in ("now", "next-boot"):
        told = [
            finding.code
            for finding in findings
            for fix in finding.fixes
            if fix.sets_size and fix.effect == effect
        ]
        assert len(told) <= 1, told


def a_cause_for_each_consequence(findings: tuple[Finding, ...]) -> None:
    """What follows from something else names it, prints no cure, and does not go in circles."""
    found = {finding.code: finding for finding in findings}
    assert len(found) == len(findings)
    for finding in findings:
        behind = [finding.code]
        while (because := found[behind[-1]].because) is not None:
            assert because in found, behind
            assert because not in behind, behind
            assert not found[behind[-1]].fixes, behind
            behind.append(because)


def one_meaning(diagnosis: Diagnosis) -> None:
    """status, doctor and check end alike."""
    judged, verdict = check(diagnosis.assessment, Thresholds()), diagnosis.assessment.verdict
    assert exit_codes.OF_LEVEL[judged.level] == _STATUS_OF[verdict], judged.line
    graver = [f for f in diagnosis.findings if f.severity != "info"]
    assert bool(graver) == (verdict in ("warning", "critical"))


def nothing_that_squeezes(diagnosis: Diagnosis) -> None:
    """A pasted size is one the guest can live in, and that `plan` would not refuse."""
    situation = diagnosis.examination.situation
    driver, floor_kib = situation.driver, situation.headroom.floor_kib
    toolstack = situation.snapshot.domain.toolstack
    for finding in diagnosis.findings:
        for fix in finding.fixes:
            for command in fix.commands:
                if fix.where == "host":
                    assert command.startswith(_WORDS_OF[toolstack or "libxl"]), command
                kib = _kernel_kib(command, situation)
                if kib is None or driver is None or floor_kib is None:
                    continue
                assert kib > floor_kib - MIB_KIB or kib >= driver.current_kib - _PAGE_KIB, (
                    finding.code,
                    command,
                )


def _kernel_kib(command: str, situation: Situation) -> int | None:
    """What the kernel would aim at; None for a command about something else."""
    if found := _IN_GUEST.fullmatch(command):
        return int(found[1])
    found = _ON_HOST.fullmatch(command)
    if found is None:
        return None
    offset_kib = situation.offset.kib if situation.offset else 0
    if found["xm"]:
        return int(found["xm"]) * MIB_KIB - offset_kib
    if found["key"]:
        return int(found["key"]) - offset_kib
    advice = advise(situation, int(found["xl"]))
    assert advice is None or advice.answer != "no" or not advice.kernel_target_kib, advice
    return int(found["xl"]) - offset_kib - max(0, situation.snapshot.host.videoram_kib or 0)


def moving_was_seen(situation: Situation) -> None:
    """Nothing is called moving, or moved while it was read, that may as well have stopped."""
    snapshot = situation.snapshot
    overhead = situation.overhead.terms if situation.overhead else ()
    parts = [t.name for t in situation.reconciliation.terms] + [t.name for t in overhead]
    if "moved-while-reading" in parts:
        assert _progress(snapshot)
    if situation.state == "moving":
        assert _progress(snapshot) or _nobody_can_refuse(situation)


def _progress(snapshot: Snapshot) -> bool:
    """Whether one number was read with two values, or two numbers that are one differ."""
    balloon, memory, zones, log = (
        snapshot.balloon,
        snapshot.memory,
        snapshot.zones,
        snapshot.boot_log,
    )
    if balloon is None or balloon.current_kib is None or balloon.motion == "still":
        return balloon is not None and balloon.read_while_moving
    if balloon.motion == "moved" or balloon.read_while_moving:
        return True
    rests = (balloon.retry_count or 1) > 1 or (balloon.schedule_delay_s or 1) > 1
    if rests or memory is None or zones is None:
        return False
    kept_kib = balloon.current_kib - memory.total_kib
    at_boot_kib = log.reserved_kib - log.freed_later_kib if log and log.whole else kept_kib
    moved = kept_kib != at_boot_kib and snapshot.domain.domain_type in ("pvh", "hvm")
    return moved or memory.total_kib != zones.managed_pages * snapshot.domain.page_kib


def _nobody_can_refuse(situation: Situation) -> bool:
    """No attempt has failed, and the next one cannot: the guest has the memory that it is to give.

    Upwards only where the kernel never gives up, so that a refusal would still show.
    """
    snapshot, driver = situation.snapshot, situation.driver
    balloon, memory = snapshot.balloon, snapshot.memory
    if balloon is None or driver is None or balloon.motion == "still":
        return False
    if driver.grows:
        newest = snapshot.domain.kernel is None or snapshot.domain.kernel >= (5, 10)
        limit = balloon.max_retry_count
        return driver.ballooned_kib > 0 and (limit == 0 or (limit is None and not newest))
    return memory is not None and memory.available_kib > -driver.way_kib


def said(diagnosis: Diagnosis) -> str:
    """Every screen as one line of text."""
    situation = diagnosis.examination.situation
    lines = [
        *status_lines(diagnosis.assessment, 100),
        *doctor_lines(diagnosis, 100),
        *memmap_lines(situation, 100),
    ]
    return " ".join(plain(lines).split())


def must_be_said_well(diagnosis: Diagnosis) -> None:
    """No word that only a program would say, and no way that nobody saw."""
    text = said(diagnosis)
    assert not re.search(r"\bNone\b|\bnan\b| -0 |\{|a target of a ", text), text
    if diagnosis.examination.situation.state != "moving":
        assert "on its way" not in text
