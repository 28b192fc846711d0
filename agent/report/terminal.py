# SPDX-License-Identifier: GPL-2.0-or-later
"""The terminal at the end: width, colours, ASCII, and redrawing in place.

Uses rich where there is a terminal; a pipe or a file gets plain text without loading it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from agent.report.styled import Line, Span, harmless, plain, to_ascii

if TYPE_CHECKING:
    from rich.console import Console

THEME: Final = {
    "heading": "bold",
    "dim": "dim",
    "ok": "bold green",
    "info": "cyan",
    "warning": "bold yellow",
    "critical": "bold red",
    "unknown": "bold magenta",
    "populated": "green",
    "ballooned": "blue",
    "elsewhere": "dim",
    "offline": "yellow",
    "mark": "bold",
    "banner": "bold black on yellow",
}
# ECMA-48: cursor to the corner, erase to the end of the line, erase to the end of the screen.
_HOME: Final = "\x1b[H"
_ERASE_LINE: Final = "\x1b[K"
_ERASE_BELOW: Final = "\x1b[J"
NARROWEST: Final = 40
WIDEST: Final = 100


class Terminal:
    """Standard output as a screen."""

    def __init__(self, *, ascii_only: bool = False) -> None:
        self._console: Console | None = None
        if sys.stdout.isatty() or os.environ.get("FORCE_COLOR"):  # https://force-color.org
            from rich.console import Console  # noqa: PLC0415 - 20 ms that --json does not pay

            self._console = Console(
                highlight=False, markup=False, emoji=False, legacy_windows=False
            )
        self.ascii_only = ascii_only or "utf" not in (sys.stdout.encoding or "ascii").lower()

    @property
    def width(self) -> int:
        columns = self._console.width if self._console else _columns_around_a_pipe()
        return max(NARROWEST, min(WIDEST, columns))

    @property
    def rows(self) -> int | None:
        """How many lines are seen at once; None where it is no terminal."""
        return self._console.size.height if self._console and sys.stdout.isatty() else None

    @property
    def redraws(self) -> bool:
        """Whether the cursor can be moved back, so that a screen is refreshed in place."""
        console = self._console
        return bool(console and console.is_terminal and not console.is_dumb_terminal)

    def show(self, lines: Iterable[Line]) -> None:
        """Print lines, with colours where the terminal has them (and NO_COLOR is not set)."""
        sys.stdout.write(self._drawn(lines))
        sys.stdout.flush()

    def refresh(self, lines: Sequence[Line]) -> None:
        """Show lines in the place of what was shown before, as many as the terminal has.

        Only for a terminal that `redraws`.  Nothing is erased before it is written over, so that
        the screen does not flicker.
        """
        assert self._console is not None
        room = max(1, self._console.size.height - 1)
        if len(lines) > room:
            more = f"... {len(lines) - room + 1} lines more in a taller terminal"
            lines = [*lines[: room - 1], (Span(more, "dim"),)]
        text = self._drawn(lines).replace("\n", f"{_ERASE_LINE}\n")
        sys.stdout.write(f"{_HOME}{text}{_ERASE_BELOW}")
        sys.stdout.flush()

    def _drawn(self, lines: Iterable[Line]) -> str:
        console = self._console
        if console is None or not console.is_terminal or console.no_color:
            return plain(lines, ascii_only=self.ascii_only)
        from rich.text import Text  # noqa: PLC0415 - loaded only to draw

        with console.capture() as captured:
            for spans in lines:
                text = Text(no_wrap=True, overflow="ignore")
                for span in spans:
                    shown = harmless(span.text)
                    shown = to_ascii(shown) if self.ascii_only else shown
                    text.append(shown, THEME.get(span.style, ""))
                console.print(text, soft_wrap=True)
        return captured.get()


def _columns_around_a_pipe() -> int:
    """$COLUMNS, or the width of the terminal that standard error or input is, or 80."""
    fallback = 80
    for descriptor in (0, 2):
        try:
            fallback = os.get_terminal_size(descriptor).columns or fallback
        except OSError:
            continue
    return shutil.get_terminal_size((fallback, 24)).columns
