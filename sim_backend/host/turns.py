# SPDX-License-Identifier: GPL-2.0-or-later
"""One thing after the other in virtual time, as a program does whose work is behind one lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from sim_backend.clock import Clock

Job = Iterator[float]
"""Works at once, gives how many seconds it waits, and goes on after them."""

UNTIL_CALLED: Final = float("inf")
"""A job that waits so long goes on at `Turns.call`."""


class Turns:
    """Jobs in the order in which they were begun; the next one when one has ended."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: deque[Job] = deque()
        self._runs = self._called_for = False

    def begin(self, job: Job) -> None:
        """Let it have its turn: now, or when those before it are through."""
        self._waiting.append(job)
        if not self._runs:
            self._runs = True
            self._go_on()

    def call(self) -> None:
        """Let the job go on that waits for it."""
        if self._called_for:
            self._called_for = False
            self._go_on()

    def _go_on(self) -> None:
        while self._waiting:
            wait_s = next(self._waiting[0], None)
            if wait_s == UNTIL_CALLED:
                self._called_for = True
                return
            if wait_s is not None:
                self._clock.after(wait_s, self._go_on)
                return
            self._waiting.popleft()
        self._runs = False
