# SPDX-License-Identifier: GPL-2.0-or-later
"""The pictures of the documents are what the program draws today."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from agent.report.styled import Span
from agent.report.terminal import THEME
from tests.pictures.gallery import FOLDER, pictures
from tests.pictures.terminal_svg import CELL, COLOURS, PAD, screen_svg

TOP = Path(__file__).parents[2]
MADE = pictures()


@pytest.mark.parametrize("name", sorted(MADE))
def test_a_picture_is_current(name: str) -> None:
    kept = (FOLDER / name).read_text(encoding="utf-8")
    assert kept == MADE[name], "run: make pictures"


def test_every_picture_is_made_and_shown_somewhere() -> None:
    documents = [*TOP.glob("*.md"), *(TOP / "docs").glob("*.md")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in documents)
    kept = {path.name for path in FOLDER.iterdir()}
    assert kept == set(MADE)
    assert not [name for name in kept if f"pictures/{name})" not in text]


def test_a_simulated_picture_says_so() -> None:
    assert all(">SIMULATED<" in svg for name, svg in MADE.items() if name.startswith("demo-"))


def test_every_style_of_the_terminal_has_its_colour() -> None:
    assert set(COLOURS) == set(THEME)


def test_text_stands_in_its_cells_and_is_harmless() -> None:
    svg = screen_svg([(Span("ab "), Span("██"), Span(" <&>", "ok"))], "a & b")
    root = ElementTree.fromstring(svg)
    below = "{http://www.w3.org/2000/svg}"
    texts = {one.text: float(one.get("x", "0")) for one in root.iter(f"{below}text")}
    assert texts == pytest.approx({"ab": PAD, "<&>": PAD + 6 * CELL}, abs=0.1)
    assert len(list(root.iter(f"{below}rect"))) == 2
