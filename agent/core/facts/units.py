# SPDX-License-Identifier: GPL-2.0-or-later
"""The one place that converts: bytes, KiB, pages, and sizes as people write and read them.

A *page* in this project is Xen's, 4 KiB on every architecture (`XEN_PAGE_SIZE`,
include/xen/page.h); the kernel's own page may be larger and is only needed where the kernel
counts in it (/proc/zoneinfo, struct pages).  A *KiB* is what /proc/meminfo and the balloon's
sysfs files call kB.

Relies on docs/design.md A1.
"""

from __future__ import annotations

from typing import Final

from agent.core.facts.pattern import Pattern

PAGE_KIB: Final = 4
PAGE_BYTES: Final = PAGE_KIB * 1024
KIB: Final = 1024
MIB_KIB: Final = 1024
GIB_KIB: Final = 1024 * 1024

_SUFFIX_BYTES: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = Pattern(r"([0-9]{1,15})(?:\.([0-9]{1,6}))? ?([KMGT]?)(?:iB|B)?")


def pages_to_kib(pages: int) -> int:
    """Xen pages as KiB."""
    return pages * PAGE_KIB


def kib_to_pages(kib: int) -> int:
    """Whole Xen pages in `kib` KiB; what does not fill a page is cut, as the kernel does."""
    return kib // PAGE_KIB


def parse_size_kib(text: str, *, bare_unit: str = "") -> int:
    """A size as a person writes it (`512M`, `1.5 GiB`, `4096K`), in KiB.

    A bare number is in `bare_unit` (one of "", K, M, G, T; "" means bytes).

    Raises:
        ValueError: not a size, or not a whole number of KiB; the message says what would be one.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:64]!r} is not a size; write for example 512M, 1.5G or 262144K")
    whole, fraction, suffix = match.groups()
    scale = 10 ** len(fraction or "")
    scaled_bytes = int(whole + (fraction or "")) * _SUFFIX_BYTES[suffix or bare_unit]
    if scaled_bytes % (scale * KIB):
        raise ValueError(
            f"{text[:64]!r} is not a whole number of KiB; write for example 512M or 262144K"
        )
    whole_kib: int = scaled_bytes // (scale * KIB)
    return whole_kib


def format_kib(kib: int) -> str:
    """A size for a person: at most three digits that matter and the unit, `1.25 GiB`."""
    sign, size = ("-", -kib) if kib < 0 else ("", kib)
    for unit, unit_kib in (("TiB", 1 << 30), ("GiB", 1 << 20), ("MiB", 1 << 10)):
        number = size / unit_kib
        if number >= 0.9995:  # what would round to 1000 of the smaller unit and more
            decimals = 0 if number >= 99.95 else 1 if number >= 9.995 else 2
            digits = f"{number:.{decimals}f}"
            return f"{sign}{digits.rstrip('0').rstrip('.') if decimals else digits} {unit}"
    return f"{sign}{size} KiB"


def format_pages(kib: int) -> str:
    """Whole Xen pages, as a number with its noun."""
    pages = kib_to_pages(kib)
    return f"{pages} page" if abs(pages) == 1 else f"{pages} pages"


def format_exactly(kib: int) -> str:
    """A size to read and the exact number."""
    return f"{format_kib(kib)} ({kib} KiB)"


def format_apart(kib: int, other_kib: int) -> str:
    """The same, in KiB where the other size would read alike."""
    text = format_kib(kib)
    return text if kib == other_kib or text != format_kib(other_kib) else f"{kib} KiB"
