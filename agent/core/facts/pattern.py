# SPDX-License-Identifier: GPL-2.0-or-later
"""Regular expressions that are compiled when they are first asked.

The daemon that comes back from rest asks hardly one, and loading `re` and compiling those it knows
would take a tenth of its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import re


class Pattern:
    """One of ASCII's letters and digits; other flags stand in front of it, as in `(?m)^total`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def fullmatch(self, text: str) -> re.Match[str] | None:
        """Whether all of the text is such."""
        return self._compiled().fullmatch(text)

    def match(self, text: str) -> re.Match[str] | None:
        """Whether it begins so."""
        return self._compiled().match(text)

    def search(self, text: str) -> re.Match[str] | None:
        """Where there is such in it."""
        return self._compiled().search(text)

    def findall(self, text: str) -> list[Any]:
        """The groups of every place where there is."""
        return self._compiled().findall(text)

    def _compiled(self) -> re.Pattern[str]:
        import re  # noqa: PLC0415 - see above

        return re.compile(self._text, re.ASCII)  # which keeps it
