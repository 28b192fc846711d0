# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon sleeps on: xenstore, signals, the pressure trigger, and a timer if need be."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` makes enumerations of it
import os
import select
from typing import Final, NamedTuple

_SIGNALS: Final = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP)
_ENDS: Final[frozenset[int]] = frozenset({_signal.SIGTERM, _signal.SIGINT})


class Woken(NamedTuple):
    """Why the sleep ended."""

    signals: tuple[int, ...] = ()
    xenstore: bool = False
    pressure: bool = False

    @property
    def ends(self) -> bool:
        """Whether somebody wants the daemon to end."""
        return not _ENDS.isdisjoint(self.signals)

    @property
    def reloads(self) -> bool:
        """Whether somebody wants the configuration to be read again."""
        return _signal.SIGHUP in self.signals


class Wakeups:
    """One poll(2) over everything; the main thread's alone.

    `pressure_descriptor` is that of the kernel's trigger; None where it does not say by itself that
    memory gets short.
    """

    SURVIVES_REST: Final = ("count",)

    def __init__(self) -> None:
        self.count = 0
        self._poll = select.poll()
        self._link: int | None = None
        self.pressure_descriptor: int | None = None
        self._fired = False
        self._signals: tuple[int, ...] = ()
        self._signal_r, self._signal_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll.register(self._signal_r, select.POLLIN)
        for number in _SIGNALS:
            _signal.signal(number, _noted)
        _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
        _signal.set_wakeup_fd(self._signal_w, warn_on_full_buffer=False)

    def close(self) -> None:
        """Give everything back: the process ends, and a later signal changes nothing.

        Blocked, not ignored: Python complains of a signal that came while its handler was taken
        away ("ignored due to race condition").
        """
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _SIGNALS)
        _signal.set_wakeup_fd(-1)
        self._drop_pressure()
        os.close(self._signal_r)
        os.close(self._signal_w)

    def hold_signals(self) -> bool:
        """Keep signals for whoever goes on; False, and none is kept, if one is here already."""
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _SIGNALS)
        self._take_signals()
        if self._signals:
            self.let_signals_in()
        return not self._signals

    def let_signals_in(self) -> None:
        """Those that were kept come now."""
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _SIGNALS)

    def resume(self, pressure: int | None, *, fired: bool) -> None:
        """Go on with the trigger of an earlier program; `fired`: it has told that one already."""
        self.watch_pressure(pressure)
        self._fired = fired

    def watch_pressure(self, trigger: int | None) -> None:
        """The descriptor of the pressure trigger, in place of the one before."""
        self._drop_pressure()
        self.pressure_descriptor = trigger
        if trigger is not None:
            self._poll.register(trigger, select.POLLPRI)

    def listen_to(self, link: int | None) -> None:
        """The descriptor of the xenstore connection, None while there is none."""
        if link == self._link:
            return
        if self._link is not None:
            try:
                self._poll.unregister(self._link)
            except KeyError:
                pass
        self._link = link
        if link is not None:
            self._poll.register(link, select.POLLIN)

    def wait(self, timeout_s: float | None) -> Woken:
        """Sleep until something happens or the time is over."""
        timeout_ms = None if timeout_s is None else max(0.0, timeout_s) * 1000
        ready = dict(self._poll.poll(0 if self._signals or self._fired else timeout_ms))
        self.count += 1
        self._take_signals()
        signals, self._signals = self._signals, ()
        pressure, self._fired = self._pressure_of(ready) or self._fired, False
        return Woken(signals, self._link is not None and self._link in ready, pressure)

    def end_waits(self) -> bool:
        """Whether a signal to end has come since the last sleep; the next one tells of it."""
        self._take_signals()
        return not _ENDS.isdisjoint(self._signals)

    def _take_signals(self) -> None:
        try:
            self._signals += tuple(os.read(self._signal_r, 512))
        except BlockingIOError:
            pass  # none has come

    def _pressure_of(self, ready: dict[int, int]) -> bool:
        if self.pressure_descriptor is None or self.pressure_descriptor not in ready:
            return False
        if ready[self.pressure_descriptor] & select.POLLERR:  # the trigger is gone
            self._drop_pressure()
        return True

    def _drop_pressure(self) -> None:
        if self.pressure_descriptor is not None:
            self._poll.unregister(self.pressure_descriptor)
            os.close(self.pressure_descriptor)
            self.pressure_descriptor = None


def _noted(_number: int, _frame: object) -> None:
    """The byte in the pipe says it all."""
