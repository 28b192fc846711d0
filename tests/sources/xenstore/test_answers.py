# SPDX-License-Identifier: GPL-2.0-or-later
"""A session whose peer answers late, wrongly, with nonsense, in pieces or not at all.

Many of these end pyxs's own client in a hang or a dead thread; here they reach nobody.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from agent.sources.xenstore.errors import (
    KeyAbsent,
    KeyDenied,
    QuotaExceeded,
    StoreBusy,
    XenstoreLost,
    XenstoreRefused,
)
from agent.sources.xenstore.session import XenstoreSession
from tests.support.scripted_peer import ScriptedPeer
from tests.support.scripted_session import SHORT_S, connected
from tests.support.xenstored.raw_client import DIRECTORY, ERROR, HEADER, READ, WATCH_EVENT, WRITE


def test_answers_to_somebody_else_are_dropped(session: XenstoreSession, peer: ScriptedPeer) -> None:
    for rq_id in (0, 2, 7, 2**32 - 1):
        peer.packet(READ, b"wrong", rq_id)
        peer.packet(ERROR, b"ENOENT\0", rq_id)
    peer.packet(READ, b"right", 1)

    assert session.read("name") == b"right"


def test_the_late_answer_to_a_request_given_up_is_not_taken_for_another(
    device_peer: ScriptedPeer,
) -> None:
    session = connected(device_peer, SHORT_S)
    with pytest.raises(XenstoreLost, match="no answer"):
        session.read("name")
    session.connect()
    device_peer.packet(READ, b"late", 1)
    device_peer.packet(READ, b"right", 2)

    assert session.read("name") == b"right"
    session.close()


def test_a_stray_answer_outside_any_request_is_dropped(
    session: XenstoreSession, peer: ScriptedPeer
) -> None:
    peer.packet(READ, b"stray", 99)

    assert session.events() == []
    assert not session.has_events()
    assert session.connected


def test_an_endless_flood_of_stray_answers_ends_at_the_deadline(socket_peer: ScriptedPeer) -> None:
    session = connected(socket_peer, timeout_s=0.1)
    stop = threading.Event()

    def flood() -> None:
        stray = HEADER.pack(READ, 99, 0, 0) * 200
        while not stop.is_set():
            try:
                os.write(socket_peer._fd, stray)
            except BlockingIOError:
                continue
            except OSError:
                return

    flooder = threading.Thread(target=flood)
    flooder.start()
    try:
        with pytest.raises(XenstoreLost):
            session.read("name")
    finally:
        stop.set()
        flooder.join()


def test_an_answer_that_was_there_in_time_counts_even_if_we_come_late(
    session: XenstoreSession, peer: ScriptedPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after the domain was paused, or this process starved, in the middle of a request."""
    peer.packet(READ, b"right", 1)
    clock_s = iter([0.0, 1000.0])
    monkeypatch.setattr("agent.sources.xenstore.router.time.monotonic", lambda: next(clock_s))

    assert session.read("name") == b"right"


MALFORMED: dict[str, bytes] = {
    "unknown type": HEADER.pack(23, 1, 0, 0),
    "type of a huge number": HEADER.pack(2**32 - 1, 1, 0, 0),
    "4097 bytes": HEADER.pack(READ, 1, 0, 4097) + b"x" * 4097,
    "4 GiB": HEADER.pack(READ, 1, 0, 2**32 - 1),
    "oversize event": HEADER.pack(WATCH_EVENT, 0, 0, 2**31),
    "another type": HEADER.pack(WRITE, 1, 0, 3) + b"OK\0",
    "another transaction": HEADER.pack(READ, 1, 9, 1) + b"x",
    "text": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_traffic_closes_the_session(
    session: XenstoreSession, peer: ScriptedPeer, data: bytes
) -> None:
    peer.send(data)

    with pytest.raises(XenstoreLost):
        session.read("name")
    assert not session.connected


@pytest.mark.parametrize("data", [MALFORMED["4 GiB"], MALFORMED["text"]])
def test_malformed_traffic_met_while_taking_events_closes_the_session_too(
    session: XenstoreSession, peer: ScriptedPeer, data: bytes
) -> None:
    peer.send(data)

    with pytest.raises(XenstoreLost, match="malformed"):
        session.events()
    assert not session.connected


def test_an_acknowledgement_that_is_none_closes_the_session(
    session: XenstoreSession, peer: ScriptedPeer
) -> None:
    peer.packet(WRITE, b"KO\0")

    with pytest.raises(XenstoreLost, match="something else than OK"):
        session.write("data/x", b"1")
    assert not session.connected


@pytest.mark.parametrize("answer", [b"OK", b"OK\0", b"OK\0\0"])
def test_an_acknowledgement_may_end_as_it_likes(
    session: XenstoreSession, peer: ScriptedPeer, answer: bytes
) -> None:
    peer.packet(WRITE, answer)

    session.write("data/x", b"1")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (b"", []),
        (b"a\0b\0", ["a", "b"]),
        (b"a\0b", ["a", "b"]),
        (b"\xff\x1b[2J\0", ["\\xff\x1b[2J"]),
    ],
)
def test_names_of_a_directory_are_text_whatever_they_are(
    session: XenstoreSession, peer: ScriptedPeer, names: bytes, expected: list[str]
) -> None:
    peer.packet(DIRECTORY, names)

    assert session.list("data") == expected


