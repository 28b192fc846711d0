# SPDX-License-Identifier: GPL-2.0-or-later
r"""Numbers that come from outside: digits only, of bounded length, or a reason why not.

xenstore holds byte strings that the toolstack, or anybody with dom0's rights, may set.
`int()` is no gate for them: it takes "1_000", " 5\n", "+5" and Arabic digits. Neither is the
kernel's own reader, whose scanf("%llu") takes "5 apples" for 5. What a toolstack really writes
is a plain decimal (`memory/target`: b"524288"), with a minus sign in one case
(`memory/videoram`: b"-1", written by xl for PV guests and by init-dom0less).

Relies on docs/design.md A19.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.core.facts.bounds import LARGEST_KIB

MOST_DIGITS: Final = 20  # of 2**64 - 1
LARGEST: Final = 2**64 - 1
LARGEST_SIGNED: Final = 2**63 - 1
_EXCERPT_BYTES: Final = 24


class Untrusted(NamedTuple):
    """A number from outside after it was judged.

    Attributes:
        value: the number, None when it was refused.
        why: the reason of the refusal in one printable line, None when there is a value.
    """

    value: int | None
    why: str | None


def parse_decimal(raw: bytes) -> Untrusted:
    """The number that `raw` spells in plain decimal digits, 0 to 2**64 - 1; never raises."""
    if not raw:
        return Untrusted(None, "empty")
    if not raw.isdigit():  # of bytes: 0-9 only, whatever the locale
        return Untrusted(None, f"not a decimal number: {excerpt(raw)}")
    if len(raw) > MOST_DIGITS:
        return Untrusted(None, f"longer than {MOST_DIGITS} digits: {excerpt(raw)}")
    if len(raw) > 1 and raw.startswith(b"0"):
        return Untrusted(None, f"leading zero, octal or decimal: {excerpt(raw)}")
    value = int(raw)
    if value > LARGEST:
        return Untrusted(None, f"more than 64 bits: {excerpt(raw)}")
    return Untrusted(value, None)


def parse_signed_decimal(raw: bytes) -> Untrusted:
    """As `parse_decimal`, with an optional minus sign, -(2**63 - 1) to 2**63 - 1."""
    negative = raw.startswith(b"-")
    size = parse_decimal(raw[1:] if negative else raw)
    if size.value is None:
        return Untrusted(None, f"not a decimal number: {excerpt(raw)}") if negative else size
    if size.value > LARGEST_SIGNED:
        return Untrusted(None, f"more than 64 bits with its sign: {excerpt(raw)}")
    if negative and not size.value:
        return Untrusted(None, f"minus zero: {excerpt(raw)}")
    return Untrusted(-size.value if negative else size.value, None)


def parse_kib(raw: bytes) -> Untrusted:
    """As `parse_decimal`, and no more KiB than a machine could have."""
    return _bounded(parse_decimal(raw), raw)


def parse_signed_kib(raw: bytes) -> Untrusted:
    """As `parse_signed_decimal`, and on either side no more KiB than a machine could have."""
    return _bounded(parse_signed_decimal(raw), raw)


def _bounded(size: Untrusted, raw: bytes) -> Untrusted:
    if size.value is not None and abs(size.value) > LARGEST_KIB:
        return Untrusted(None, f"more than a machine could have: {excerpt(raw)}")
    return size


def excerpt(raw: bytes) -> str:
    """The start of `raw` in printable ASCII between quotes, safe for a terminal and a log."""
    shown = ascii(raw[:_EXCERPT_BYTES])[1:]  # without the b of a bytes literal
    rest = len(raw) - _EXCERPT_BYTES
    return f"{shown} and {rest} bytes more" if rest > 0 else shown
