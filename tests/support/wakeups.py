# SPDX-License-Identifier: GPL-2.0-or-later
"""A daemon's wakeups in a process that goes on after them, as the daemon's own does not."""

from __future__ import annotations

import signal
from typing import Final

from agent.daemon.wakeups import Wakeups

_TAKEN: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def give_back(wakeups: Wakeups) -> None:
    """Close them; signals do again what they do by themselves."""
    wakeups.close()
    for number in _TAKEN:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _TAKEN)
