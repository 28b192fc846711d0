# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything the daemon's loop waits for by the clock, in one value."""

from __future__ import annotations

from typing import NamedTuple


class Deadlines(NamedTuple):
    """When what is due; None: nothing planned.

    Attributes:
        peek: to read the kernel's target alone.
        look: to take a turn.
        link: to try xenstore again, or to hear it again in a storm.
        ping: to earn the watchdog's ping; xenstore is asked whether it lives.
        publish: to write the keys that were held back.
        status: to write the status that was held back.
    """

    peek: float | None = None
    look: float | None = None
    link: float | None = None
    ping: float | None = None
    publish: float | None = None
    status: float | None = None

    def first_s(self) -> float | None:
        """The earliest: nothing is due before."""
        return min((at_s for at_s in self if at_s is not None), default=None)

    def due(self, now_s: float) -> frozenset[str]:
        planned = self._asdict().items()
        return frozenset(name for name, at_s in planned if at_s is not None and now_s >= at_s)
