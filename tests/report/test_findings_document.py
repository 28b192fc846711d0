# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/findings.md is what the registry says; BALLOON_AGENT_UPDATE_GOLDEN=1 writes it anew."""

from __future__ import annotations

import os
import re
from pathlib import Path

from agent.core.findings.diagnosis import CODES
from agent.core.findings.registry import CHECKS, CRASH_KERNEL, Check

DOCUMENT = Path(__file__).parents[2] / "docs" / "findings.md"
HEAD = "| code | severity | means | do | not beside | follows from |\n|---|---|---|---|---|---|\n"
_TABLE = re.compile(re.escape(HEAD) + r"(?:\|.*\n)*")


def catalogue() -> str:
    """What each code means, and what to do: a row for every check, as Markdown."""
    return HEAD + "".join(f"{_row(code)}\n" for code in CODES)


def _row(code: str) -> str:
    entry = CHECKS[code]
    unless = ", ".join(f"`{other}`" for other in entry.unless if other != CRASH_KERNEL)
    because = ", ".join(f"`{other}`" for other in entry.because)
    means = _meaning(entry)
    return f"| `{code}` | {entry.severity} | {means} | {entry.do} | {unless} | {because} |"


def _meaning(check: Check) -> str:
    return " ".join((check.rule.__doc__ or "").split())


def test_the_catalogue_is_the_registrys() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    if os.environ.get("BALLOON_AGENT_UPDATE_GOLDEN"):
        text = _TABLE.sub(lambda _: catalogue(), text)
        DOCUMENT.write_text(text, encoding="utf-8")
    found = _TABLE.search(text)
    assert found
    assert found[0] == catalogue()


def test_a_check_names_only_codes_that_there_are() -> None:
    for check in CHECKS.values():
        assert set(check.unless) | set(check.because) <= set(CHECKS), check.code


def test_no_check_waits_for_itself() -> None:
    """What silences or explains a finding never depends on that finding."""

    def behind(code: str, path: tuple[str, ...]) -> None:
        assert code not in path, path
        for other in (*CHECKS[code].unless, *CHECKS[code].because):
            behind(other, (*path, code))

    for code in CHECKS:
        behind(code, ())


def test_every_check_says_what_it_means_and_what_to_do() -> None:
    for check in CHECKS.values():
        assert _meaning(check).endswith("."), check.code
        assert check.do, check.code
        assert "|" not in _meaning(check) + check.do + check.severity
