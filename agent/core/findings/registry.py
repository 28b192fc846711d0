# SPDX-License-Identifier: GPL-2.0-or-later
"""The registry of everything that is looked for; one function is one check.

    @check("videoram-minus-one", severity="info", do="`videoram=0`", needs=(XENSTORE,))
    def videoram_minus_one(seen: Examination) -> Finding | None:
        \"\"\"Old xl: -1 for no video memory, mem-set misses by 1 KiB.\"\"\"

`needs` names the sources (of `Snapshot.sources`) that it cannot do without: where one could not be
read, the check was not made, and the doctor says so.  `unless` names codes in whose presence it is
not looked for; `because` names codes it is a consequence of, and then it prints no cure of its own.
docs/findings.md is generated from this (tests/report/test_findings_document.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Final, NamedTuple, Optional

from agent.core.findings.examination import Examination
from agent.core.findings.finding import RANK, Effect, Finding

Rule = Callable[[Examination], Optional[Finding]]

DRIVER: Final = ("balloon.current_kb", "balloon.target_kb", "balloon.low_kb")
TARGET: Final = "xenstore.memory/target"
STATIC_MAX: Final = "xenstore.memory/static-max"
XENSTORE: Final = "xenstore"

# In a crash kernel nothing is to be fixed but that it may write its dump.
CRASH_KERNEL: Final = "kdump-kernel"


class Check(NamedTuple):
    """One thing to look for; what it means is in the rule's docstring."""

    code: str
    rule: Rule
    severity: str
    do: str
    needs: tuple[str, ...]
    unless: tuple[str, ...]
    because: tuple[str, ...]


CHECKS: Final[dict[str, Check]] = {}


def check(
    code: str,
    *,
    severity: str,
    do: str,
    needs: tuple[str, ...] = (),
    unless: tuple[str, ...] = (),
    because: tuple[str, ...] = (),
) -> Callable[[Rule], Rule]:
    """Enter a rule into the registry under its code.

    `severity` and `do` are as docs/findings.md has them: the usual severity, and what to do about
    it.  Where nothing is said of another one, every finding of the check has that severity.
    """
    if code != CRASH_KERNEL:
        unless = (CRASH_KERNEL, *unless)

    def enter(rule: Rule) -> Rule:
        if code in CHECKS:
            raise ValueError(f"two checks are called {code}")
        CHECKS[code] = Check(code, rule, severity, do, needs, unless, because)
        return rule

    return enter


def codes_of(modules: Iterable[ModuleType]) -> tuple[str, ...]:
    """The codes of the checks in these modules, in their order, as they stand there."""
    return tuple(
        code
        for module in modules
        for code, entry in CHECKS.items()
        if entry.rule.__module__ == module.__name__
    )


class Search:
    """Some checks against one examination; each is made once, whoever asks for it first."""

    def __init__(self, examination: Examination, codes: tuple[str, ...]) -> None:
        self._examination = examination
        self._codes = codes
        self._found: dict[str, Finding | None] = {}
        self.silenced: list[str] = []

    def find(self, code: str) -> Finding | None:
        """What the check of that code finds here; None also where it is not looked for."""
        if code not in self._found:
            self._found[code] = self._made(CHECKS[code]) if code in self._codes else None
        return self._found[code]

    def all(self) -> tuple[Finding, ...]:
        """Everything that was found, the gravest first, with no two cures that contradict."""
        found = [finding for code in self._codes if (finding := self.find(code)) is not None]
        found.sort(key=lambda finding: -RANK[finding.severity])
        return _without_contradictions(found)

    def _made(self, entry: Check) -> Finding | None:
        if any(self.find(code) is not None for code in entry.unless):
            self.silenced.append(entry.code)
            return None
        finding = entry.rule(self._examination)
        if finding is None:
            return None
        cause = next((code for code in entry.because if self.find(code) is not None), None)
        if cause is not None:
            finding = finding._replace(because=cause, fixes=())
        severity = next((always for always in RANK if always == entry.severity), finding.severity)
        return finding._replace(code=entry.code, severity=severity)


def _without_contradictions(found: list[Finding]) -> tuple[Finding, ...]:
    """At most one cure that sets the guest's size now, and one that does from its next start on.

    It is the gravest finding's, and of equals that of one that can be pasted.  Guest and host are
    not told two sizes either.
    """
    first: dict[Effect, Finding] = {}
    for finding in sorted(found, key=lambda f: (-RANK[f.severity], not _can_be_pasted(f))):
        for fix in finding.fixes:
            if fix.sets_size:
                first.setdefault(fix.effect, finding)
    kept: list[Finding] = []
    for finding in found:
        others = {effect for effect, owner in first.items() if owner is not finding}
        fixes = tuple(fix for fix in finding.fixes if not (fix.sets_size and fix.effect in others))
        waits = bool(finding.fixes and not fixes)
        after = first[finding.fixes[0].effect].code if waits else None
        kept.append(finding._replace(fixes=fixes, after=after))
    return tuple(kept)


def _can_be_pasted(finding: Finding) -> bool:
    return any(fix.commands for fix in finding.fixes)
