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
from hypothesis import strategies as st

from agent.core.facts.snapshot import Toolstack
from agent.core.findings.finding import Finding
from tests import captures
from tests.cases.test_every_case import NAMES as REPORTED
from tests.cases.test_every_case import case
from tests.fixes.trial import HEAD, Trial, table, trials
from tests.support.captured import assessed

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


def test_no_capture_and_no_report_gets_a_command_that_is_in_no_row() -> None:
    rows = {t.code for t in tried()}
    for name in captures.names():
        found = assessed(name).findings
        assert {code for code, _ in shapes(found)} <= rows, name
    for name in REPORTED:
        found = case(name).diagnosis.findings
        assert {code for code, _ in shapes(found)} <= rows, name


@pytest.mark.parametrize("where", ["guest", "host"])
def test_both_sides_have_cures_that_were_tried(where: str) -> None:
    assert [t for t in tried() if t.fix.where == where]
