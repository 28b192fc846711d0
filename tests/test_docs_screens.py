# SPDX-License-Identifier: GPL-2.0-or-later
"""Every screen that a document shows is what the program shows today."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from agent.cli.main import main
from tests import captures
from tests.support.documents import DOCUMENTS, TOP, VERDICTS, blocks, example


class Screen(NamedTuple):
    """A block that shows what a command prints; lines in between may be left out."""

    where: str
    columns: str
    words: tuple[str, ...]
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where}: {' '.join(self.words)}"


# The command of a screen stands in a comment before it; @NAME is one of tests/captures.
MARK: Final = re.compile(r"<!-- screen(?: of (\d+) columns)?: (.+) -->")
DRAWN: Final = re.compile("[█▒░×━▲●╳]")


def screens() -> list[Screen]:
    found = []
    for document in DOCUMENTS:
        for number, before, lines in blocks(document):
            if match := MARK.fullmatch(before):
                where = f"{document.relative_to(TOP)}:{number}"
                columns, words = match[1] or "80", tuple(match[2].split())
                found.append(Screen(where, columns, words, tuple(lines)))
    return found


def is_screen(lines: list[str]) -> bool:
    return any(DRAWN.search(line) for line in lines)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_screen_names_the_command_that_shows_it(document: Path) -> None:
    for number, before, lines in blocks(document):
        assert MARK.fullmatch(before) or not is_screen(lines), f"{document.name}:{number}"


@pytest.mark.parametrize("screen", screens(), ids=str)
def test_a_screen_is_what_the_program_shows(
    screen: Screen,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", screen.columns)
    words = []
    for word in screen.words:
        if word.startswith("@"):
            words.append(str(captures.load(word[1:]).write_to(tmp_path / "capture")))
        else:
            words.append(example(word, tmp_path))
    assert main(words) in VERDICTS
    shown = iter(capsys.readouterr().out.splitlines())
    missing = [line for line in screen.lines if line.strip() and line not in shown]
    assert missing == []
