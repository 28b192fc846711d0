# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers as the kernel prints them.  Stricter than int(): no sign, space, underscore, script.

Every pattern is written for ASCII and a bounded length, so that garbage ends as
`MalformedError` and never as a huge integer.
"""

from __future__ import annotations

import re
from typing import Final

from agent.core.facts.bounds import is_size
from agent.sources.outcome import MalformedError

_MOST_NAME_DIGITS: Final = 10
_DECIMAL = re.compile(r"[0-9]{1,20}\n?", re.ASCII)
_HEX = re.compile(r"(?:0x)?([0-9a-fA-F]{1,16})\n?", re.ASCII)


def shown(text: str, limit: int = 40) -> str:
    """The beginning of a text for an error message, printable whatever it holds."""
    return repr(text if len(text) <= limit else text[:limit] + "...")


def parse_decimal(text: str) -> int:
    """`524288` and its line end -> 524288.

    Raises:
        MalformedError: anything else.
    """
    if _DECIMAL.fullmatch(text) is None:
        raise MalformedError(f"{shown(text)} is not a decimal number")
    return int(text)


def parse_hex(text: str) -> int:
    """`0x3fffffff` or `8000000` and a line end -> the number, at most 64 bits.

    Raises:
        MalformedError: anything else.
    """
    match = _HEX.fullmatch(text)
    if match is None:
        raise MalformedError(f"{shown(text)} is not a hexadecimal number")
    return int(match.group(1), 16)


def parse_kib(text: str) -> int:
    """A size that a machine could have.

    Raises:
        MalformedError: no number, or beyond that.
    """
    kib = parse_decimal(text)
    if not is_size(kib):
        raise MalformedError(f"{shown(text)} is more than a machine could have")
    return kib


def is_number(name: str) -> bool:
    """Whether the name of a file is a process's or an entry's number (`²` is a digit to Python)."""
    return len(name) <= _MOST_NAME_DIGITS and name.isascii() and name.isdigit()
