# SPDX-License-Identifier: GPL-2.0-or-later
"""An end of a xenstore connection that says exactly what a test wants, in the same thread.

A session's request ids begin with 1, so the answer can be sent before the question: what the
peer has sent lies in the socket or terminal when the session asks. Nothing runs at once.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import shutil
import socket
import tempfile
import tty
from types import TracebackType
from typing import Literal

from tests.support.xenstored.raw_client import HEADER, WATCH_EVENT, RawPacket

Kind = Literal["socket", "device"]


class ScriptedPeer:
    """Listens at `path`, a unix socket, or is the master of the terminal at `path`."""

    def __init__(self, kind: Kind = "socket") -> None:
        self.kind = kind
        self._directory = tempfile.mkdtemp(prefix="peer-")
        self._listener: socket.socket | None = None
        self._fd = -1
        if kind == "socket":
            self.path = os.path.join(self._directory, "socket")
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(self.path)
            self._listener.listen(8)
        else:
            self._fd, slave = pty.openpty()
            tty.setraw(slave)
            self.path = os.ttyname(slave)
            os.close(slave)
            os.set_blocking(self._fd, False)

    def __enter__(self) -> ScriptedPeer:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.hang_up()
        if self._listener is not None:
            self._listener.close()
        shutil.rmtree(self._directory)

    def accept(self) -> None:
        """Take the connection that the session has just made."""
        if self._listener is not None:
            self.hang_up()
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            self._fd = connection.detach()

    def hang_up(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def send(self, data: bytes) -> None:
        """Send all of `data`, which must fit into the buffer of the system."""
        assert os.write(self._fd, data) == len(data)

    def packet(self, op: int, payload: bytes, rq_id: int = 1, tx_id: int = 0) -> None:
        self.send(RawPacket(op, rq_id, tx_id, payload).encode())

    def event(self, path: bytes, token: bytes) -> None:
        self.packet(WATCH_EVENT, path + b"\0" + token + b"\0", rq_id=0)

    def received(self) -> list[RawPacket]:
        """The requests that have come so far."""
        data = b""
        with contextlib.suppress(OSError):  # what a terminal says when the session has closed it
            while select.select([self._fd], [], [], 0)[0] and (piece := os.read(self._fd, 65536)):
                data += piece
        packets = []
        while data:
            op, rq_id, tx_id, size = HEADER.unpack_from(data)
            end = HEADER.size + size
            packets.append(RawPacket(op, rq_id, tx_id, data[HEADER.size : end]))
            data = data[end:]
        return packets
