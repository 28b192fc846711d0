# SPDX-License-Identifier: GPL-2.0-or-later
"""Trying every printed fix on every living guest that shows it, and the table of what became of it.

Guests: the scenarios at the moment they are told for, and those of tests/cli/findings_shown.py;
among these are real guests' captures brought to life.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from agent.core.account.shortage import shortage
from agent.core.facts.snapshot import Snapshot
from agent.core.findings.diagnosis import Diagnosis
from agent.core.findings.finding import RANK, Finding, Fix
from sim_backend.stories import catalogue
from tests.cli.findings_shown import CASES, Guest, Living, diagnosed, scenario
from tests.fixes.guests import MORE
from tests.fixes.shells import RefusedError, paste
from tests.support.captured import QUICK

HEAD: Final = "| finding | guest | command | outcome |\n|---|---|---|---|\n"
_AFTER_S: Final = 60.0
_DEADLY: Final = ("oom", "killed")
_SHORTER: Final = {"none": 0, "short": 1, "stalled": 2}


class Trial(NamedTuple):
    """One fix on one guest; `wrong` says what went wrong, "" for nothing."""

    code: str
    guest: str
    fix: Fix
    wrong: str


def guests() -> dict[str, Guest]:
    """Every guest that can be acted on, by what it is called in the table."""
    told = {f"`--sim {name}`": scenario(name) for name in catalogue.scenario_names()}
    own = {
        guest.what: guest
        for pair in CASES.values()
        for guest in pair
        if guest.living is not None and not guest.what.startswith("--sim")
    }
    return told | own | MORE


def trials() -> Iterator[Trial]:
    """Every fix that has commands, on each guest that shows its finding."""
    for name, guest in guests().items():
        assert guest.living is not None
        found = _diagnosis(guest.living(), guest.seconds)
        for finding in found.findings:
            for fix in finding.fixes:
                if fix.commands:
                    yield Trial(finding.code, name, fix, _tried(guest, finding, fix))


def table(tried: list[Trial]) -> str:
    """A row for every trial, as Markdown."""
    rows = sorted(
        f"| `{t.code}` | {t.guest} | `{'; '.join(t.fix.commands)}` | "
        f"{t.wrong or ('gone' if t.fix.effect == 'now' else 'gone with the next start')} |\n"
        for t in tried
    )
    return HEAD + "".join(rows)


def _diagnosis(guest: Living, seconds: float) -> Diagnosis:
    return diagnosed(guest.stage.domain, seconds, guest.files)


def _tried(guest: Guest, finding: Finding, fix: Fix) -> str:
    """What went wrong when it was pasted."""
    assert guest.living is not None
    living = guest.living()
    before = _diagnosis(living, guest.seconds)
    told = len(living.stage.domain.happenings)
    with tempfile.TemporaryDirectory(dir=QUICK) as directory:
        try:
            after_paste = paste(fix, living, Path(directory))
        except RefusedError as error:
            return f"refused: {error}"
    domain = after_paste.stage.domain
    domain.advance_to(domain.now_s() + _AFTER_S)
    after = _diagnosis(after_paste, guest.seconds)
    left = [f for f in after.findings if f.code == finding.code]
    if left and (RANK[left[0].severity] or not RANK[finding.severity]):
        return "still there"
    if not domain.alive or (
        domain is living.stage.domain
        and any(event.kind in _DEADLY for event in domain.happenings[told:])
    ):
        return "something was killed"
    if domain is living.stage.domain and _below_its_floor(before, after):
        return "the guest is below its floor"
    return _worse(before, after) or _taken(before.examination.snapshot, after.examination.snapshot)


def _below_its_floor(before: Diagnosis, after: Diagnosis) -> bool:
    """Whether it has less now than what it used before needs, with its air."""
    floor_kib = before.examination.situation.headroom.floor_kib
    driver = after.examination.driver
    return floor_kib is not None and driver is not None and driver.current_kib < floor_kib


def _worse(before: Diagnosis, after: Diagnosis) -> str:
    """A finding that was not there and is as grave as those that were, or a guest that is short."""
    known = {found.code for found in before.findings}
    grave = max(RANK[found.severity] for found in before.findings)
    new = [f.code for f in after.findings if f.code not in known and RANK[f.severity] >= grave]
    if new and grave:
        return f"brought {', '.join(new)}"
    was, now = (
        _SHORTER[shortage(d.examination.snapshot.memory, d.examination.snapshot.pressure)]
        for d in (before, after)
    )
    return "the guest is short of memory" if now > was else ""


def _taken(before: Snapshot, after: Snapshot) -> str:
    """What the administrator had set and has no more."""
    was, now = before.host, after.host
    if (
        was.static_max_kib
        and (now.static_max_kib or 0) < was.static_max_kib
        and (before.domain.toolstack != "qubes")
    ):
        return "static-max was lowered"
    ends = (was.dynamic_min_kib, was.dynamic_max_kib)
    if None not in ends and ends[0] != ends[1] and now.dynamic_min_kib == now.dynamic_max_kib:
        return "the dynamic range was lost"
    return ""
