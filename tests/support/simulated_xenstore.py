# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulated xenstored with the handles of the real one in `tests.support.xenstored`."""

from __future__ import annotations

import os
import shutil
import tempfile
from types import TracebackType
from typing import Self

from sim_backend.guest.store import DomainStore
from sim_backend.published.store import StoreMirror
from sim_backend.xenstore.store import Store
from sim_backend.xenstore.threaded import ServerThread
from tests.support.xenstored.raw_client import RawClient


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

    def __enter__(self) -> Self:
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
