# SPDX-License-Identifier: GPL-2.0-or-later
"""Several keys written in one call."""

import pytest

from agent.sources.xenstore_errors import KeyDenied, XenstoreLost
from agent.sources.xenstore_session import WatchEvent, XenstoreSession
from tests.support.scripted_peer import ScriptedPeer
from tests.support.scripted_session import SHORT_S, connected, next_rq_id, watching
from tests.support.xenstored.guest import Guest
from tests.support.xenstored.raw_client import ERROR, WATCH_EVENT, WRITE, RawClient

VALUES = {"data/a": b"1", "data/b": b"2", "data/c": b"3"}


def test_none_is_sent_before_the_one_before_it_is_answered(peer: ScriptedPeer) -> None:
    session = connected(peer, SHORT_S)
    with pytest.raises(XenstoreLost, match="no answer to write data/a"):
        session.write_all(VALUES)
    assert [packet.payload for packet in peer.received()] == [b"data/a\0001"]


def test_all_are_sent_in_their_order(session: XenstoreSession, peer: ScriptedPeer) -> None:
    for rq_id in (1, 2, 3):
        peer.packet(WRITE, b"OK\0", rq_id)
    assert session.write_all(VALUES) == {}
    sent = [packet.payload for packet in peer.received()]
    assert sent == [b"data/a\0001", b"data/b\0002", b"data/c\0003"]


def test_one_that_is_refused_stops_no_other(session: XenstoreSession, peer: ScriptedPeer) -> None:
    peer.packet(WRITE, b"OK\0", 1)
    peer.packet(ERROR, b"EACCES\0", 2)
    peer.packet(WRITE, b"OK\0", 3)
    refused = session.write_all(VALUES)
    assert list(refused) == ["data/b"]
    assert isinstance(refused["data/b"], KeyDenied)


def test_what_does_not_fit_into_a_packet_is_refused_and_not_sent(
    session: XenstoreSession, peer: ScriptedPeer
) -> None:
    peer.packet(WRITE, b"OK\0", 2)
    refused = session.write_all({"data/large": b"x" * 5000, "data/small": b"1"})
    assert list(refused) == ["data/large"]
    assert [packet.payload for packet in peer.received()] == [b"data/small\0001"]


def test_events_on_the_way_are_kept(peer: ScriptedPeer) -> None:
    session = watching(peer)
    session.events()
    first = next_rq_id(peer)
    peer.packet(WRITE, b"OK\0", first)
    peer.packet(WATCH_EVENT, b"memory/target\0t\0", 0)
    peer.packet(WRITE, b"OK\0", first + 1)
    peer.packet(WRITE, b"OK\0", first + 2)
    assert session.write_all(VALUES) == {}
    assert session.events() == [WatchEvent("memory/target", "t")]
    session.close()


def test_one_that_is_never_answered_ends_the_session(peer: ScriptedPeer) -> None:
    session = connected(peer, SHORT_S)
    peer.packet(WRITE, b"OK\0", 1)
    with pytest.raises(XenstoreLost, match="no answer to write data/b"):
        session.write_all(VALUES)
    assert not session.connected


@pytest.mark.xenstored
@pytest.mark.parametrize("way", ["path", "pty_path"])
def test_the_real_xenstored_takes_more_than_fit_at_once(
    guest: Guest, dom0: RawClient, way: str
) -> None:
    values = {f"data/key{number}": b"%d" % number for number in range(40)}
    with XenstoreSession(getattr(guest, way)) as session:
        refused = session.write_all({**values, "memory/target": b"1"})
        assert list(refused) == ["memory/target"]
        for key, value in values.items():
            assert session.read(key) == value
