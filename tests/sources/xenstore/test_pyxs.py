# SPDX-License-Identifier: GPL-2.0-or-later
"""pyxs over a router of ours: what would hang it, or leave it unusable, ends as an error."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from agent.sources.xenstore.errors import StoreBusy, XenstoreLost, XenstoreRefused
from agent.sources.xenstore.pyxs_client import RoutedClient, StoreClient
from agent.sources.xenstore.router import LoopRouter
from agent.sources.xenstore.watches import Watches
from tests.support.scripted_peer import ScriptedPeer

READ, DIRECTORY, START, END, ERROR, PART = 2, 1, 6, 7, 16, 22


@pytest.fixture
def peer() -> Iterator[ScriptedPeer]:
    with ScriptedPeer() as peer:
        yield peer


@pytest.fixture
def store(peer: ScriptedPeer) -> Iterator[StoreClient]:
    store = StoreClient(peer.path, timeout_s=0.05)
    store.connect()
    peer.accept()
    yield store
    store.close()


@pytest.fixture
def client(peer: ScriptedPeer) -> Iterator[RoutedClient]:
    client = RoutedClient(LoopRouter(peer.path, 0.05, Watches()))
    client.connect()  # type: ignore[no-untyped-call]
    peer.accept()
    yield client
    client.close()  # type: ignore[no-untyped-call]


def test_a_silent_xenstored_ends_a_read_within_its_time(store: StoreClient) -> None:
    with pytest.raises(XenstoreLost, match=r"no answer to read name within 0\.05 s"):
        store.read("name")


def test_a_xenstored_that_is_always_late_counts_as_lost_when_patience_is_over(
    peer: ScriptedPeer,
) -> None:
    store = StoreClient(peer.path, timeout_s=0.5, patience_s=0.4)
    with contextlib.closing(store):
        store.connect()
        peer.accept()
        with pytest.raises(XenstoreLost, match="no answer"):
            store.read("name")
        began_s = time.monotonic()
        for ask in (store.read, store.list, store.permissions):
            with pytest.raises(XenstoreLost, match=r"too slowly: 0\.4 s"):
                ask("name")
        assert time.monotonic() - began_s < 0.5


def test_a_xenstored_that_dies_ends_a_read_and_can_be_connected_to_again(
    store: StoreClient, peer: ScriptedPeer
) -> None:
    """pyxs waits for ever, then refuses to start its thread a second time."""
    peer.hang_up()
    with pytest.raises(XenstoreLost):
        store.read("name")
    store.connect()
    peer.accept()
    peer.packet(READ, b"guest", rq_id=2)
    assert store.read("name") == b"guest"


def test_an_answer_to_somebody_else_does_not_end_the_client(
    store: StoreClient, peer: ScriptedPeer
) -> None:
    """It ends the thread of pyxs's own router."""
    peer.packet(READ, b"another", rq_id=77)
    peer.packet(READ, b"guest")
    assert store.read("name") == b"guest"


def test_an_error_of_an_unknown_name_is_no_success(store: StoreClient, peer: ScriptedPeer) -> None:
    """pyxs makes (0, "Success") of it."""
    peer.packet(ERROR, b"ESOMETHING\0")
    with pytest.raises(XenstoreRefused) as refused:
        store.read("name")
    assert refused.value.errno_name == "ESOMETHING"
    assert refused.value.args[0]


def test_a_rollback_that_fails_is_the_end_of_the_transaction_all_the_same(
    client: RoutedClient, peer: ScriptedPeer
) -> None:
    peer.packet(START, b"9\0")
    assert client.transaction() == 9  # type: ignore[no-untyped-call]
    peer.packet(ERROR, b"EBUSY\0", rq_id=2, tx_id=9)
    with pytest.raises(StoreBusy):
        client.rollback()
    peer.packet(START, b"10\0", rq_id=3)
    assert client.transaction() == 10  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("answer", [b"OK\0", b"\0", b"-1\0", b"4294967296\0", b"9" * 30])
def test_a_transaction_without_a_number_is_no_transaction(
    store: StoreClient, peer: ScriptedPeer, answer: bytes
) -> None:
    peer.packet(START, answer)
    with pytest.raises(XenstoreLost, match="something else than a number"):
        store.at_one_moment(lambda: None)


def test_a_list_that_changes_while_it_comes_in_parts_is_listed_anew(
    store: StoreClient, peer: ScriptedPeer
) -> None:
    peer.packet(ERROR, b"E2BIG\0")
    peer.packet(PART, b"1\0a\0b\0", rq_id=2)
    peer.packet(PART, b"2\0c\0\0", rq_id=3)
    peer.packet(PART, b"2\0a\0c\0\0", rq_id=4)
    assert store.list("data") == ["a", "c"]


def test_a_list_without_an_end_is_refused(store: StoreClient, peer: ScriptedPeer) -> None:
    peer.packet(ERROR, b"E2BIG\0")
    for rq_id in range(2, 2 + 256):
        peer.packet(PART, b"1\0a\0", rq_id=rq_id)
    with pytest.raises(XenstoreRefused, match="E2BIG"):
        store.list("data")
