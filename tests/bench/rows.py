# SPDX-License-Identifier: GPL-2.0-or-later
"""What a measurement found beside what is wanted: the shape that all of them hand back."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """One figure; `wanted` is the most it may be, None where it is only told."""

    what: str
    value: float
    wanted: float | None = None
    unit: str = ""

    @property
    def is_good(self) -> bool:
        return self.wanted is None or self.value <= self.wanted

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        limit = "" if self.wanted is None else f" (at most {self.wanted:g})"
        value = f"{self.value:.0f}" if abs(self.value) >= 1000 else f"{self.value:.3g}"
        return f"{self.what} {value}{unit}{limit}"


def tell(title: str, rows: Sequence[Row]) -> int:
    """Print one line; 1 if a limit is passed and the command line has --check."""
    passed = [row.what for row in rows if not row.is_good]
    missed = f"; MISSED: {', '.join(passed)}" if passed else ""
    print(f"{title}: {', '.join(str(row) for row in rows)}{missed}", flush=True)
    return 1 if passed and "--check" in sys.argv else 0


def number(default: int) -> int:
    """The first number on the command line."""
    return next((int(word) for word in sys.argv[1:] if word.isdigit()), default)
