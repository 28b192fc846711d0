# SPDX-License-Identifier: GPL-2.0-or-later
"""The documents as tests read them: code, blocks, and the commands in both."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

TOP: Final = Path(__file__).parents[2]
DOCUMENTS: Final = sorted([*TOP.glob("*.md"), *(TOP / "docs").glob("*.md")])
VERDICTS: Final = {0, 1, 2, 4}
# Words in capitals stand for something of the reader's.
EXAMPLES: Final = {"SIZE": "512M", "SCENARIO": "balloon-up", "SECONDS": "1"}


class Line(NamedTuple):
    """One command of a document."""

    where: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where}: {' '.join(self.words)}"


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def code_of(document: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of fenced and indented blocks, and what stands in backticks."""
    fenced = False
    for number, line in enumerate(text_of(document).splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield number, line
        else:
            for code in re.findall(r"`([^`]+)`", line):
                yield number, code


def commands(program: str) -> list[Line]:
    """Every use of a program: what is before a comment, a pipe or a redirection."""
    found = []
    for document in DOCUMENTS:
        for number, line in code_of(document):
            for part in re.split(r" && | \|\| |; ", re.split(r"\s#", line)[0]):
                shown = re.split(r"(?<=\S) {2,}| \| | > ", part.strip())[0]
                match = re.match(rf"(?:\S*/)?{program} (.+)", shown)
                if match and "..." not in match[1]:
                    name = document.relative_to(TOP)
                    found.append(Line(f"{name}:{number}", tuple(shlex.split(match[1]))))
    return found


def blocks(document: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Every fenced block: its line, the line before it, what is in it."""
    before, start = "", 0
    inside: list[str] | None = None
    for number, line in enumerate(text_of(document).splitlines(), 1):
        if line.startswith("```"):
            if inside is None:
                inside, start = [], number
                continue
            yield start, before, inside
            inside = None
        elif inside is not None:
            inside.append(line)
        before = line if inside is None else before


def example(word: str, directory: Path) -> str:
    """A word of a document, with what it stands for in it."""
    word = word.strip("[]")
    if re.fullmatch(r"DIR|CAPTURE", word):
        return str(directory)
    if re.fullmatch(r"[A-Z]+(\.[a-z.]+)?", word):
        return EXAMPLES.get(word, str(directory / word))
    return word
