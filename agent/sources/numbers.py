# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers as the kernel prints them.  Stricter than int(): no sign, space, underscore, script.

Only ASCII and a bounded length will do, so that garbage ends as `MalformedError` and never as a
huge integer.  Without `re`: see `core.facts.pattern`.
"""

from __future__ import annotations

from typing import Final

from agent.core.facts.bounds import is_size
from agent.sources.outcome import MalformedError

_MOST_NAME_DIGITS: Final = 10
_MOST_DIGITS: Final = 20
_MOST_HEX_DIGITS: Final = 16
_HEX_DIGITS: Final = "0123456789abcdefABCDEF"


def shown(text: str, limit: int = 40) -> str:
    """The beginning of a text for an error message, printable whatever it holds."""
    return repr(text if len(text) <= limit else text[:limit] + "...")


def parse_decimal(text: str) -> int:
    """`524288` and its line end -> 524288.

    Raises:
        MalformedError: anything else.
    """
    digits = text.removesuffix("\n")
    if not is_digits(digits):
        raise MalformedError(f"{shown(text)} is not a decimal number")
    return int(digits)


def parse_hex(text: str) -> int:
    """`0x3fffffff` or `8000000` and a line end -> the number, at most 64 bits.

    Raises:
        MalformedError: anything else.
    """
    digits = text.removesuffix("\n").removeprefix("0x")
    if not 0 < len(digits) <= _MOST_HEX_DIGITS or digits.strip(_HEX_DIGITS):
        raise MalformedError(f"{shown(text)} is not a hexadecimal number")
    return int(digits, 16)


def parse_kib(text: str) -> int:
    """A size that a machine could have.

    Raises:
        MalformedError: no number, or beyond that.
    """
    kib = parse_decimal(text)
    if not is_size(kib):
        raise MalformedError(f"{shown(text)} is more than a machine could have")
    return kib


def is_digits(text: str, most: int = _MOST_DIGITS) -> bool:
    """Whether a text is digits and nothing else, at least one (`²` is a digit to Python)."""
    return len(text) <= most and text.isascii() and text.isdigit()


def is_hundredths(text: str, most: int) -> bool:
    """Whether a text is a number with two decimals, as `0.00`, and at most so many before them."""
    whole, _, decimals = text.partition(".")
    return is_digits(whole, most) and len(decimals) == 2 and is_digits(decimals)


def is_number(name: str) -> bool:
    """Whether the name of a file is a process's or an entry's number."""
    return is_digits(name, _MOST_NAME_DIGITS)
