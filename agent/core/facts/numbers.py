# SPDX-License-Identifier: GPL-2.0-or-later
r"""Numbers from outside: digits only, of bounded length, or `MalformedError` with the reason.

`int()` is no gate for them: it takes "1_000", " 5\n", "+5" and Arabic digits.

Files of the kernel are text with a line end behind the number.  xenstore holds byte strings that
the toolstack, or anybody with dom0's rights, may set; the kernel's own reader, scanf("%llu"), takes
"5 apples" for 5.  What a toolstack really writes is a plain decimal (`memory/target`: b"524288"),
with a minus sign in one case (`memory/videoram`: b"-1", written by xl for PV guests and by
init-dom0less).  Without `re`: see `pattern`.

Relies on docs/design.md A19.
"""

from __future__ import annotations

from typing import Final

from agent.core.facts.bounds import is_size

LARGEST_SIGNED: Final = 2**63 - 1
_LARGEST: Final = 2**64 - 1
_MOST_DIGITS: Final = 20  # of 2**64 - 1
_MOST_HEX_DIGITS: Final = 16
_MOST_NAME_DIGITS: Final = 10
_EXCERPT_BYTES: Final = 24
_HEX_DIGITS: Final = "0123456789abcdefABCDEF"


class MalformedError(ValueError):
    """What was read is not what is written there; the text says why, in one printable line."""


def parse_decimal(text: str) -> int:
    """`524288` and its line end, as the kernel prints it."""
    digits = text.removesuffix("\n")
    if not is_digits(digits):
        raise MalformedError(f"{shown(text)} is not a decimal number")
    return int(digits)


def parse_hex(text: str) -> int:
    """`0x3fffffff` or `8000000` and a line end, at most 64 bits."""
    digits = text.removesuffix("\n").removeprefix("0x")
    if not 0 < len(digits) <= _MOST_HEX_DIGITS or digits.strip(_HEX_DIGITS):
        raise MalformedError(f"{shown(text)} is not a hexadecimal number")
    return int(digits, 16)


def parse_kib(text: str) -> int:
    """As `parse_decimal`, and a size that a machine could have."""
    kib = parse_decimal(text)
    if not is_size(kib):
        raise MalformedError(f"{shown(text)} is more than a machine could have")
    return kib


def key_decimal(raw: bytes) -> int:
    """The number that a key spells in plain decimal digits, 0 to 2**64 - 1."""
    if not raw:
        raise MalformedError("empty")
    if not raw.isdigit():  # of bytes: 0-9 only, whatever the locale
        raise MalformedError(f"not a decimal number: {excerpt(raw)}")
    if len(raw) > _MOST_DIGITS:
        raise MalformedError(f"longer than {_MOST_DIGITS} digits: {excerpt(raw)}")
    if len(raw) > 1 and raw.startswith(b"0"):
        raise MalformedError(f"leading zero, octal or decimal: {excerpt(raw)}")
    value = int(raw)
    if value > _LARGEST:
        raise MalformedError(f"more than 64 bits: {excerpt(raw)}")
    return value


def key_signed(raw: bytes) -> int:
    """As `key_decimal`, with an optional minus sign, -(2**63 - 1) to 2**63 - 1."""
    negative = raw.startswith(b"-")
    try:
        size = key_decimal(raw[1:] if negative else raw)
    except MalformedError:
        if negative:
            raise MalformedError(f"not a decimal number: {excerpt(raw)}") from None
        raise
    if size > LARGEST_SIGNED:
        raise MalformedError(f"more than 64 bits with its sign: {excerpt(raw)}")
    if negative and not size:
        raise MalformedError(f"minus zero: {excerpt(raw)}")
    return -size if negative else size


def key_kib(raw: bytes) -> int:
    """As `key_decimal`, and no more KiB than a machine could have."""
    return _bounded(key_decimal(raw), raw)


def key_signed_kib(raw: bytes) -> int:
    """As `key_signed`, and on either side no more KiB than a machine could have."""
    return _bounded(key_signed(raw), raw)


def _bounded(kib: int, raw: bytes) -> int:
    if not is_size(abs(kib)):
        raise MalformedError(f"more than a machine could have: {excerpt(raw)}")
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


def shown(text: str, limit: int = 40) -> str:
    """The beginning of a text for an error message, printable whatever it holds."""
    return repr(text if len(text) <= limit else text[:limit] + "...")


def excerpt(raw: bytes) -> str:
    """The start of `raw` in printable ASCII between quotes, safe for a terminal and a log."""
    printable = ascii(raw[:_EXCERPT_BYTES])[1:]  # without the b of a bytes literal
    rest = len(raw) - _EXCERPT_BYTES
    return f"{printable} and {rest} bytes more" if rest > 0 else printable
