# SPDX-License-Identifier: GPL-2.0-or-later
"""xenstore's protocol spoken by hand, blocking and without checks: dom0's side in tests.

Independent of the client under test on purpose.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Final, NamedTuple

HEADER: Final = struct.Struct("=IIII")
CONTROL: Final = 0
DIRECTORY: Final = 1
READ: Final = 2
GET_PERMS: Final = 3
WATCH: Final = 4
UNWATCH: Final = 5
TRANSACTION_START: Final = 6
TRANSACTION_END: Final = 7
INTRODUCE: Final = 8
WRITE: Final = 11
MKDIR: Final = 12
RM: Final = 13
SET_PERMS: Final = 14
WATCH_EVENT: Final = 15
ERROR: Final = 16
IS_DOMAIN_INTRODUCED: Final = 17
RESET_WATCHES: Final = 21


class RawPacket(NamedTuple):
    """One packet as it is on the wire."""

    op: int
    rq_id: int
    tx_id: int
    payload: bytes

    def encode(self) -> bytes:
        return HEADER.pack(self.op, self.rq_id, self.tx_id, len(self.payload)) + self.payload


class RawError(OSError):
    """xenstored's answer was an error; `errno` is 0 for a name that is no errno."""


class RawClient:
    """One connection to the daemon's own socket, which speaks as dom0."""

    def __init__(self, path: str, timeout_s: float = 10.0) -> None:
        self._events: deque[tuple[str, str]] = deque()
        self._rq_id = 0
        self._open(path, timeout_s)

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are, whole packets or not."""
        self._socket.sendall(data)

    def request(self, op: int, *fields: bytes, tx_id: int = 0) -> bytes:
        """Send `fields` joined as they are, and return the answer's payload."""
        self._rq_id += 1
        self.send(RawPacket(op, self._rq_id, tx_id, b"".join(fields)).encode())
        while (answer := self._receive()).op == WATCH_EVENT:
            self._keep(answer)
        if answer.op == ERROR:
            name = answer.payload.rstrip(b"\0").decode()
            raise RawError(getattr(errno, name, 0), name)
        return answer.payload

    def read(self, path: str) -> bytes:
        return self.request(READ, path.encode(), b"\0")

    def write(self, path: str, value: bytes | str | int, tx_id: int = 0) -> None:
        data = value if isinstance(value, bytes) else str(value).encode()
        self.request(WRITE, path.encode(), b"\0", data, tx_id=tx_id)

    def write_many(self, path: str, values: Sequence[int]) -> None:
        """One write after the other, none of them waited for before the last is sent."""
        packets = []
        for value in values:
            self._rq_id += 1
            payload = b"%s\0%d" % (path.encode(), value)
            packets.append(RawPacket(WRITE, self._rq_id, 0, payload).encode())
        self.send(b"".join(packets))
        answered = 0
        while answered < len(values):
            packet = self._receive()
            if packet.op == WATCH_EVENT:
                self._keep(packet)
                continue
            if packet.op == ERROR:
                raise RawError(0, packet.payload.rstrip(b"\0").decode())
            answered += 1

    def remove(self, path: str, tx_id: int = 0) -> None:
        self.request(RM, path.encode(), b"\0", tx_id=tx_id)

    def children(self, path: str) -> list[str]:
        names = self.request(DIRECTORY, path.encode(), b"\0").split(b"\0")
        return [name.decode() for name in names if name]

    def exists(self, path: str) -> bool:
        try:
            self.read(path)
        except RawError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True

    def set_permissions(self, path: str, *permissions: str, tx_id: int = 0) -> None:
        """Permissions as xenstore writes them: the owner first, such as "n0", "r5"."""
        fields = [word.encode() + b"\0" for word in (path, *permissions)]
        self.request(SET_PERMS, *fields, tx_id=tx_id)

    def begin(self) -> int:
        """Begin a transaction and return its id."""
        return int(self.request(TRANSACTION_START, b"\0").rstrip(b"\0"))

    def commit(self, tx_id: int) -> None:
        self.request(TRANSACTION_END, b"T\0", tx_id=tx_id)

    def introduce(self, domid: int) -> None:
        """Tell the daemon about a domain, whose ring page and event channel it then opens."""
        self.request(INTRODUCE, b"%d\0" % domid, b"1\0", b"1\0")

    def control(self, *words: str) -> str:
        """An XS_CONTROL command, such as "quota", "5"."""
        answer = self.request(CONTROL, *(word.encode() + b"\0" for word in words))
        return answer.rstrip(b"\0").decode()

    def watch(self, path: str, token: str) -> None:
        self.request(WATCH, path.encode(), b"\0", token.encode(), b"\0")

    def next_event(self) -> tuple[str, str]:
        """The next watch event as (path, token)."""
        while not self._events:
            self._keep(self._receive())
        return self._events.popleft()

    def hears_within(self, timeout_s: float) -> bool:
        """Wait for an event, or for the end of the connection."""
        return bool(self._events) or bool(select.select([self._socket], [], [], timeout_s)[0])

    def events_so_far(self) -> list[tuple[str, str]]:
        """What has been told up to an answer that is asked for now.

        Events that others caused leave the daemon before that answer does.
        """
        with contextlib.suppress(RawError):
            self.read("/tool")
        return self._take_events()

    def _take_events(self) -> list[tuple[str, str]]:
        found = list(self._events)
        self._events.clear()
        return found

    def _open(self, path: str, timeout_s: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(path)  # blocking: the daemon's backlog is 1
        except OSError:
            self._socket.close()
            raise
        self._socket.settimeout(timeout_s)

    def _keep(self, event: RawPacket) -> None:
        path, token = event.payload.split(b"\0")[:2]
        self._events.append((path.decode(), token.decode()))

    def _receive(self) -> RawPacket:
        op, rq_id, tx_id, size = HEADER.unpack(self._receive_exactly(HEADER.size))
        return RawPacket(op, rq_id, tx_id, self._receive_exactly(size))

    def _receive_exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self._receive_some(size - len(data))
            if not piece:
                raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
            data += piece
        return data

    def _receive_some(self, at_most: int) -> bytes:
        return self._socket.recv(at_most)
