# SPDX-License-Identifier: GPL-2.0-or-later
"""A session whose peer sends events early, oddly formed, unasked for, or far too many.

Several of these end pyxs's own client in a loop, lose an event or fill the memory.
"""

from __future__ import annotations

import pytest

from agent.sources.xenstore.errors import KeyDenied
from agent.sources.xenstore.session import XenstoreSession
from tests.support.scripted_peer import ScriptedPeer
from tests.support.scripted_session import (
    TARGET,
    answer_to_the_read_before,
    connected,
    next_rq_id,
    watching,
)
from tests.support.xenstored.raw_client import ERROR, HEADER, READ, WATCH, WATCH_EVENT


def test_the_first_event_may_come_before_the_answer_to_its_watch(peer: ScriptedPeer) -> None:
    session = connected(peer)
    before = answer_to_the_read_before(peer, rq_id=1)
    peer.event(b"memory/target", b"t")
    peer.packet(WATCH, b"OK\0", 1 + before)
    session.watch("memory/target", "t")

    assert session.events() == [TARGET]
    session.close()


def test_a_refused_watch_leaves_nothing_behind(peer: ScriptedPeer) -> None:
    session = connected(peer)
    before = answer_to_the_read_before(peer, rq_id=1)
    peer.event(b"memory/target", b"t")
    peer.packet(ERROR, b"EACCES\0", 1 + before)
    with pytest.raises(KeyDenied):
        session.watch("memory/target", "t")
    peer.event(b"memory/target", b"t")

    assert session.events() == []
    session.close()


def test_an_older_kernels_answer_to_a_watch_has_no_request_id(device_peer: ScriptedPeer) -> None:
    session = connected(device_peer)
    device_peer.packet(READ, b"1", 1)
    device_peer.packet(WATCH, b"OK\0", 0)
    session.watch("memory/target", "t")
    session.close()


def test_over_a_socket_an_answer_without_our_id_is_never_ours(socket_peer: ScriptedPeer) -> None:
    session = connected(socket_peer)
    socket_peer.packet(WATCH, b"OK\0", 0)
    socket_peer.packet(ERROR, b"EACCES\0", 1)

    with pytest.raises(KeyDenied):
        session.watch("memory/target", "t")
    session.close()


def test_an_older_kernels_events_carry_whatever_request_id(peer: ScriptedPeer) -> None:
    """Its header is not initialised (watch_fired(), Linux 4.4), so it may even be ours."""
    session = watching(peer)
    rq_id = next_rq_id(peer)
    peer.packet(WATCH_EVENT, b"memory/target\0t\0", rq_id, tx_id=77)
    peer.packet(READ, b"1", rq_id)

    assert session.read("memory/target") == b"1"
    assert session.events() == [TARGET]
    session.close()


ODD_EVENTS = [b"", b"\0", b"memory/target", b"/\0x\0", b"/\0t\0", b"a\0t\0b\0c\0", b"\0" * 100]


def test_odd_events_neither_spin_nor_close_the_session(peer: ScriptedPeer) -> None:
    session = watching(peer)
    rq_id = next_rq_id(peer)
    for payload in ODD_EVENTS:
        peer.packet(WATCH_EVENT, payload, 0)

    assert session.events() == [TARGET]
    peer.packet(READ, b"1", rq_id)
    assert session.read("memory/target") == b"1"
    session.close()


def test_a_storm_of_events_is_taken_in_bounded_parts_and_held_in_bounded_memory(
    socket_peer: ScriptedPeer,
) -> None:
    session = watching(socket_peer)
    sent = 0
    while sent < 20_000:
        try:
            socket_peer.event(b"memory/target", b"t")
            socket_peer.event(b"memory/target/%d" % sent, b"t")
            sent += 2
        except BlockingIOError:
            assert 1 <= len(session.events()) <= 70

    while session.has_events():
        assert 1 <= len(session.events()) <= 70
    assert session.connected
    session.close()


def test_a_storm_that_never_ends_does_not_keep_the_caller(
    socket_peer: ScriptedPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = watching(socket_peer)
    event = HEADER.pack(WATCH_EVENT, 0, 0, 16) + b"memory/target\0t\0"
    reads = iter(range(1000))

    def more(most_bytes: int) -> bytes:
        next(reads)  # ends the test when it is asked for ever
        return event * (most_bytes // len(event))

    monkeypatch.setattr(session._router._transport, "read", more)

    assert session.events() == [TARGET]
    assert session.has_events()
    session.close()


def test_an_answer_behind_a_storm_of_events_is_found(socket_peer: ScriptedPeer) -> None:
    session = watching(socket_peer)
    rq_id = next_rq_id(socket_peer)
    for _ in range(200):
        socket_peer.event(b"memory/target", b"t")
    socket_peer.packet(READ, b"1", rq_id)

    assert session.read("memory/target") == b"1"
    assert session.events() == [TARGET]
    session.close()


def test_half_an_event_is_none_yet(session: XenstoreSession, peer: ScriptedPeer) -> None:
    """xenstored writes header and payload one after the other."""
    session._watches.add("memory/target", "t")
    for piece in (HEADER.pack(WATCH_EVENT, 0, 0, 16), b"memory/target\0", b"t\0"):
        assert not session.has_events()
        peer.send(piece)
    assert session.has_events()
    assert session.events() == [TARGET]
