# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that is looked for: what was found, what was not, and what could not be."""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.core.findings import agents, kernel, watched
from agent.core.findings.assessment import OF_A_SNAPSHOT, Assessment, assessment_of
from agent.core.findings.examination import Examination
from agent.core.findings.finding import Finding
from agent.core.findings.registry import CHECKS, Search, codes_of

MODULES: Final = (*OF_A_SNAPSHOT, kernel, agents, watched)
CODES: Final = codes_of(MODULES)

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

    @property
    def assessment(self) -> Assessment:
        """The same as `status` has it."""
        codes = tuple(lacking.code for lacking in self.not_made)
        return assessment_of(self.examination.situation, self.findings, codes)


def diagnose(examination: Examination) -> Diagnosis:
    """Make every check; never raises."""
    search = Search(examination, CODES)
    findings = search.all()
    lacking = {
        code: _first_lacking(examination, code)
        for code in CODES
        if search.find(code) is None and code not in search.silenced
    }
    clear = tuple(code for code, source in lacking.items() if source is None)
    not_made = tuple(source for source in lacking.values() if source is not None)
    return Diagnosis(examination, findings, clear, not_made)


def _first_lacking(examination: Examination, code: str) -> NotMade | None:
    """The first source that a check wants and that could not be read."""
    for source in CHECKS[code].needs:
        status = examination.sources.get(source, "absent")
        if status != "ok":
            return NotMade(code, source, status, _remedy(examination, source, status))
    return None


def is_of_xenstore(source: str) -> bool:
    """Whether what xenstored answers is that source."""
    return source.startswith("xenstore") or source in ("guest-keys", "control-permissions")


def _remedy(examination: Examination, source: str, status: str) -> str:
    if status in ("denied", "hidden"):
        return "sudo balloon-agent doctor"
    if is_of_xenstore(source) and examination.sources.get("xenstore", "absent") == status:
        return _NO_XENSTORE if status == "absent" else _DUMB_XENSTORE
    if status.startswith("malformed"):
        return "see what is wrong with it"
    return _REMEDIES.get(source, "nothing: this guest does not have it")
