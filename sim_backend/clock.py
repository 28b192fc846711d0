# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual time: a queue of events, and the one source of chance.

Events at the same moment run in the order they were asked for, and every random number comes from
`Clock.rng`, so the same seed gives the same run.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from itertools import count

Action = Callable[[], object]


class Event:
    """Something that will happen; `cancel` makes it not happen."""

    __slots__ = ("_action", "when_s")

    def __init__(self, when_s: float, action: Action) -> None:
        self.when_s = when_s
        self._action: Action | None = action

    @property
    def pending(self) -> bool:
        return self._action is not None

    def cancel(self) -> None:
        """Forget it; harmless when it has already happened."""
        self._action = None

    def fire(self) -> None:
        """Let it happen once, unless it was cancelled."""
        action, self._action = self._action, None
        if action is not None:
            action()


class Clock:
    """A clock that only moves when it is told to; seconds since the simulation began."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = random.Random(seed)  # noqa: S311 -- chance in a model, no secret
        self.events_run = 0
        self._now_s = 0.0
        self._queue: list[tuple[float, int, Event]] = []
        self._order = count()

    @property
    def now_s(self) -> float:
        return self._now_s

    def at(self, when_s: float, action: Action) -> Event:
        """Let `action` happen at `when_s`, or at once if that is past."""
        event = Event(max(when_s, self._now_s), action)
        heapq.heappush(self._queue, (event.when_s, next(self._order), event))
        return event

    def after(self, delay_s: float, action: Action) -> Event:
        return self.at(self._now_s + delay_s, action)

    def every(self, period_s: float, action: Action, *, until_s: float = float("inf")) -> None:
        """Let `action` happen each `period_s`, for the first time one period from now."""

        def again() -> None:
            action()
            if self._now_s + period_s <= until_s:
                self.after(period_s, again)

        self.after(period_s, again)

    def next_event_s(self) -> float | None:
        """When the next event is due; None when nothing is planned."""
        while self._queue and not self._queue[0][2].pending:
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def step(self) -> bool:
        """Go to the next event and let it happen; False when nothing is planned."""
        if self.next_event_s() is None:
            return False
        self._now_s, _, event = heapq.heappop(self._queue)
        self.events_run += 1
        event.fire()
        return True

    def run_until(self, until_s: float, *, stop: Callable[[], bool] | None = None) -> None:
        """Let everything up to and at `until_s` happen; the clock then shows `until_s`.

        With `stop`, halt right after the event that makes it true; the clock shows that event.
        """
        while (due_s := self.next_event_s()) is not None and due_s <= until_s:
            self.step()
            if stop is not None and stop():
                return
        self._now_s = max(self._now_s, until_s)
