# SPDX-License-Identifier: GPL-2.0-or-later
"""The doctor's screen: each finding with evidence, cause, who must act and what to paste.

▲ WARNING: target-cancelled. And 1 remark.
  The guest has 512 MiB of the 1 GiB it may grow to; the kernel has given up on ...

  warning  target-cancelled                              guest or host
    The kernel gave up on its target and will not try again by itself.
    Cause     Since Linux 5.15 the driver drops a target after ...
    Evidence  current_kib 524288, target_kib 786432, ...
    Fix       echo 786432 > /sys/devices/system/xen_memory/xen_memory0/target_kb
"""

from __future__ import annotations

from typing import Final

from agent.core.findings.assessment import headline_of, why_unknown
from agent.core.findings.diagnosis import Diagnosis, NotMade, is_of_xenstore
from agent.core.findings.finding import Actor, Finding
from agent.report.styled import Line, beside, heading, labelled, wrapped
from agent.report.top import banner_lines, coded, fix_lines, judged_lines

_ACTORS: Final[dict[Actor, str]] = {
    "guest": "for the guest to fix",
    "host": "for the host to fix",
    "either": "for guest or host to fix",
    "nobody": "nothing to fix",
}
# What a source is called, where its name in `sources` does not say it.
_SOURCES: Final = {
    "control-permissions": "the permissions of control/ in xenstore",
    "firmware-map": "/sys/firmware/memmap",
    "guest-keys": "what this guest published in xenstore",
    "kernel-config": "the kernel's configuration",
    "kernel-messages": "the kernel's log",
    "kernel-options": "/proc/cmdline",
    "kernel-release": "the kernel's release",
    "meminfo": "/proc/meminfo",
    "memory-blocks": "/sys/devices/system/memory",
    "minute-of-watching": "a minute of watching",
    "processes": "the list of processes",
    "published-status": "the daemon's status file",
    "vmstat": "/proc/vmstat",
    "zoneinfo": "/proc/zoneinfo",
}


def doctor_lines(diagnosis: Diagnosis, width: int) -> list[Line]:
    """The whole screen for a terminal of `width` columns."""
    situation = diagnosis.examination.situation
    lines = [*banner_lines(situation, width)]
    lines += judged_lines(diagnosis.assessment.verdict, _answer(diagnosis), width)
    lines += wrapped(headline_of(situation), width, indent="  ", style="dim")
    for finding in diagnosis.findings:
        lines += [(), *_finding_lines(finding, width)]
    if diagnosis.clear:
        title = f"Looked for and not found: {len(diagnosis.clear)} problems"
        lines += [(), *wrapped(title, width, style="heading")]
        lines += wrapped(", ".join(diagnosis.clear), width, indent="  ", style="dim")
    if diagnosis.not_made:
        title = f"Could not be checked: {len(diagnosis.not_made)}"
        lines += [(), heading(title), *_not_made_lines(diagnosis.not_made, width)]
    return lines


def _answer(diagnosis: Diagnosis) -> str:
    """What somebody has to act on, the gravest first, and how much is only worth knowing."""
    remarks = sum(finding.severity == "info" for finding in diagnosis.findings)
    number = f"{remarks} remark{'' if remarks == 1 else 's'}"
    also = f" And {number}." if remarks else ""
    to_fix = [finding.code for finding in diagnosis.findings if finding.severity != "info"]
    if to_fix:
        return f"{', '.join(to_fix)}.{also}"
    if diagnosis.assessment.verdict == "unknown":
        why = why_unknown(diagnosis.examination.situation)
        because = f": {why}" if why else ""
        return f"The balloon cannot be judged{because}.{also}"
    return f"Nothing to fix; {number}." if also else "Nothing is wrong with this guest's balloon."


def _finding_lines(finding: Finding, width: int) -> list[Line]:
    who = _ACTORS[finding.actor]
    if finding.after:
        who = f"after {finding.after}"
    elif finding.because:
        who = f"follows from {finding.because}"
    lines = beside(coded(finding.severity, finding.code), who, width, style="dim")
    lines += wrapped(finding.summary, width, indent="    ")
    if finding.cause:
        lines += labelled("Cause", finding.cause, width, indent="    ")
    if finding.evidence:
        shown = ", ".join(f"{name} {value}" for name, value in finding.evidence.items())
        lines += labelled("Evidence", shown, width, indent="    ")
    return [*lines, *fix_lines(finding, width, "Fix", 10)]


def _not_made_lines(not_made: tuple[NotMade, ...], width: int) -> list[Line]:
    """The checks, put together by what they lack."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for lacking in not_made:
        key = (lacking.source, lacking.status, lacking.remedy)
        groups.setdefault(key, []).append(lacking.code)
    lines: list[Line] = []
    for (source, status, remedy), codes in groups.items():
        why = status.removeprefix("malformed: ") if is_of_xenstore(source) else status
        without = f"Without {_called(source)} ({why}): {', '.join(codes)}"
        lines += wrapped(without, width, indent="  ")
        lines += wrapped(f"What would help: {remedy}", width, indent="    ", style="dim")
    return lines


def _called(source: str) -> str:
    kind, dot, name = source.partition(".")
    if dot:
        return {"xenstore": f"{name} in xenstore", "balloon": f"the driver's {name}"}[kind]
    return _SOURCES.get(source, source)
