# SPDX-License-Identifier: GPL-2.0-or-later
"""What commands ask of xenstore through pyxs, and what of pyxs is put right on the way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.sources.xenstore.errors import KeyAbsent, KeyDenied, XenstoreRefused
from agent.sources.xenstore.pyxs_client import RoutedClient, StoreClient
from agent.sources.xenstore.router import LoopRouter
from agent.sources.xenstore.watches import Watches
from tests.contract.hosts import TARGET_KIB, Host

MANY = 400


@pytest.fixture
def store(host: Host) -> Iterator[StoreClient]:
    host.guest.close()  # a guest has one ring, so one client
    client = StoreClient(host.guest_domain.path)
    client.connect()
    yield client
    client.close()


@pytest.fixture
def client(host: Host) -> Iterator[RoutedClient]:
    host.guest.close()
    with RoutedClient(LoopRouter(host.guest_domain.path, 10.0, Watches())) as client:
        yield client


def test_keys_are_read_relative_to_the_domain_or_from_the_root(
    store: StoreClient, host: Host
) -> None:
    for key in ("memory/target", f"{host.base}/memory/target"):
        assert store.read(key) == b"%d" % TARGET_KIB
    assert {"target", "static-max"} <= set(store.list("memory"))
    assert store.list("memory/target") == []
    assert store.permissions("memory/target")[0] == "n0"


def test_an_absent_key_is_told_from_a_denied_one(client: RoutedClient) -> None:
    with pytest.raises(KeyAbsent) as absent:
        client.read(b"data/nothing")  # type: ignore[no-untyped-call]
    assert (absent.value.errno_name, absent.value.request) == ("ENOENT", "read data/nothing")
    assert str(absent.value) == "read data/nothing: refused with ENOENT"
    with pytest.raises(KeyDenied):
        client.write(b"memory/target", b"1")  # type: ignore[no-untyped-call]


def test_pyxs_own_operations_understand_a_refusal(client: RoutedClient) -> None:
    """They look for an errno in the first argument of a PyXSError."""
    assert client.read(b"data/nothing", default=b"-") == b"-"  # type: ignore[no-untyped-call]
    assert not client.exists(b"data/nothing")  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("value", [b"", b"\0", b"5\0\0", b"a\nb", "größer".encode()], ids=repr)
def test_a_value_comes_back_whatever_it_holds(client: RoutedClient, value: bytes) -> None:
    """pyxs takes NULs away, and refuses the rest."""
    client.write(b"data/x", value)  # type: ignore[no-untyped-call]
    assert client.read(b"data/x") == value  # type: ignore[no-untyped-call]


def test_a_path_needs_no_working_directory(
    store: StoreClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyxs asks for it in its check of a path: FileNotFoundError."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(FileNotFoundError):
        os.getcwd()
    assert store.read("memory/target") == b"%d" % TARGET_KIB


@pytest.mark.parametrize(
    "key", ["", "/", "memory/", "memory//target", "memory/target\n", "é", "a b"]
)
def test_a_path_that_is_none_is_refused_unsent(store: StoreClient, key: str) -> None:
    for ask in (store.read, store.list, store.permissions):
        with pytest.raises(XenstoreRefused) as refused:
            ask(key)
        assert refused.value.errno_name == "EINVAL"
        assert str(refused.value).isprintable()


@pytest.mark.own_host("400 keys that only dom0 may make")
def test_a_directory_too_long_for_one_packet_is_listed_whole(
    store: StoreClient, host: Host
) -> None:
    """pyxs gives up with E2BIG."""
    names = [f"{'n' * 20}{number}" for number in range(MANY)]
    for name in names:
        host.dom0.write(f"{host.base}/data/{name}", b"")
    assert sorted(store.list("data")) == sorted(names)


@pytest.mark.own_host("another domain writes into this one's keys at a moment of the test's choice")
def test_keys_of_one_moment_are_read_anew_when_somebody_wrote_between(
    store: StoreClient, host: Host
) -> None:
    tries = 0

    def read() -> tuple[bytes, bytes]:
        nonlocal tries
        tries += 1
        first = store.read("memory/target")
        if tries == 1:
            host.dom0.write(f"{host.base}/memory/target", 1)
            host.dom0.write(f"{host.base}/memory/static-max", 1)
        return first, store.read("memory/static-max")

    assert store.at_one_moment(read) == (b"1", b"1")
    assert tries == 2


def test_after_an_error_within_a_transaction_the_next_one_begins(store: StoreClient) -> None:
    """pyxs stays in it for ever, and refuses every further one with EALREADY."""
    for _ in range(2):
        with pytest.raises(KeyAbsent):
            store.at_one_moment(lambda: store.read("data/nothing"))
    assert store.at_one_moment(lambda: store.read("memory/target")) == b"%d" % TARGET_KIB
