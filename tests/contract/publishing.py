# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated guest that is published, and whoever uses its files and sockets beside it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import pytest

from agent.core.facts.snapshot import Origin, Snapshot
from agent.gather import gather
from agent.sources.system_root import SystemRoot
from agent.sources.xenstore.key_store import SessionKeys
from agent.sources.xenstore.pyxs_client import StoreClient
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.host.libxl import Libxl, simple_guest
from sim_backend.published.domain import PublishedDomain
from tests.sim_backend.guests import LAB

ORIGIN: Final = Origin("live", "published")
BARELY_MOVING: Final = 1e-6  # the story's speed: the clock stands still for the test's purpose
_T = TypeVar("_T")


class Published:
    """A settled guest, published, whose clock stands nearly still."""

    def __init__(self, guest: str, directory: str, speed: float = BARELY_MOVING) -> None:
        self.toolstack: Libxl
        self.domain: SimulatedDomain
        self.toolstack, self.domain = simple_guest(LAB[guest])
        self.published = PublishedDomain(self.domain, directory, speed)
        self.root = SystemRoot(self.published.root)
        self.pool = ThreadPoolExecutor(1)

    def do(self, action: Callable[[], _T]) -> _T:
        """Serve until `action`, which runs beside, has returned."""
        future = self.pool.submit(action)
        self.until(future.done)
        return future.result()

    def until(self, reached: Callable[[], bool]) -> None:
        for _ in range(4000):
            if reached():
                return
            self.published.step(0.02)
        pytest.fail("it did not happen")

    def snapshot(self) -> Snapshot:
        """What the agent reads, by files and xenstore."""
        session = StoreClient(self.published.guest_path)
        try:
            return self.do(lambda: gather(self.root, SessionKeys(session), ORIGIN))
        finally:
            session.close()

    def close(self) -> None:
        self.published.close()
        self.pool.shutdown()
