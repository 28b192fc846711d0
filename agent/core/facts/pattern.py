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
    """As `re.Pattern`, of ASCII's letters and digits; flags stand in front, as in `(?m)^total`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def fullmatch(self, text: str) -> re.Match[str] | None:
        return self._compiled().fullmatch(text)

    def match(self, text: str) -> re.Match[str] | None:
        return self._compiled().match(text)

    def search(self, text: str) -> re.Match[str] | None:
        return self._compiled().search(text)

    def findall(self, text: str) -> list[Any]:
        return self._compiled().findall(text)

    def _compiled(self) -> re.Pattern[str]:
        import re  # noqa: PLC0415 - see above

        return re.compile(self._text, re.ASCII)  # which keeps it
