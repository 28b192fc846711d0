# SPDX-License-Identifier: GPL-2.0-or-later
"""The doctor's judgement: what was found, what was looked for and not found, what could not be.

Its checks are those of `agent.core.findings.registry` and these, which want more than one snapshot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from agent.core.findings import agents as agent_rules
from agent.core.findings import kernel as kernel_rules
from agent.core.findings import watched as watch_rules
from agent.core.findings.examination import Examination
from agent.core.findings.finding import RANK, Finding
from agent.core.findings.registry import SITUATION_CHECKS


class ExaminationCheck(NamedTuple):
    """As `agent.core.findings.registry.SituationCheck`, for a rule that looks at an examination."""

    code: str
    rule: Callable[[Examination], Finding | None]
    needs: tuple[str, ...]


_DRIVER: Final = ("balloon.current_kb", "balloon.target_kb")

EXAMINATION_CHECKS: Final = (
    ExaminationCheck(
        "boot-waits-for-balloon", kernel_rules.boot_waits_for_balloon, ("kernel-messages",)
    ),
    ExaminationCheck("hotplug-refused", kernel_rules.hotplug_refused, ("kernel-messages",)),
    ExaminationCheck("p2m-bug", kernel_rules.p2m_bug, ("kernel-messages",)),
    ExaminationCheck(
        "hotplug-will-stay-offline",
        kernel_rules.hotplug_will_stay_offline,
        (*_DRIVER, "memory-blocks"),
    ),
    ExaminationCheck("hotplug-not-built", kernel_rules.hotplug_not_built, ("kernel-config",)),
    ExaminationCheck(
        "less-than-configured", kernel_rules.less_than_configured, (*_DRIVER, "meminfo")
    ),
    ExaminationCheck("rival-agents", agent_rules.rival_agents, ("processes",)),
    ExaminationCheck("enrolled-but-stuck", agent_rules.enrolled_but_stuck, ("guest-keys",)),
    ExaminationCheck(
        "feature-balloon-missing", agent_rules.feature_balloon_missing, ("guest-keys",)
    ),
    ExaminationCheck(
        "feature-balloon-denied",
        agent_rules.feature_balloon_denied,
        ("guest-keys", "processes", "control-permissions"),
    ),
    ExaminationCheck(
        "stale-meminfo-total", agent_rules.stale_meminfo_total, ("guest-keys", "meminfo")
    ),
    ExaminationCheck("migrated", agent_rules.migrated, ("published-status", "xenstore.domid")),
    ExaminationCheck("kthread-busy", watch_rules.kthread_busy, ("processes",)),
    ExaminationCheck("memory-stalls", watch_rules.memory_stalls, ("vmstat",)),
    ExaminationCheck("target-oscillation", watch_rules.target_oscillation, ("minute-of-watching",)),
    ExaminationCheck("dom0-autoballoon", watch_rules.dom0_autoballoon, _DRIVER),
    ExaminationCheck("host-does-not-move", watch_rules.host_does_not_move, ("minute-of-watching",)),
)
CODES: Final = tuple(check.code for check in (*SITUATION_CHECKS, *EXAMINATION_CHECKS))

# What to do so that a source can be read, where it is absent.  Denied and hidden ones want root.
_REMEDIES: Final = {
    "minute-of-watching": "balloon-agent doctor --seconds 60, in the guest itself",
    "kernel-config": "install the kernel's /boot/config-RELEASE",
    "kernel-messages": "look soon after a boot: the log is a ring",
    "published-status": "nothing: it is there only while the daemon runs",
    "vmstat": "look at the guest itself: a capture may have no /proc/vmstat",
    "processes": "look at the guest itself: a capture may have no processes",
}
_NO_XENSTORE: Final = (
    "see that there is a /dev/xen/xenbus: modprobe xenfs; in a capture, that it has xenstore/"
)
_DUMB_XENSTORE: Final = "see that xenstored runs and answers, on the host"
_WANTS_ROOT: Final = ("denied", "hidden")
_ROOT: Final = "sudo balloon-agent doctor"

Verdict = Literal["ok", "warning", "critical"]


class NotMade(NamedTuple):
    """A check that could not be made: the source it lacks, why, and what would help."""

    code: str
    source: str
    status: str
    remedy: str


class Diagnosis(NamedTuple):
    """What `doctor` shows; findings are ordered, the gravest first."""

    examination: Examination
    findings: tuple[Finding, ...]
    clear: tuple[str, ...]
    not_made: tuple[NotMade, ...]
    verdict: Verdict


def diagnose(examination: Examination) -> Diagnosis:
    """Make every check; never raises."""
    findings: list[Finding] = []
    clear: list[str] = []
    not_made: list[NotMade] = []
    made = [
        *((code, rule(examination.situation), needs) for code, rule, needs in SITUATION_CHECKS),
        *((code, rule(examination), needs) for code, rule, needs in EXAMINATION_CHECKS),
    ]
    for code, finding, needs in made:
        if finding is not None:
            findings.append(finding)
        elif (lacking := _first_lacking(examination, code, needs)) is not None:
            not_made.append(lacking)
        else:
            clear.append(code)
    findings.sort(key=lambda finding: -RANK[finding.severity])
    gravest = max((RANK[finding.severity] for finding in findings), default=0)
    verdict: Verdict = ("ok", "warning", "critical")[gravest]
    return Diagnosis(examination, tuple(findings), tuple(clear), tuple(not_made), verdict)


def _first_lacking(examination: Examination, code: str, needs: tuple[str, ...]) -> NotMade | None:
    """The first source that a check wants and that could not be read."""
    for source in needs:
        status = examination.sources.get(source, "absent")
        if status != "ok":
            xenstore = examination.sources.get("xenstore", "absent")
            if xenstore == status and _is_of_xenstore(source) and status not in _WANTS_ROOT:
                remedy = _NO_XENSTORE if status == "absent" else _DUMB_XENSTORE
                return NotMade(code, source, status, remedy)
            return NotMade(code, source, status, _remedy(source, status))
    return None


def _is_of_xenstore(source: str) -> bool:
    return source.startswith("xenstore") or source in ("guest-keys", "control-permissions")


def _remedy(source: str, status: str) -> str:
    if status in _WANTS_ROOT:
        return _ROOT
    if status.startswith("malformed"):
        return "see what is wrong with it"
    return _REMEDIES.get(source, "nothing: this guest does not have it")
