# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the bytes of a connection come from and go to: a unix socket, or a pty."""

from __future__ import annotations

import os
import pty
import termios
import tty
from typing import Final

from sim_backend.inotify import Inotify


class Endpoint:
    """A file descriptor that does not block, here that of an accepted connection.

    `mask`: what the server polls it for.
    """

    def __init__(self, fd: int, domid: int) -> None:
        self.domid = domid
        self.mask = 0
        self.fd: Final = fd
        os.set_blocking(fd, False)

    def receive(self, limit_bytes: int) -> bytes | None:
        """What has come; b"" when the other side is gone, None when there is nothing."""
        try:
            return os.read(self.fd, limit_bytes)
        except BlockingIOError:
            return None
        except ConnectionError:
            return b""

    def send(self, data: bytes) -> int | None:
        """How many bytes went; None when none can, -1 when the other side is gone."""
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return None
        except ConnectionError:
            return -1

    def close(self) -> None:
        os.close(self.fd)


class PtyEndpoint(Endpoint):
    """A raw pty; `path` is the side that a client opens as it would /dev/xen/xenbus.

    The client's side is held open here, too, so that a client may come and go.
    """

    def __init__(self, domid: int) -> None:
        fd, self._client_side = pty.openpty()
        super().__init__(fd, domid)
        tty.setraw(self.fd)
        tty.setraw(self._client_side)
        self.path: Final = os.ttyname(self._client_side)

    def watch(self, inotify: Inotify) -> int:
        """Have `inotify` tell when a client closes it; the number it will tell."""
        return inotify.watch(self._client_side)

    def forget_answers(self) -> None:
        """Take back what the client that went has not read."""
        termios.tcflush(self._client_side, termios.TCIFLUSH)

    def close(self) -> None:
        super().close()
        os.close(self._client_side)
