# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/findings.md and the code tell of the same findings."""

from __future__ import annotations

import re
from pathlib import Path

from agent.core.findings.diagnosis import EXAMINATION_CHECKS
from agent.core.findings.registry import SITUATION_CHECKS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "findings.md").read_text(encoding="utf-8")


def documented(heading: str) -> list[str]:
    """The codes in the table below a heading."""
    section = DOCUMENT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([a-z0-9-]+)` \|", section, re.MULTILINE)


def test_what_status_finds_is_documented_and_nothing_else() -> None:
    assert sorted(documented("In status and doctor")) == sorted(c.code for c in SITUATION_CHECKS)


def test_what_only_the_doctor_finds_is_documented_and_nothing_else() -> None:
    assert sorted(documented("In doctor only")) == sorted(c.code for c in EXAMINATION_CHECKS)
