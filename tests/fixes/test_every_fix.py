# SPDX-License-Identifier: GPL-2.0-or-later
"""A fix that is printed is a fix that was tried, and one cause has one cure.

BALLOON_AGENT_UPDATE_GOLDEN=1 writes the table of docs/findings.md anew.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.facts.snapshot import Toolstack
from agent.core.findings.assessment import assess
from agent.core.findings.finding import Finding
from tests import captures
from tests.cases.test_every_case import NAMES as REPORTED
from tests.cases.test_every_case import case
from tests.fixes.trial import HEAD, Trial, table, trials
from tests.support.captured import assessed
from tests.support.snapshots import (
    CALM,
    STALLED,
    a_dom0,
    a_pv_guest,
    a_pvh_guest,
    an_hvm_guest,
)

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "findings.md"
_TABLE: Final = re.compile(re.escape(HEAD) + r"(?:\|.*\n)*")
TOOLSTACKS: Final[tuple[Toolstack | None, ...]] = ("libxl", "xapi", "qubes", "xend", None)
UUID: Final = "d4352faf-853e-4c60-b096-a16c102e04f0"
SIZES: Final = st.sampled_from((512, 65536, 262144, 523900, 524288, 786432, 1048576, 805306368))


@cache
def tried() -> list[Trial]:
    return list(trials())


def test_after_each_it_is_gone_and_nothing_is_worse_killed_or_taken() -> None:
    assert [(t.code, t.guest, t.fix.commands, t.wrong) for t in tried() if t.wrong] == []


def test_the_table_of_the_catalogue_is_what_was_tried() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    if os.environ.get("BALLOON_AGENT_UPDATE_GOLDEN"):
        text = _TABLE.sub(lambda _: table(tried()), text)
        DOCUMENT.write_text(text, encoding="utf-8")
    found = _TABLE.search(text)
    assert found
    assert found[0] == table(tried())


def shapes(findings: tuple[Finding, ...]) -> set[tuple[str, str]]:
    """Each finding with the first two words of a command it prints."""
    return {
        (finding.code, re.sub(r"\d+", "N", " ".join(command.split()[:2])))
        for finding in findings
        for fix in finding.fixes
        for command in fix.commands
    }


def one_cure(findings: tuple[Finding, ...]) -> None:
    """For each actor at most one command sets the guest's size; consequences print none."""
    for where in ("guest", "host"):
        setting = [
            finding.code
            for finding in findings
            for fix in finding.fixes
            if fix.where == where and fix.sets_size
        ]
        assert len(setting) <= 1, setting
    codes = {finding.code for finding in findings}
    assert not [f.code for f in findings if f.because and (f.fixes or f.because not in codes)]


def test_no_capture_and_no_report_gets_a_command_that_is_in_no_row() -> None:
    rows = {t.code for t in tried()}
    for name in captures.names():
        found = assessed(name).findings
        one_cure(found)
        assert {code for code, _ in shapes(found)} <= rows, name
    for name in REPORTED:
        found = case(name).diagnosis.findings
        one_cure(found)
        assert {code for code, _ in shapes(found)} <= rows, name


@settings(max_examples=int(os.environ.get("BALLOON_AGENT_SITUATIONS", "60")), deadline=None)
@given(
    guest=st.sampled_from((a_pv_guest, a_pvh_guest, an_hvm_guest, a_dom0)),
    toolstack=st.sampled_from(TOOLSTACKS),
    host_target=SIZES,
    target=SIZES,
    low=st.sampled_from((0, 131072, 524288)),
    available=st.sampled_from((5000, 30000, 380268)),
    stalls=st.booleans(),
    retries=st.sampled_from((1, 3)),
    motion=st.sampled_from(("still", "moved", "unknown")),
    uncooperative=st.booleans(),
)
def test_no_situation_has_two_cures_for_one_cause(
    *,
    guest: object,
    toolstack: Toolstack | None,
    host_target: int,
    target: int,
    low: int,
    available: int,
    stalls: bool,
    retries: int,
    motion: str,
    uncooperative: bool,
) -> None:
    assert callable(guest)
    found = assess(
        guest(
            domain={"toolstack": toolstack, "uuid": UUID, "name": "work"},
            host={
                "target_kib": host_target,
                "static_max_kib": 1048576,
                "dynamic_min_kib": 262144,
                "dynamic_max_kib": 1048576,
                "uncooperative": uncooperative,
            },
            balloon={
                "target_kib": target,
                "low_kib": low,
                "retry_count": retries,
                "motion": motion,
            },
            memory={"available_kib": available},
            pressure=STALLED if stalls else CALM,
        )
    ).findings
    one_cure(found)
    commands = [c for f in found for fix in f.fixes for c in fix.commands if fix.where == "host"]
    words = {"libxl": ("xl ", "xenstore-write "), "xend": ("xm ", "xenstore-write ")}
    allowed = words.get(toolstack or "", ("xe ", "qvm-prefs ", "xenstore-write "))
    assert all(command.startswith(allowed) for command in commands), commands


@pytest.mark.parametrize("where", ["guest", "host"])
def test_both_sides_have_cures_that_were_tried(where: str) -> None:
    assert [t for t in tried() if t.fix.where == where]
