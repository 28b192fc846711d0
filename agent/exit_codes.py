# SPDX-License-Identifier: GPL-2.0-or-later
"""What the exit status of a command or of the daemon means; sysexits(3) where it fits.

Like `words`, it is loaded in front of all else, and loads nothing: see `lean`.
"""

from __future__ import annotations

OK = 0
WARNING = 1
CRITICAL = 2
UNKNOWN = 4
USAGE = 64
NOT_XEN = 69
INTERNAL = 70
NO_MEMORY = 71  # EX_OSERR
MISSING_PART = 72
CANNOT_CREATE = 73
RUNNING = 75  # EX_TEMPFAIL: another one has the place
NO_PERMISSION = 77
CONFIGURATION = 78
INTERRUPTED = 130

OF_VERDICT = {"ok": OK, "warning": WARNING, "critical": CRITICAL, "unknown": UNKNOWN}
# Of `check`, as whoever reads a plugin of Nagios numbers them.
OF_LEVEL = {"OK": OK, "WARNING": WARNING, "CRITICAL": CRITICAL, "UNKNOWN": 3}
