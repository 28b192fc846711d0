# SPDX-License-Identifier: GPL-2.0-or-later
"""Pressure stall information of a simulated guest.

kernel/sched/psi.c keeps running averages over 10, 60 and 300 s; between two changes of the stall
share they follow a closed form, so nothing has to be sampled.
"""

from __future__ import annotations

from math import exp
from typing import Final

from agent.core.facts.snapshot import Pressure

WINDOWS_S: Final = (10.0, 60.0, 300.0)
FULL_TO_SOME: Final = 0.54  # seen while a guest starved: some 63 %, full 34 %


class PressureGauge:
    """Averages of a stall share that changes now and then.

    share: the part of the time that some task stalls now, 0 to 1.
    """

    __slots__ = ("_averages", "_since_s", "_total_us", "share")

    def __init__(self, now_s: float = 0.0) -> None:
        self.share = 0.0
        self._since_s = now_s
        self._averages = [0.0, 0.0, 0.0]
        self._total_us = 0.0

    def set_share(self, share: float, now_s: float) -> None:
        """From now on that part of the time is lost."""
        self._advance(now_s)
        self.share = share

    def reading(self, now_s: float) -> Pressure:
        """What /proc/pressure/memory shows now."""
        self._advance(now_s)
        short, middle, long = (round(average * 100, 2) for average in self._averages)
        total_us = int(self._total_us)
        return Pressure(
            some_avg10=short,
            some_avg60=middle,
            some_avg300=long,
            some_total_us=total_us,
            full_avg10=round(short * FULL_TO_SOME, 2),
            full_avg60=round(middle * FULL_TO_SOME, 2),
            full_avg300=round(long * FULL_TO_SOME, 2),
            full_total_us=int(total_us * FULL_TO_SOME),
        )

    def _advance(self, now_s: float) -> None:
        elapsed_s = now_s - self._since_s
        if elapsed_s <= 0.0:
            return
        self._since_s = now_s
        if not self.share and not self._total_us:
            return
        for index, window_s in enumerate(WINDOWS_S):
            fade = exp(-elapsed_s / window_s)
            self._averages[index] = self._averages[index] * fade + self.share * (1.0 - fade)
        self._total_us += self.share * elapsed_s * 1e6
