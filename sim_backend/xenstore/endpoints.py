# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the bytes of a connection come from and go to: a unix socket, or a pty."""

from __future__ import annotations

import os
import pty
import socket
import termios
import tty
from typing import Final, Protocol

from sim_backend.inotify import Inotify


class Endpoint(Protocol):
    """A file descriptor that does not block.  `mask`: what the server polls it for."""

    domid: int
    fd: int
    mask: int

    def receive(self, limit_bytes: int) -> bytes | None:
        """What has come; b"" when the other side is gone, None when there is nothing."""
        ...

    def send(self, data: bytes) -> int | None:
        """How many bytes went; None when none can, -1 when the other side is gone."""
        ...

    def close(self) -> None: ...


class SocketEndpoint:
    """One accepted connection."""

    def __init__(self, connected: socket.socket, domid: int) -> None:
        self.domid = domid
        self.mask = 0
        self.fd = connected.fileno()
        self._socket: Final = connected
        connected.setblocking(False)

    def receive(self, limit_bytes: int) -> bytes | None:
        try:
            return self._socket.recv(limit_bytes)
        except BlockingIOError:
            return None
        except ConnectionError:
            return b""

    def send(self, data: bytes) -> int | None:
        try:
            return self._socket.send(data, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return None
        except ConnectionError:
            return -1

    def close(self) -> None:
        self._socket.close()


class PtyEndpoint:
    """A raw pty; `path` is the side that a client opens as it would /dev/xen/xenbus.

    The client's side is held open here, too, so that a client may come and go.
    """

    def __init__(self, domid: int) -> None:
        self.domid = domid
        self.mask = 0
        self.fd, self._client_side = pty.openpty()
        tty.setraw(self.fd)
        tty.setraw(self._client_side)
        os.set_blocking(self.fd, False)
        self.path: Final = os.ttyname(self._client_side)

    def watch(self, inotify: Inotify) -> int:
        """Have `inotify` tell when a client closes it; the number it will tell."""
        return inotify.watch(self._client_side)

    def forget_answers(self) -> None:
        """Take back what the client that went has not read."""
        termios.tcflush(self._client_side, termios.TCIFLUSH)

    def receive(self, limit_bytes: int) -> bytes | None:
        try:
            return os.read(self.fd, limit_bytes)
        except BlockingIOError:
            return None

    def send(self, data: bytes) -> int | None:
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return None

    def close(self) -> None:
        os.close(self.fd)
        os.close(self._client_side)
