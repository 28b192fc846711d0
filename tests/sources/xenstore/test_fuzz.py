# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever bytes a peer sends, in whatever pieces, a session ends in an answer or its own error.

`tests/bench/fuzz_xenstore.py` does the same a million packets long.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.sources.xenstore.errors import XenstoreError, XenstoreLost
from agent.sources.xenstore.session import XenstoreSession
from agent.sources.xenstore.watches import MOST_EVENTS_DUE, WatchEvent
from tests.support.scripted_peer import ScriptedPeer
from tests.support.xenstored.raw_client import HEADER, READ, WATCH, WATCH_EVENT

U32 = st.integers(0, 2**32 - 1)
SMALL = st.integers(0, 4)
PATHS = st.sampled_from([b"memory/target", b"memory/target/x", b"/", b"", b"/local/domain/5"])
TOKENS = st.sampled_from([b"t", b"u", b"", b"\xff"])
EVENTS = st.tuples(PATHS, TOKENS, st.sampled_from([b"", b"\0", b"\0more\0"])).map(
    lambda fields: b"\0".join(fields[:2]) + fields[2]
)
PAYLOADS = EVENTS | st.binary(max_size=60) | st.sampled_from([b"OK\0", b"ENOENT\0", b"EQUOTA\0"])


def packet(op: int, rq_id: int, tx_id: int, claimed: int, payload: bytes) -> bytes:
    """A packet that claims `claimed` bytes more than it has."""
    return HEADER.pack(op, rq_id, tx_id, (len(payload) + claimed) % 2**32) + payload


HONEST = st.just(0)
LIKELY = st.builds(
    packet, st.integers(0, 22), SMALL, st.sampled_from([0, 0, 0, 1]), HONEST, PAYLOADS
)
EVENT = st.builds(packet, st.just(WATCH_EVENT), SMALL, HONEST, HONEST, EVENTS)
ODD = st.builds(packet, U32, U32, U32, HONEST | st.integers(-3, 3) | U32, PAYLOADS)
TRAFFIC = st.lists(LIKELY | EVENT | EVENT | ODD | st.binary(max_size=40), max_size=12)
CALLS: dict[str, Callable[[XenstoreSession], object]] = {
    "read": lambda session: session.read("memory/target"),
    "list": lambda session: session.list("memory"),
    "write": lambda session: session.write("data/x", b"\xff"),
    "remove": lambda session: session.remove("data/x"),
    "events": lambda session: session.events(),
    "has_events": lambda session: session.has_events(),
}


def check(result: object) -> None:
    if isinstance(result, list) and result and isinstance(result[0], WatchEvent):
        assert len(result) <= MOST_EVENTS_DUE + 1
        assert {event.token for event in result} == {"t"}
        assert all(event.path.startswith("memory/target") for event in result)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(TRAFFIC, st.sampled_from(sorted(CALLS))), max_size=6))
def test_any_traffic_ends_in_an_answer_or_an_error_of_ours(
    rounds: list[tuple[list[bytes], str]],
) -> None:
    with ScriptedPeer() as peer:
        session = XenstoreSession(peer.path, timeout_s=0.002)
        session.connect()
        peer.accept()
        peer.packet(WATCH, b"OK\0", 1)
        session.watch("memory/target", "t")
        for traffic, call in rounds:
            try:
                peer.send(b"".join(traffic))
                check(CALLS[call](session))
            except XenstoreLost:
                break
            except XenstoreError:
                continue
        session.close()

        session = XenstoreSession(peer.path)
        session.connect()
        peer.accept()
        peer.packet(READ, b"1", 1)
        assert session.read("memory/target") == b"1"
        session.close()
