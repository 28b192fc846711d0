# SPDX-License-Identifier: GPL-2.0-or-later
"""What the exit status of a command or of the daemon means; sysexits(3) where it fits."""

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
NO_MEMORY: Final = 71  # EX_OSERR
MISSING_PART: Final = 72
CANNOT_CREATE: Final = 73
RUNNING: Final = 75  # EX_TEMPFAIL: another one has the place
NO_PERMISSION: Final = 77
CONFIGURATION: Final = 78
INTERRUPTED: Final = 130

OF_VERDICT: Final[Mapping[str, int]] = {
    "ok": OK,
    "warning": WARNING,
    "critical": CRITICAL,
    "unknown": UNKNOWN,
}
