# SPDX-License-Identifier: GPL-2.0-or-later
"""Serves a store on unix sockets and ptys, in the one thread that calls `step`.

    server = Server(store)
    server.listen("/run/x/dom0.sock", 0)       # speaks as dom0, as xenstored's own socket does
    server.listen("/run/x/dom5.sock", 5)       # speaks as domain 5
    device = server.open_pty(5)                # a stand-in for domain 5's /dev/xen/xenbus
    while True:
        server.step(timeout_s=None)

`fileno` is readable whenever `step` has something to do, so that a server fits into a larger
loop.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
from typing import Final

from sim_backend.inotify import Inotify
from sim_backend.xenstore.endpoints import Endpoint, PtyEndpoint
from sim_backend.xenstore.store import Store
from sim_backend.xenstore.wire import Connection

_BACKLOG: Final = 16
_READ_BYTES: Final = 65536


class _Listener:
    """A path that is listened at while the server runs."""

    socket: socket.socket

    def __init__(self, path: str, domid: int) -> None:
        self.path = path
        self.domid = domid

    def open(self) -> None:
        """Bind the path anew; only its owner may connect."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o600)
        self.socket.listen(_BACKLOG)
        self.socket.setblocking(False)


class Server:
    """A xenstored for one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._selector = selectors.EpollSelector()
        self._listeners: list[_Listener] = []
        self._ptys: dict[int, PtyEndpoint] = {}  # by the number of their watch
        self._closed_ptys = Inotify()
        self._clients: dict[Connection, Endpoint] = {}
        self._ready: dict[Connection, None] = {}
        self._running = True
        self.is_stalled = False  # while it is, `fileno` may be readable for nothing
        self._selector.register(self._closed_ptys, selectors.EVENT_READ)

    # Ways in.

    def listen(self, path: str, domid: int) -> str:
        """Serve a unix socket that speaks as a domain; its path for convenience."""
        listener = _Listener(path, domid)
        self._listeners.append(listener)
        if self._running:
            self._open(listener)
        return path

    def open_pty(self, domid: int) -> str:
        """The path of a pty that stands for a domain's /dev/xen/xenbus.

        As that device, it never says that the daemon is gone: requests are just not answered.
        When the client closes it, its watches and transactions go.
        """
        pty = PtyEndpoint(domid)
        self._ptys[pty.watch(self._closed_ptys)] = pty
        if self._running:
            self._attach(pty)
        return pty.path

    def move(self, before: int, now: int) -> None:
        """What spoke as domain `before` speaks as domain `now`; clients must connect again."""
        for listener in self._listeners:
            listener.domid = now if listener.domid == before else listener.domid
        for pty in self._ptys.values():
            pty.domid = now if pty.domid == before else pty.domid
        self.drop_connections(before)

    # The loop.

    def fileno(self) -> int:
        """For a poll: readable when there is something to do."""
        return self._selector.fileno()

    def step(self, timeout_s: float | None = 0) -> None:
        """Serve what is ready, waiting up to `timeout_s` seconds (None: as long as it takes).

        A stalled server does not wait, either.
        """
        if self.is_stalled:
            return
        ready = self._selector.select(timeout_s)
        self._renew_ptys()
        for key, _mask in ready:
            self._serve(key.data)
        self.flush()

    def _renew_ptys(self) -> None:
        """A client that closed its terminal leaves nothing to the next one."""
        for number in self._closed_ptys.read():
            gone = self._ptys[number]
            gone.forget_answers()
            for connection, endpoint in tuple(self._clients.items()):
                if endpoint is gone:
                    self._drop(connection)

    def _serve(self, what: _Listener | Connection | None) -> None:
        if isinstance(what, _Listener):
            self._accept(what)
        elif what in self._clients:
            self._receive(what)

    def flush(self) -> None:
        """Send what changes of the store from outside of `step` have caused."""
        while self._ready and not self.is_stalled:
            connection = next(iter(self._ready))
            del self._ready[connection]
            connection.go_on()
            self._send(connection)

    def _accept(self, listener: _Listener) -> None:
        with contextlib.suppress(BlockingIOError):
            client, _address = listener.socket.accept()
            self._attach(Endpoint(client.detach(), listener.domid))

    def _attach(self, endpoint: Endpoint) -> None:
        if endpoint.domid not in self.store.domains:
            if not isinstance(endpoint, PtyEndpoint):
                endpoint.close()
            return
        connection = Connection(self.store, endpoint.domid, self._notice)
        self._clients[connection] = endpoint
        self._selector.register(endpoint.fd, selectors.EVENT_READ, connection)
        endpoint.mask = selectors.EVENT_READ

    def _notice(self, connection: Connection) -> None:
        self._ready[connection] = None

    def _receive(self, connection: Connection) -> None:
        endpoint = self._clients[connection]
        if endpoint.mask & selectors.EVENT_READ:
            data = endpoint.receive(_READ_BYTES)
            if data == b"":
                self._drop(connection)
                return
            if data is not None:
                connection.receive(data)
        self._notice(connection)

    def _send(self, connection: Connection) -> None:
        endpoint = self._clients.get(connection)
        if endpoint is None:
            return
        while connection.has_output:
            count = endpoint.send(connection.data_to_send())
            if count is None:
                break
            if count < 0:
                self._drop(connection)
                return
            connection.sent(count)
        if connection.broken or connection.session.is_closed:
            self._drop(connection)
            return
        self._want(connection, endpoint)

    def _want(self, connection: Connection, endpoint: Endpoint) -> None:
        mask = selectors.EVENT_READ if connection.wants_input else 0
        if connection.has_output:
            mask |= selectors.EVENT_WRITE
        if mask == endpoint.mask:
            return
        if not mask:
            self._selector.unregister(endpoint.fd)
        elif not endpoint.mask:
            self._selector.register(endpoint.fd, mask, connection)
        else:
            self._selector.modify(endpoint.fd, mask, connection)
        endpoint.mask = mask

    def _drop(self, connection: Connection) -> None:
        """Close a connection; a pty begins anew, for that is what its device does."""
        endpoint = self._clients.pop(connection)
        self._ready.pop(connection, None)
        if endpoint.mask:
            self._selector.unregister(endpoint.fd)
            endpoint.mask = 0
        connection.close()
        if not isinstance(endpoint, PtyEndpoint):
            endpoint.close()
        elif self._running:
            self._attach(endpoint)

    # Faults.

    def stall(self) -> None:
        """Answer nobody and accept nobody, as a stopped process does, until `resume`."""
        self.is_stalled = True

    def resume(self) -> None:
        self.is_stalled = False

    def drop_connections(self, domid: int | None = None) -> None:
        for connection in tuple(self._clients):
            if domid is None or connection.session.domid == domid:
                self._drop(connection)

    def stop(self) -> None:
        """Die: connections close, nobody listens though the paths stay; ptys answer no more."""
        for listener in self._listeners if self._running else ():
            self._selector.unregister(listener.socket)
            listener.socket.close()
        self._running = False
        self.drop_connections()

    def start(self) -> None:
        """Come back after `stop`."""
        if self._running:
            return
        self._running = True
        for listener in self._listeners:
            self._open(listener)
        for pty in self._ptys.values():
            self._attach(pty)

    def close(self) -> None:
        """End for good and remove the sockets."""
        self.stop()
        for listener in self._listeners:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(listener.path)
        for pty in self._ptys.values():
            pty.close()
        self._closed_ptys.close()
        self._selector.close()

    def _open(self, listener: _Listener) -> None:
        listener.open()
        self._selector.register(listener.socket, selectors.EVENT_READ, listener)
