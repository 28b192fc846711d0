# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/design.md and the code name the same assumptions, each where it is relied upon."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

TOP: Final = Path(__file__).parents[1]
DOCUMENT: Final = (TOP / "docs" / "design.md").read_text(encoding="utf-8")
SECTIONS: Final = dict(
    re.findall(r"^### (A\d+) (.*?)(?=^#|\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
)
CITING: Final = re.compile(r"docs/design\.md ((?:A\d+(?:,\s+|\s+and\s+)?)+)")


def cited() -> dict[str, set[str]]:
    """Which assumptions each source file names."""
    found: dict[str, set[str]] = {}
    for folder in ("agent", "sim_backend", "tests"):
        for path in (TOP / folder).rglob("*.py"):
            for group in CITING.findall(path.read_text(encoding="utf-8")):
                names = found.setdefault(str(path.relative_to(TOP)), set())
                names.update(re.findall(r"A\d+", group))
    return found


def relied_upon(section: str) -> set[str]:
    """The files that a section names as relying on it."""
    return set(re.findall(r"`([a-z_/]+\.py)`", section.partition("Relied upon:")[2]))


def test_the_assumptions_are_numbered_from_one_without_a_gap() -> None:
    assert list(SECTIONS) == [f"A{number}" for number in range(1, len(SECTIONS) + 1)]


@pytest.mark.parametrize("name", SECTIONS)
def test_an_assumption_has_a_source_and_stands_where_the_code_relies_on_it(name: str) -> None:
    files = {file for file, names in cited().items() if name in names}
    assert "Source: " in SECTIONS[name]
    assert files
    assert relied_upon(SECTIONS[name]) == files


def test_no_code_relies_on_an_assumption_that_is_not_written_down() -> None:
    assert set.union(*cited().values()) <= set(SECTIONS)
