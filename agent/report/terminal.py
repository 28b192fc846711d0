# SPDX-License-Identifier: GPL-2.0-or-later
"""The terminal at the end: width, colours, ASCII, and redrawing in place.  Uses rich."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from agent.report.styled import Line, harmless, plain, to_ascii

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
NARROWEST: Final = 40
WIDEST: Final = 100


class Terminal:
    """Standard output as a screen."""

    def __init__(self, *, ascii_only: bool | None = None) -> None:
        self._console = _console()
        if ascii_only is None:
            ascii_only = "utf" not in (sys.stdout.encoding or "ascii").lower()
        self.ascii_only = ascii_only

    @property
    def width(self) -> int:
        """Columns to draw for."""
        return max(NARROWEST, min(WIDEST, self._console.width))

    @property
    def redraws(self) -> bool:
        """Whether the cursor can be moved back, so that a screen is refreshed in place."""
        return bool(self._console.is_terminal and not self._console.is_dumb_terminal)

    def show(self, lines: Iterable[Line]) -> None:
        """Print lines, with colours where the terminal has them (and NO_COLOR is not set)."""
        if not self._console.is_terminal or self._console.no_color:
            sys.stdout.write(plain(lines, ascii_only=self.ascii_only))
            sys.stdout.flush()
            return
        from rich.text import Text  # noqa: PLC0415 - loaded only to draw

        for spans in lines:
            text = Text(no_wrap=True, overflow="ignore")
            for span in spans:
                shown = harmless(span.text)
                shown = to_ascii(shown) if self.ascii_only else shown
                text.append(shown, THEME.get(span.style, ""))
            self._console.print(text, soft_wrap=True)

    def refresh(self, lines: Iterable[Line]) -> None:
        """Show lines in the place of what was shown before, or below it on a dumb terminal."""
        if self.redraws:
            sys.stdout.write("\x1b[H\x1b[J")
        self.show(lines)


def _console() -> "Console":
    from rich.console import Console  # noqa: PLC0415 - 20 ms that --json does not pay

    return Console(highlight=False, markup=False, emoji=False, legacy_windows=False)
