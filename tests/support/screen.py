# SPDX-License-Identifier: GPL-2.0-or-later
"""The program on a terminal of a certain size: what it shows, and keys for it."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

HOME: Final = b"\x1b[H"
_TERMINAL_VARIABLES: Final = (
    "TERM",
    "NO_COLOR",
    "FORCE_COLOR",
    "COLUMNS",
    "LINES",
    "LC_ALL",
    "LANG",
)


class Screen:
    """A terminal with a command on it."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self.shown = b""

    def wait_for(self, text: bytes, times: int = 1) -> None:
        """Read until the text came so often."""
        while self.shown.count(text) < times:
            chunk = os.read(self._descriptor, 65536)
            assert chunk
            self.shown += chunk

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._descriptor, keys)

    def resize(self, rows: int, columns: int) -> None:
        """As when a window is drawn to another size."""
        _set_size(self._descriptor, rows, columns)
        os.kill(self.pid, signal.SIGWINCH)

    def settings(self) -> list[Any]:
        """How the terminal hands its keys over."""
        return termios.tcgetattr(self._descriptor)

    def interrupt(self) -> int:
        """Control-C; the exit status."""
        os.kill(self.pid, signal.SIGINT)
        return self.ended()

    def ended(self) -> int:
        """Read to the end; the exit status, below zero for a signal."""
        while True:
            try:
                chunk = os.read(self._descriptor, 65536)
            except OSError:  # EIO: the other side has closed it
                chunk = b""
            if not chunk:
                return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self.shown += chunk


@contextmanager
def terminal(rows: int, columns: int, *words: str, **environment: str) -> Iterator[Screen]:
    """balloon-agent on a terminal of that size."""
    master, slave = pty.openpty()
    _set_size(slave, rows, columns)
    plain = {name: value for name, value in os.environ.items() if name not in _TERMINAL_VARIABLES}
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "agent", *words],
        plain | {"LC_ALL": "C.UTF-8"} | environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.ttyname(slave), os.O_RDWR, 0),
            *((os.POSIX_SPAWN_DUP2, 0, number) for number in (1, 2)),
        ],
        setsid=True,  # what a session's leader opens becomes the terminal that interrupts it
    )
    os.close(slave)
    try:
        yield Screen(pid, master)
    finally:
        os.close(master)


def _set_size(descriptor: int, rows: int, columns: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
