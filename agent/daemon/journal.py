# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines for the journal on stderr: `<4>text`, each kind of event told, repetitions counted.

A kind of event may speak a few times in ten minutes; what it had to say beyond that is counted and
told with its next line.  A fault that was over may speak again, but one that comes and goes all the
time no more often than that either.  Writing never blocks: a line that cannot be taken is dropped
and counted.
"""

from __future__ import annotations

import os
import select
from typing import Final, NamedTuple

ERROR: Final = 3
WARNING: Final = 4
NOTICE: Final = 5
INFO: Final = 6

WINDOW_S: Final = 600.0
EVENT_BURST: Final = 10
_MOST_KINDS: Final = 256
_MOST_CHARS: Final = 1000


class _Kind(NamedTuple):
    """One kind of event: how many lines it had in this window, since it was last over, and not."""

    since_s: float
    told: int = 0
    told_in_a_row: int = 0
    untold: int = 0


class Journal:
    """Standard error, read by journald."""

    SURVIVES_REST: Final = ("_said", "_dropped")

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._prefixed = not os.isatty(descriptor)
        self._said: dict[str, _Kind] = {}
        self._dropped = 0

    def say(self, priority: int, kind: str, text: str, now_s: float, burst: int = 1) -> None:
        """Tell something of a kind that may have `burst` lines per window."""
        if len(self._said) >= _MOST_KINDS:
            self._said.clear()
        known = self._said.get(kind, _Kind(now_s))
        if now_s - known.since_s >= WINDOW_S:
            known = _Kind(now_s, untold=known.untold)
        if known.told_in_a_row >= burst or known.told >= EVENT_BURST:
            self._said[kind] = known._replace(untold=known.untold + 1)
            return
        self._said[kind] = _Kind(known.since_s, known.told + 1, known.told_in_a_row + 1)
        untold = known.untold
        more = f" (and {untold} more like it since the last time)" if untold else ""
        self._write(priority, text + more)

    def settled(self, kind: str) -> None:
        """A fault is over: should it come again, it is told again."""
        if kind in self._said:
            self._said[kind] = self._said[kind]._replace(told_in_a_row=0)

    def _write(self, priority: int, text: str) -> None:
        words = " ".join(text.split())[:_MOST_CHARS]
        line = "".join(letter if letter.isprintable() else "?" for letter in words)
        if self._dropped:
            line = f"{line} ({self._dropped} lines were lost)"
        prefix = f"<{priority}>" if self._prefixed else ""
        content = f"{prefix}{line}\n".encode("utf-8", "backslashreplace")
        ready = select.poll()
        ready.register(self._descriptor, select.POLLOUT)
        try:
            taken = bool(ready.poll(0)) and os.write(self._descriptor, content) > 0
        except OSError:
            taken = False
        self._dropped = 0 if taken else self._dropped + 1
