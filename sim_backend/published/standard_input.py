# SPDX-License-Identifier: GPL-2.0-or-later
"""What a program that publishes something is told: its speed, lines on standard input, its end."""

from __future__ import annotations

import argparse
import math
import os
import select
import signal
import stat
from collections.abc import Iterator
from types import FrameType
from typing import TextIO

_MOST_BYTES = 4096


class CommandLines:
    """The lines of a stream, as far as it is a pipe, a socket or a terminal; None: it is closed."""

    def __init__(self, stream: TextIO | None) -> None:
        self.fd = -1 if stream is None else stream.fileno()
        mode = 0 if stream is None else os.fstat(self.fd).st_mode
        self.is_read = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(self.fd)
        self.ended = False
        self._pending = b""

    def taken(self) -> Iterator[list[str]]:
        """The words of each line that has come, if it has any; does not wait for one."""
        while self.is_read and not self.ended and select.select([self.fd], [], [], 0)[0]:
            data = os.read(self.fd, _MOST_BYTES)
            self.ended = not data
            *lines, self._pending = (self._pending + data).split(b"\n")
            for line in lines:
                if words := line.decode("utf-8", "replace").split():
                    yield words


def ending_signals() -> list[int]:
    """Where SIGTERM and SIGINT are noted from now on, instead of ending the process."""
    ended: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        ended.append(number)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    return ended


def speed_factor(text: str) -> float:
    """The value of --speed: how much faster than real time a story passes.

    Raises:
        ArgumentTypeError, ValueError: at that speed it does not, or would be over at once.
    """
    factor = float(text)
    if not 0 < factor < math.inf:
        raise argparse.ArgumentTypeError("the speed must be above 0, and finite")
    return factor
