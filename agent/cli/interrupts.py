# SPDX-License-Identifier: GPL-2.0-or-later
"""Ctrl-C for a command that must not be left half way."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType


class Interrupts:
    """While it is entered, an interrupt is noted and the command ends where it may.

    A second one ends it at once, as one does elsewhere.
    """

    def __init__(self) -> None:
        self.noted = False

    def __enter__(self) -> Interrupts:
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self.noted:
            raise KeyboardInterrupt
        self.noted = True
