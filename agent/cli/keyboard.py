# SPDX-License-Identifier: GPL-2.0-or-later
"""The key that leaves a screen which draws itself again and again.

A terminal hands its keys over one line at a time and shows them.  While such a screen is up it
hands them over one by one and shows none (cbreak, termios(3)); signals stay: Control-C, Control-Z.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import time
import tty
from types import FrameType
from typing import Any

_LEAVE = b"qQ"


class Keyboard:
    """Standard input as keys, if it is a terminal that is ours to read.

    Control-C leaves as well, and ends nothing but the screen.
    """

    def __init__(self) -> None:
        self._descriptor = _foreground_terminal()
        self._before: list[Any] = []
        self._ended_by: Any = None

    def __enter__(self) -> Keyboard:
        if self._descriptor is not None:
            self._before = termios.tcgetattr(self._descriptor)
            self._ended_by = signal.signal(signal.SIGTERM, self._end)
            tty.setcbreak(self._descriptor, termios.TCSADRAIN)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_raised: object) -> bool:
        if self._before:
            self._restore()
            signal.signal(signal.SIGTERM, self._ended_by)
        return kind is KeyboardInterrupt

    def _restore(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(termios.error):  # the terminal is gone
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def _end(self, number: int, _frame: FrameType | None) -> None:
        """End as that signal does, with the terminal as it was before."""
        self._restore()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def leaves(self, within_s: float = 0.0) -> bool:
        """Whether `q` was pressed, waited for at most so long."""
        if self._descriptor is None:
            time.sleep(within_s)
            return False
        until_s = time.monotonic() + within_s
        while True:
            left_s = max(0.0, until_s - time.monotonic())
            if not select.select([self._descriptor], [], [], left_s)[0]:
                return False
            keys = os.read(self._descriptor, 64)
            if not keys:  # the terminal is gone
                self._descriptor = None
                return True
            if any(key in _LEAVE for key in keys):
                return True


def _foreground_terminal() -> int | None:
    """A job in the background that changes its terminal is stopped (SIGTTOU).

    Where the screen goes into a pipe, the keys are for who reads it.
    """
    try:
        descriptor = sys.stdin.fileno()
        if not (os.isatty(descriptor) and sys.stdout.isatty()):
            return None
    except (OSError, ValueError, AttributeError):
        return None  # no standard input, or none with a descriptor
    try:
        return descriptor if os.tcgetpgrp(descriptor) == os.getpgrp() else None
    except OSError:
        return descriptor  # another session's, which stops nobody