@pytest.mark.parametrize(
    ("name", "kind", "errno_name"),
    [
        (b"ENOENT\0", KeyAbsent, "ENOENT"),
        (b"ENOENT", KeyAbsent, "ENOENT"),
        (b"EACCES\0", KeyDenied, "EACCES"),
        (b"EPERM\0", KeyDenied, "EPERM"),
        (b"EROFS\0", KeyDenied, "EROFS"),
        (b"EQUOTA\0", QuotaExceeded, "EQUOTA"),
        (b"ENOSPC\0", QuotaExceeded, "ENOSPC"),
        (b"E2BIG\0", QuotaExceeded, "E2BIG"),
        (b"EAGAIN\0", StoreBusy, "EAGAIN"),
        (b"EBUSY\0", StoreBusy, "EBUSY"),
        (b"EINVAL\0", XenstoreRefused, "EINVAL"),
        (b"ENOSYS\0", XenstoreRefused, "ENOSYS"),
        (b"EWHATEVER\0", XenstoreRefused, "EWHATEVER"),
        (b"", XenstoreRefused, "EUNKNOWN"),
        (b"\0\0", XenstoreRefused, "EUNKNOWN"),
        (b"E\x1b[2J\0", XenstoreRefused, "EUNKNOWN"),
        (b"E" + b"X" * 4000, XenstoreRefused, "EUNKNOWN"),
        ("EÉ".encode(), XenstoreRefused, "EUNKNOWN"),
    ],
)
def test_an_error_is_told_by_its_kind_and_the_session_goes_on(
    session: XenstoreSession,
    peer: ScriptedPeer,
    name: bytes,
    kind: type[XenstoreRefused],
    errno_name: str,
) -> None:
    peer.packet(ERROR, name)
    with pytest.raises(XenstoreRefused) as refused:
        session.write("data/x", b"1")

    assert type(refused.value) is kind
    assert refused.value.errno_name == errno_name
    assert str(refused.value) == f"write data/x: refused with {errno_name}"
    peer.packet(READ, b"5", 2)
    assert session.read("domid") == b"5"


@pytest.mark.parametrize("size", [0, 1, 15, 16, 19])
def test_half_a_packet_holds_nothing_up_longer_than_the_deadline(
    peer: ScriptedPeer, size: int
) -> None:
    session = connected(peer, SHORT_S)
    answer = HEADER.pack(READ, 1, 0, 4) + b"1234"
    if size:
        peer.send(answer[:size])

    assert session.events() == []
    with pytest.raises(XenstoreLost, match="no answer"):
        session.read("name")
    session.close()
    assert not session.connected


def test_a_packet_in_pieces_is_put_together(session: XenstoreSession, peer: ScriptedPeer) -> None:
    answer = HEADER.pack(READ, 1, 0, 4) + b"1234"
    for byte in answer[:-1]:
        peer.send(bytes([byte]))
        assert session.events() == []
    peer.send(answer[-1:])

    assert session.read("name") == b"1234"


@pytest.mark.parametrize("sent", [b"", b"abc", HEADER.pack(READ, 1, 0, 10) + b"abc"])
@pytest.mark.parametrize("call", ["read", "events", "has_events"])
def test_a_peer_that_hangs_up_is_a_loss_whatever_came_before(
    session: XenstoreSession, peer: ScriptedPeer, sent: bytes, call: str
) -> None:
    if sent:
        peer.send(sent)
    peer.hang_up()

    calls: dict[str, Callable[[], object]] = {
        "read": lambda: session.read("name"),
        "events": session.events,
        "has_events": session.has_events,
    }
    with pytest.raises(XenstoreLost):
        calls[call]()
    assert not session.connected
    session.close()


def test_a_peer_that_takes_nothing_ends_in_a_timeout(socket_peer: ScriptedPeer) -> None:
    session = connected(socket_peer, SHORT_S)
    filled = 0
    try:
        while True:
            filled += os.write(session.fileno(), b"\0" * 65536)
    except BlockingIOError:
        assert filled

    with pytest.raises(XenstoreLost, match="write data/x not taken within"):
        session.write("data/x", b"x" * 4000)
    assert not session.connected
