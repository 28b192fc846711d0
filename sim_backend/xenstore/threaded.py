# SPDX-License-Identifier: GPL-2.0-or-later
"""A server of the simulated store in a thread of its own, for programs without a loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from sim_backend.xenstore.server import Server
from sim_backend.xenstore.store import Store

_T = TypeVar("_T")


class ServerThread:
    """Serves until the `with` block ends; what touches store or server goes through `call`."""

    def __init__(self, store: Store) -> None:
        self.server = Server(store)
        self._over = False
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

        self.server.post(run)
        done.wait()
        if errors:
            raise errors[0]
        return results[0]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.server.post(self._end)
        self._thread.join()
        self.server.close()

    def _end(self) -> None:
        self._over = True

    def _run(self) -> None:
        while not self._over:
            self.server.step(None)
