# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that move as those of the recordings did (README.md), in place of the simulated ones.

The models of the toolstacks are the simulation's own; only who answers them is as simple as it was
when the real programs were recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from types import SimpleNamespace
from typing import Any, Final

from sim_backend.clock import Clock
from sim_backend.guest.store import DomainStore
from sim_backend.hypervisor import Host

STEPS_A_S = 100


FIRST_S: Final = -2e-6
THEN_S: Final = -1e-6
"""What happens in one moment of a recording happens in a certain order."""


class Movements:
    """Moves the guests each hundredth of a second, as long as one of them has somewhere to go."""

    def __init__(
        self, clock: Clock, guests: Callable[[], list[MovingGuest]], shift_s: float
    ) -> None:
        self._clock = clock
        self._guests = guests
        self._shift_s = shift_s
        self._next: int | None = None

    def wake(self) -> None:
        """Something has happened: they move in the next hundredth, which may be this one."""
        if self._next is None:
            self._plan(ceil((self._clock.now_s - self._shift_s) * STEPS_A_S + 1e-5))

    def _plan(self, step: int) -> None:
        self._next = step
        self._clock.at(step / STEPS_A_S + self._shift_s, self._move)

    def _move(self) -> None:
        step, self._next = self._next, None
        guests = self._guests()
        for guest in guests:
            guest.move()
        assert step is not None
        if not all(guest.rests for guest in guests):
            self._plan(step + 1)


class MovingGuest:
    """One domain; all that a toolstack asks of one, and `move`."""

    def __init__(
        self,
        clock: Clock,
        host: Host,
        domid: int,
        kind: str,
        *,
        has_kib: int,
        limit_kib: int,
        keys: dict[str, str],
        speed_kib_s: int,
        gap_kib: int,
        delay_s: float = 0.0,
        floor_kib: int = 0,
        ceiling_kib: int | None = None,
    ) -> None:
        self.clock, self.host, self.domid, self.alive = clock, host, domid, True
        self.config: Any = SimpleNamespace(
            is_pv=kind == "pv", is_dom0=domid == 0, domain_type=kind, videoram_kib=0
        )
        self.store = DomainStore(keys, ())
        self.reservation = host.create(domid, min(has_kib // 4, host.free_pages), 0)
        self.reservation.max_pages = limit_kib // 4
        self.speed_kib_s, self.gap_kib, self.delay_s = speed_kib_s, gap_kib, delay_s
        self.floor_kib, self.ceiling_kib = floor_kib, ceiling_kib
        self._owed_kib = 0.0
        self._target = keys.get("memory/target")
        self._goal_kib = self._goal_of(self._target)
        self._waits_until, self._is_told = 0, False
        self.store.watch("memory/target", self._written)

    @property
    def has_kib(self) -> int:
        return self.reservation.pages * 4

    def _goal_of(self, target: str | None) -> int | None:
        return None if target is None else int(target) + self.gap_kib

    def _written(self, _path: str) -> None:
        self._is_told = True

    @property
    def rests(self) -> bool:
        """Whether it would not move before something else happens."""
        if self._is_told:
            return False
        return self._goal_kib is None or self._goal_kib == self.has_kib or not self.speed_kib_s

    def tell(self, _kind: str, _text: str) -> None:
        """The simulated guests keep what happened; nobody asks here."""

    def move(self) -> None:
        """A hundredth of a second."""
        if self._is_told:
            self._listen()
        if self.rests:
            self._owed_kib = 0.0
            return
        assert self._goal_kib is not None
        if self._waits_until and round(self.clock.now_s * STEPS_A_S) < self._waits_until:
            self._owed_kib = 0.0
            return
        self._owed_kib += self.speed_kib_s / STEPS_A_S
        whole_kib = int(self._owed_kib) // 4 * 4
        self._owed_kib -= whole_kib
        if self._goal_kib < self.has_kib:
            self._shrink(self._goal_kib, whole_kib)
        else:
            self._grow(self._goal_kib, whole_kib)

    def _listen(self) -> None:
        """It sees another target, and begins to move after its delay."""
        self._is_told, target = False, self.store.read("memory/target")
        if target != self._target:
            self._target, self._goal_kib = target, self._goal_of(target)
            self._waits_until = round(self.clock.now_s * STEPS_A_S) + round(
                self.delay_s * STEPS_A_S
            )

    def _shrink(self, goal_kib: int, by_kib: int) -> None:
        least_kib = max(goal_kib, self.has_kib - by_kib, min(self.has_kib, self.floor_kib))
        self.reservation.release((self.has_kib - least_kib) // 4)

    def _grow(self, goal_kib: int, by_kib: int) -> None:
        most_kib = min(goal_kib, self.has_kib + by_kib)
        if self.ceiling_kib is not None:
            most_kib = min(most_kib, max(self.has_kib, self.ceiling_kib))
        self.reservation.populate(max(0, most_kib - self.has_kib) // 4)

    def go(self) -> None:
        """It ends, and its pages are free."""
        self.alive = False
        self.host.destroy(self.domid)
