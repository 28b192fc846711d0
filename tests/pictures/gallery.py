# SPDX-License-Identifier: GPL-2.0-or-later
"""The pictures of the documents, each made by the program from a guest that the tests have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agent.report.status_text import status_lines
from agent.report.styled import Line, Span
from sim_backend.stories.demonstration import play
from tests.pictures.terminal_svg import screen_svg
from tests.support.captured import assessed
from tests.xenlab import demonstration, paths

FOLDER: Final = Path(__file__).parents[2] / "docs" / "pictures"
GUEST: Final = "pv-512-1024/boot"
LEFT_OUT: Final = "... the waterfall from the maximum to what programs can use ..."


def pictures() -> Mapping[str, str]:
    """File names and SVG documents."""
    found = {"status.svg": _status()}
    for told in play():
        found |= {f"demo-{name}": svg for name, svg in told.plots().items()}
    return found | _on_xen()


def _on_xen() -> dict[str, str]:
    """The demonstration as a real Xen played it last."""
    told = json.loads(paths.LAST_DEMONSTRATION.read_text())
    return {f"xen-{name}.svg": demonstration.picture(told, name) for name in demonstration.STORIES}


def _status() -> str:
    """`status` of a real guest, without the waterfall, which is shown elsewhere."""
    lines = status_lines(assessed(GUEST), 80)
    heads = [_text(spans).partition(" ")[0] for spans in lines]
    first, last = heads.index("Waterfall"), heads.index("Reconciliation")
    shown = [*lines[:first], (Span(LEFT_OUT, "dim"),), (), *lines[last:]]
    while not _text(shown[-1]).strip():
        del shown[-1]
    while _text(shown[0]).startswith("Capture") or not _text(shown[0]).strip():
        del shown[0]
    return screen_svg(shown, "balloon-agent status: the memory of a guest, every KiB with a name")


def _text(spans: Line) -> str:
    return "".join(span.text for span in spans)
