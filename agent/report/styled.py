# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines of text with styles, independent of any terminal: made by reports, shown by `terminal`."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from typing import Final, NamedTuple

# What to write where the terminal has no such character.
_ASCII: Final = str.maketrans(
    {
        "█": "#", "▒": "+", "░": ".", "·": "-", "▼": "v", "▲": "^", "│": "|", "●": "*",
        "━": "=", "─": "-", "—": "-", "…": "~", "≈": "~", "×": "x", "−": "-", "╳": "x",
        "▁": "_", "▂": "_", "▃": "-", "▄": "-", "▅": "=", "▆": "=", "▇": "#",
    }
)  # fmt: skip

_NUMBER_AND_UNIT: Final = re.compile(r"([0-9]) ([KMGT]iB|%|s|pages)(?![A-Za-z])")
_NO_BREAK: Final = "\u00a0"


class Span(NamedTuple):
    """A piece of a line; `style` is one of the names in `terminal.THEME`, "" is plain."""

    text: str
    style: str = ""


Line = tuple[Span, ...]


def line(*spans: Span | str) -> Line:
    """A line of spans; a bare string is a plain one."""
    return tuple(Span(span) if isinstance(span, str) else span for span in spans)


def heading(text: str) -> Line:
    """The name of a section."""
    return line(Span(text, "heading"))


def wrapped(text: str, width: int, *, indent: str = "", style: str = "") -> list[Line]:
    """A sentence over as many lines as it needs; `indent` before each.

    A path that is longer than a line is broken where the line ends; a number stays with its unit.
    """
    pieces = textwrap.wrap(
        _NUMBER_AND_UNIT.sub(f"\\1{_NO_BREAK}\\2", text),
        max(width, len(indent) + 20),
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
    return [line(Span(piece.replace(_NO_BREAK, " "), style)) for piece in pieces]


def cut(text: str, columns: int) -> str:
    """The text if it fits into the columns, else its beginning and an ellipsis."""
    return text if len(text) <= columns else f"{text[: columns - 1]}…"


def labelled(
    label: str, text: str, width: int, *, indent: str = "", columns: int = 10
) -> list[Line]:
    """A word before the first line of a text, the rest below the text."""
    lines = wrapped(text, width, indent=" " * (len(indent) + columns))
    first = lines[0][0].text[len(indent) + columns :] if lines else ""
    return [line(indent, Span(f"{label:<{columns}}", "heading"), first), *lines[1:]]


def beside(head: Line, note: str, width: int, *, style: str = "") -> list[Line]:
    """A remark behind a line, or below it where there is no room."""
    if sum(len(span.text) for span in head) + len(note) + 2 <= width:
        return [(*head, *line("  ", Span(note, style)))]
    return [head, *wrapped(note, width, indent="    ", style=style)]


def without_end(lines: list[Line]) -> list[Line]:
    """The same without empty lines at its end."""
    shown = len(lines)
    while shown and not lines[shown - 1]:
        shown -= 1
    return lines[:shown]


def plain(lines: Iterable[Line], *, ascii_only: bool = False) -> str:
    """The text alone, one line each."""
    text = "".join(
        "".join(harmless(span.text) for span in spans).rstrip() + "\n" for spans in lines
    )
    return to_ascii(text) if ascii_only else text


def harmless(text: str) -> str:
    """The same with control characters spelled out: names in a capture may hold anything."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def to_ascii(text: str) -> str:
    """The same for a terminal that only has ASCII."""
    return text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")
