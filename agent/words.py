# SPDX-License-Identifier: GPL-2.0-or-later
"""The words of a command line, read by hand where click costs too much.

That is in the daemon, whose memory every guest pays for, and in the door in front of it, which does
not load typing either: see `lean`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

DOMAIN_OPTIONS = ("--root", "--xenstore", "--sim")
"""They say which domain, and are accepted before and after the command."""


class Words:
    """A command line taken apart.

    Attributes:
        given: the value of each option that was looked for, "" for one that takes none.
        rest: every other word, in order.
        lacking: an option at the very end that has no value.
    """

    def __init__(self, given: dict[str, str], rest: list[str], lacking: str | None = None) -> None:
        self.given = given
        self.rest = rest
        self.lacking = lacking

    @property
    def command(self) -> str | None:
        """The first word that is left and no option."""
        return next((word for word in self.rest if not word.startswith("-")), None)

    def for_click(self) -> list[str]:
        """With the options first, where click wants those of the domain."""
        if self.lacking is not None:
            return [self.lacking]  # it has the sentence
        return [f"{name}={value}" for name, value in self.given.items()] + self.rest


def take_apart(words: Sequence[str], valued: Sequence[str], flags: Sequence[str] = ()) -> Words:
    """Look for `--option VALUE` and `--option=VALUE`, and for flags, up to a `--`."""
    given: dict[str, str] = {}
    rest: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            return Words(given, [*rest, word, *left])
        if name in valued and not (equals or left):
            return Words(given, rest, name)
        if name in valued:
            given[name] = value if equals else left.pop(0)
        elif word in flags:
            given[word] = ""
        else:
            rest.append(word)
    return Words(given, rest)
