# SPDX-License-Identifier: GPL-2.0-or-later
"""One connection to the store as a state machine: bytes in, bytes out, no socket.

Answers and watch events leave in the order they came about.  An event that already waits in
the same words is not queued again, and a guest that leaves its answers lying (or the events
that its writes caused for others) is not read from any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from sim_backend.xenstore import packets, requests
from sim_backend.xenstore.errors import XenstoreError
from sim_backend.xenstore.packets import Packet, PacketReader, ProtocolError
from sim_backend.xenstore.session import Session
from sim_backend.xenstore.store import Store


class _Cause:
    """A request that is done when its answer and every event it caused have left."""

    __slots__ = ("connection", "waiting")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.waiting = 1

    def one_left(self) -> None:
        self.waiting -= 1
        if not self.waiting:
            self.connection.outstanding -= 1
            self.connection.notify(self.connection)


class _Outgoing(NamedTuple):
    data: bytes
    cause: _Cause | None
    is_event: bool


class Connection:
    """A client of `store` that speaks as domain `domid`.

    `notify` is called with the connection when it has something to send, or may be able to go
    on.  `broken` says that the client sent what cannot be a packet, and
    `session.is_closed` that its domain has ended: close the connection then.
    """

    def __init__(self, store: Store, domid: int, notify: Callable[[Connection], None]) -> None:
        self.notify: Final = notify
        self.session: Final = Session(store, domid, self._event)
        self.session.on_close = lambda: self.notify(self)
        self.outstanding = 0
        self.broken = False
        self._store = store
        self._reader = PacketReader()
        self._queue: deque[_Outgoing] = deque()
        self._queued_events: set[bytes] = set()
        self._sent_bytes = 0  # of the first packet in the queue

    @property
    def wants_input(self) -> bool:
        """False while too much of what was asked for has not left, and when the domain is gone."""
        if self.broken or self.session.is_closed:
            return False
        return self.session.privileged or self.outstanding < self._store.quotas.outstanding

    @property
    def has_output(self) -> bool:
        return bool(self._queue)

    def receive(self, data: bytes) -> None:
        """Take bytes from the client and serve the requests in them."""
        self._reader.feed(data)
        self.go_on()

    def go_on(self) -> None:
        """Serve requests that were received and had to wait."""
        while self.wants_input:
            try:
                packet = self._reader.next()
            except ProtocolError:
                self.broken = True
                self.session.reset()
                return
            if packet is None:
                return
            self._serve(packet)

    def data_to_send(self, limit_bytes: int = 65536) -> bytes:
        """What to send next, at least a packet; tell `sent` how much of it went."""
        parts: list[bytes] = []
        size = -self._sent_bytes
        for outgoing in self._queue:
            parts.append(outgoing.data)
            size += len(outgoing.data)
            if size >= limit_bytes:
                break
        return b"".join(parts)[self._sent_bytes :]

    def sent(self, count_bytes: int) -> None:
        """So many bytes of `data_to_send` are gone."""
        self._sent_bytes += count_bytes
        while self._queue and self._sent_bytes >= len(self._queue[0].data):
            outgoing = self._queue.popleft()
            self._sent_bytes -= len(outgoing.data)
            self._left(outgoing)

    def close(self) -> None:
        """The client is gone: its watches and transactions are, too."""
        self.session.close()
        self.broken = True
        while self._queue:
            self._left(self._queue.popleft())
        self._sent_bytes = 0

    def _left(self, outgoing: _Outgoing) -> None:
        if outgoing.is_event:
            self._queued_events.discard(outgoing.data)
        if outgoing.cause is not None:
            outgoing.cause.one_left()

    def _serve(self, packet: Packet) -> None:
        cause = None if self.session.privileged else _Cause(self)
        if cause is not None:
            self.outstanding += 1
        self._store.cause = cause
        kind, watch = packet.kind, None
        try:
            if kind == packets.WATCH:
                watch = self.session.add_watch(*requests.two_arguments(packet))
                payload = requests.OK
            else:
                payload = requests.answer(self._store, self.session, packet)
        except XenstoreError as error:
            kind, payload = packets.ERROR, f"{error.name}\0".encode()
        finally:
            self._store.cause = None
        reply = packet._replace(kind=kind, payload=payload)
        self._put(_Outgoing(reply.encode(), cause, is_event=False))
        if watch is not None:
            watch.tell(watch.path)

    def _event(self, path: str, token: str) -> None:
        payload = packets.join_strings([path, token])
        if len(payload) > packets.PAYLOAD_MAX:
            return
        data = Packet(packets.WATCH_EVENT, 0, 0, payload).encode()
        if not path.startswith("@"):
            if data in self._queued_events:
                return
            self._queued_events.add(data)
        cause: _Cause | None = self._store.cause
        if cause is not None:
            cause.waiting += 1
        self._put(_Outgoing(data, cause, is_event=True))

    def _put(self, outgoing: _Outgoing) -> None:
        self._queue.append(outgoing)
        if len(self._queue) == 1:
            self.notify(self)
