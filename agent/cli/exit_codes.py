# SPDX-License-Identifier: GPL-2.0-or-later
"""What the exit status means; sysexits(3) where it fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OK: Final = 0
WARNING: Final = 1
CRITICAL: Final = 2
UNKNOWN: Final = 4
USAGE: Final = 64
NOT_XEN: Final = 69
INTERNAL: Final = 70
MISSING_PART: Final = 72
CANNOT_CREATE: Final = 73
NO_PERMISSION: Final = 77
CONFIGURATION: Final = 78
INTERRUPTED: Final = 130

OF_VERDICT: Final[Mapping[str, int]] = {
    "ok": OK,
    "warning": WARNING,
    "critical": CRITICAL,
    "unknown": UNKNOWN,
}
