# SPDX-License-Identifier: GPL-2.0-or-later
"""A screen of the program as SVG: its lines of styled text, in the colours of a dark terminal.

Every piece of text is stretched to its cells, so that it looks alike whatever monospaced font the
reader has; bars are rectangles, as fonts differ in block characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from typing import Final

from agent.report.styled import Line

FONTS: Final = "ui-monospace, DejaVu Sans Mono, Menlo, Consolas, monospace"
CELL: Final = 8.4
ROW: Final = 18
PAD: Final = 14
COLOURS: Final = {
    "heading": "#ffffff",
    "dim": "#8b949e",
    "ok": "#56d364",
    "info": "#58c7d6",
    "warning": "#e3b341",
    "critical": "#ff7b72",
    "unknown": "#d2a8ff",
    "populated": "#3fb950",
    "ballooned": "#4493f8",
    "elsewhere": "#8b949e",
    "offline": "#d29922",
    "mark": "#ffffff",
    "banner": "#e3b341",
}
PLAIN: Final = "#d6dbe1"
BOLD: Final = {"heading", "ok", "warning", "critical", "unknown", "mark", "banner"}
# How much of its cell a block character fills, and how densely.
_BLOCKS: Final = {"█": 1.0, "▒": 0.55, "░": 0.3}


def screen_svg(lines: Sequence[Line], title: str, columns: int = 80) -> str:
    """The lines as an SVG document; `title` is for those who cannot see it."""
    width = columns * CELL + 2 * PAD
    height = len(lines) * ROW + 2 * PAD
    size = f"viewBox='0 0 {width:g} {height:g}' width='{width:g}' height='{height:g}'"
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' {size} role='img'>",
        f"<title>{escape(title)}</title>",
        f"<rect width='{width:g}' height='{height:g}' rx='8' fill='#161b22'/>",
        f"<g font-family='{FONTS}' font-size='14' xml:space='preserve'>",
    ]
    for row, spans in enumerate(lines):
        column = 0
        for span in spans:
            parts += _span(span.text, span.style, row, column)
            column += len(span.text)
    return "\n".join([*parts, "</g>", "</svg>"]) + "\n"


def _span(text: str, style: str, row: int, column: int) -> Iterator[str]:
    """The pieces of one span: runs of the same block character, and words between them."""
    colour = COLOURS.get(style, PLAIN)
    for block, characters in groupby(text, lambda c: c if c in _BLOCKS else ""):
        run = "".join(characters)
        x, top = PAD + column * CELL, PAD + row * ROW
        wide = len(run) * CELL
        column += len(run)
        if block:
            yield (
                f"<rect x='{x:.1f}' y='{top + 1}' width='{wide:.1f}' height='{ROW - 2}' "
                f"fill='{colour}' opacity='{_BLOCKS[block]:g}'/>"
            )
        elif run.strip():
            indent = len(run) - len(run.lstrip())
            words = run.strip()
            weight = " font-weight='bold'" if style in BOLD else ""
            yield (
                f"<text x='{x + indent * CELL:.1f}' y='{top + 13}' "
                f"textLength='{len(words) * CELL:.1f}' lengthAdjust='spacingAndGlyphs' "
                f"fill='{colour}'{weight}>{escape(words)}</text>"
            )
