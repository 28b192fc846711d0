# SPDX-License-Identifier: GPL-2.0-or-later
"""CONTRIBUTING.md's example of a first change is of this tree: it can be taken out, and put in."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.documents import TOP

_EXAMPLE = re.compile(r"```diff\n(.*?)```", re.DOTALL)
_FILE = re.compile(r"^\+\+\+ b/(\S+)\n", re.MULTILINE)
_HUNK = re.compile(r"^@@ -\d+,(\d+) \+\d+,(\d+) @@.*\n", re.MULTILINE)


def hunks() -> Iterator[tuple[str, int, int, list[str]]]:
    """Of each hunk its file, how many lines it says to have before and after, and its lines."""
    example = _EXAMPLE.search((TOP / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert example
    _, *of_files = _FILE.split(example[1])
    for name, text in zip(of_files[::2], of_files[1::2]):
        _, *found = _HUNK.split(text.partition("diff --git")[0])
        for before, after, lines in zip(found[::3], found[1::3], found[2::3]):
            yield name, int(before), int(after), lines.splitlines()


HUNKS = list(hunks())


def test_the_example_touches_one_file_of_the_agent_and_its_tests() -> None:
    assert [name.partition("/")[0] for name, *_ in HUNKS] == ["agent", "tests", "tests"]


@pytest.mark.parametrize(("name", "before", "after", "lines"), HUNKS, ids=lambda one: str(one)[:60])
def test_what_the_example_adds_stands_so_in_the_tree(
    name: str, before: int, after: int, lines: list[str]
) -> None:
    """Between the lines that it says are there before, so that `git apply` takes it."""
    added = [line for line in lines if line.startswith("+")]
    assert (before, after) == (len(lines) - len(added), len(lines))
    assert all(line[:1] in {" ", "+"} for line in lines)
    text = "\n".join(line[1:] for line in lines)
    assert f"\n{text}\n" in (TOP / name).read_text(encoding="utf-8")
