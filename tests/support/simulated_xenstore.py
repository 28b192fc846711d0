# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulated xenstored with the handles of the real one in `tests.support.xenstored`."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from sim_backend.clock import Clock
from sim_backend.guest.config import GuestConfig
from sim_backend.guest.store import DomainStore
from sim_backend.host.libxl import Libxl
from sim_backend.hypervisor import Host
from sim_backend.published.store import StoreMirror
from sim_backend.xenstore.server import Server
from sim_backend.xenstore.session import Session
from sim_backend.xenstore.store import Store
from tests.support.xenstored.raw_client import RawClient

_T = TypeVar("_T")


def libxl_guest(store: Store, domid: int = 5, name: str = "guest") -> None:
    """A guest of 512 MiB, of 1024 at most, as `xl create` makes it, introduced to that store."""
    domain = Libxl(Clock(), Host()).create(GuestConfig(name=name), domid=domid)
    StoreMirror(store, domid, domain.store)


class KeptSession(Session):
    """A client in process whose events wait, each distinct one once, until it asks for them."""

    def __init__(self, store: Store, domid: int = 0) -> None:
        super().__init__(store, domid, self._keep)
        self._kept: dict[tuple[str, str], None] = {}

    def take_events(self) -> list[tuple[str, str]]:
        """The (path, token) events that wait, oldest first; they wait no longer."""
        taken = list(self._kept)
        self._kept.clear()
        return taken

    def _keep(self, path: str, token: str) -> None:
        self._kept.setdefault((path, token))


class ServerThread:
    """Serves until the `with` block ends; what touches store or server goes through `call`."""

    def __init__(self, store: Store) -> None:
        self.server = Server(store)
        self._over = False
        self._posted: deque[Callable[[], None]] = deque()
        self._wake_r, self._wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="xenstore", daemon=True)

    def call(self, action: Callable[[], _T]) -> _T:
        """Do `action` in the server's thread and give what it returns, or raise what it raises."""
        done = threading.Event()
        results: list[_T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(action())
            except BaseException as error:  # noqa: BLE001 - it is the caller's
                errors.append(error)
            done.set()

        self._post(run)
        done.wait()
        if errors:
            raise errors[0]
        return results[0]

    def __enter__(self) -> ServerThread:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._post(self._end)
        self._thread.join()
        self.server.close()
        os.close(self._wake_r)
        os.close(self._wake_w)

    def _post(self, action: Callable[[], None]) -> None:
        self._posted.append(action)
        os.write(self._wake_w, b"\0")

    def _end(self) -> None:
        self._over = True

    def _run(self) -> None:
        while not self._over:
            poll = select.poll()
            poll.register(self._wake_r, select.POLLIN)
            if not self.server.is_stalled:
                poll.register(self.server, select.POLLIN)
            poll.poll()
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_r, 4096)
            while self._posted:
                self._posted.popleft()()
            self.server.step(0)


class SimulatedGuest:
    """A domain of the simulated store; `path` and `pty_path` speak as it."""

    def __init__(self, thread: ServerThread, rundir: str, domid: int) -> None:
        self.domid = domid
        self.path = os.path.join(rundir, f"dom{domid}.socket")
        store, server = thread.server.store, thread.server
        store.create_domain(domid)
        store.introduce(domid)
        server.listen(self.path, domid)
        self.pty_path = server.open_pty(domid)


class SimulatedXenstored:
    """A server thread with a run directory of its own.

    `mirrored`: the keys of each domain are also those of a model, as when it is published.
    """

    def __init__(self, *, mirrored: bool = False) -> None:
        self._mirrored = mirrored
        self.rundir = tempfile.mkdtemp(prefix="xenstore-")
        self.path = os.path.join(self.rundir, "socket")
        self.thread = ServerThread(Store())
        self.thread.server.listen(self.path, 0)

    def __enter__(self) -> SimulatedXenstored:
        self.thread.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.thread.__exit__(kind, error, trace)
        shutil.rmtree(self.rundir)

    def connect(self) -> RawClient:
        """A connection of dom0's."""
        return RawClient(self.path)

    def introduce(self, domid: int) -> SimulatedGuest:
        """Make a domain."""
        return self.thread.call(lambda: self._introduce(domid))

    def _introduce(self, domid: int) -> SimulatedGuest:
        guest = SimulatedGuest(self.thread, self.rundir, domid)
        if self._mirrored:
            StoreMirror(self.thread.server.store, domid, DomainStore({}, ()))
        return guest
