# SPDX-License-Identifier: GPL-2.0-or-later
"""Ctrl-C, and what else ends a command, for one that must not be left half way."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, Final

# Control-C, what `kill` and `timeout` send, and what a terminal that goes away does.
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """While it is entered, an interrupt is noted and the command ends where it may.

    A second one ends it at once, as one does elsewhere.  What whoever started the command had it
    ignore (nohup) stays ignored.
    """

    def __init__(self) -> None:
        self.noted = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        for number in _ENDING:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_raised: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self.noted:
            raise KeyboardInterrupt
        self.noted = True
