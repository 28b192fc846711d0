# SPDX-License-Identifier: GPL-2.0-or-later
"""How the kernel reads numbers that somebody writes into a file or into xenstore.

Four readers with four tempers (lib/vsprintf.c, lib/cmdline.c, lib/kstrtox.c): two take anything,
one is strict, one stops at what it does not know.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Final

from agent.core.facts.units import PAGE_KIB

ULONG_MASK: Final = (1 << 64) - 1
_DIGITS: Final = "0123456789abcdef"
_SHIFTS: Final = {"k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}


def simple_strtoull(text: str) -> tuple[int, str]:
    """The number at the start of `text` and what follows it; never fails.

    0x is hexadecimal, a leading 0 octal; no sign and no blank is understood (`-1` and `abc` are
    0), and what is too large wraps at 2**64.
    """
    base, body = _base_of(text)
    digits = "".join(takewhile(_DIGITS[:base].__contains__, body.lower()))
    return int(digits or "0", base) & ULONG_MASK, body[len(digits) :]


def pages_as_kib(pages: int) -> int:
    """PAGES2KB of an unsigned long: wraps at 2**64."""
    return pages * PAGE_KIB & ULONG_MASK


def memparse(text: str) -> int:
    """A size in bytes with a suffix K, M, G, T, P or E, as `target` takes it."""
    value, rest = simple_strtoull(text)
    return (value << _SHIFTS.get(rest[:1].lower(), 0)) & ULONG_MASK


def kstrtoul(text: str) -> int:
    """A number and nothing else but one line end, as the back-off attributes take it.

    Raises:
        ValueError: EINVAL, not a number.
        OverflowError: ERANGE, more than 64 bits.
    """
    bare = text.removesuffix("\n").removeprefix("+")
    base, body = _base_of(bare)
    if not body or any(_DIGITS.find(c, 0, base) < 0 for c in body.lower()):
        raise ValueError(f"{text!r} is not a number")
    value = int(body, base)
    if value > ULONG_MASK:
        raise OverflowError(f"{text!r} needs more than 64 bits")
    return value


def kstrtobool(text: str) -> None:
    """Yes or no, as `scrub_pages` takes it: the first character tells, after an `o` the second.

    Raises:
        ValueError: EINVAL.
    """
    if not text.lower().startswith(("1", "y", "t", "on", "0", "n", "f", "of")):
        raise ValueError(f"{text!r} is neither yes nor no")


def scan_u64(text: str) -> int | None:
    """What `xenbus_scanf(..., "%llu")` finds: decimal digits after blanks, the rest ignored.

    None when there is no digit, as in `abc` or `-5`; `0x10` is 0, and too much wraps.
    """
    digits = "".join(takewhile(_DIGITS[:10].__contains__, text.lstrip(" \t\n\v\f\r")))
    return int(digits) & ULONG_MASK if digits else None


def _base_of(text: str) -> tuple[int, str]:
    """The base that a prefix asks for, and the digits behind the prefix."""
    if text[:2].lower() == "0x" and text[2:3].lower() in tuple(_DIGITS):
        return 16, text[2:]
    if text[:1] == "0":
        return 8, text
    return 10, text
