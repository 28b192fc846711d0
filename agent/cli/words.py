# SPDX-License-Identifier: GPL-2.0-or-later
"""The words of a command line, as far as the light door has to understand them without click."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# Options that say which domain; they are accepted before and after the command.
_DOMAIN_OPTIONS: Final = ("--root", "--xenstore", "--sim")


def domain_options_first(words: Sequence[str]) -> list[str]:
    """Move --root, --xenstore and --sim with their values before the command.

    People write them where they think of them; click wants them before the command.
    """
    moved: list[str] = []
    rest: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        if word == "--":
            rest += words[position:]
            break
        if word in _DOMAIN_OPTIONS:
            moved += words[position : position + 2]
            position += 2
        elif word.startswith(tuple(f"{option}=" for option in _DOMAIN_OPTIONS)):
            moved.append(word)
            position += 1
        else:
            rest.append(word)
            position += 1
    return moved + rest


def command_of(words: Sequence[str]) -> str | None:
    """The command among words in click's order: the first that is no option nor its value."""
    is_value = False
    for word in words:
        if not is_value and not word.startswith("-"):
            return word
        is_value = word in _DOMAIN_OPTIONS
    return None


def domain_options(words: Sequence[str]) -> dict[str, str] | None:
    """The values of --root and so on in words that hold nothing else; None if they do."""
    given: dict[str, str] = {}
    left = list(words)
    while left:
        name, equals, value = left.pop(0).partition("=")
        if name not in _DOMAIN_OPTIONS or not (equals or left):
            return None
        given[name] = value if equals else left.pop(0)
    return given
