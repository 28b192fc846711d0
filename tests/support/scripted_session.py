# SPDX-License-Identifier: GPL-2.0-or-later
"""A session and the scripted peer at its other end, as fixtures and as calls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.sources.xenstore.session import XenstoreSession
from agent.sources.xenstore.watches import WatchEvent
from tests.support.scripted_peer import Kind, ScriptedPeer
from tests.support.xenstored.raw_client import READ, WATCH

SHORT_S = 0.03
TARGET = WatchEvent("memory/target", "t")


@pytest.fixture(params=["socket", "device"])
def peer(request: pytest.FixtureRequest) -> Iterator[ScriptedPeer]:
    kind: Kind = request.param
    with ScriptedPeer(kind) as peer:
        yield peer


@pytest.fixture
def socket_peer() -> Iterator[ScriptedPeer]:
    with ScriptedPeer() as peer:
        yield peer


@pytest.fixture
def device_peer() -> Iterator[ScriptedPeer]:
    with ScriptedPeer("device") as peer:
        yield peer


def connected(peer: ScriptedPeer, timeout_s: float = 5.0) -> XenstoreSession:
    session = XenstoreSession(peer.path, timeout_s)
    session.connect()
    peer.accept()
    return session


@pytest.fixture
def session(peer: ScriptedPeer) -> Iterator[XenstoreSession]:
    session = connected(peer)
    yield session
    session.close()


def watching(peer: ScriptedPeer, timeout_s: float = 5.0) -> XenstoreSession:
    """A session with a live watch, whatever its next request id is."""
    session = connected(peer, timeout_s)
    rq_id = 1 + answer_to_the_read_before(peer, rq_id=1)
    peer.packet(WATCH, b"OK\0", rq_id)
    session.watch("memory/target", "t")
    return session


def answer_to_the_read_before(peer: ScriptedPeer, rq_id: int) -> int:
    """Over a device a READ goes before each WATCH; how many that are."""
    if peer.kind == "socket":
        return 0
    peer.packet(READ, b"1", rq_id)
    return 1


def next_rq_id(peer: ScriptedPeer) -> int:
    return peer.received()[-1].rq_id + 1
