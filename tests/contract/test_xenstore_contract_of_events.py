# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of the contract that is about time: who hears of a change, and what changes at once."""

from __future__ import annotations

import pytest

from tests.contract.hosts import Host
from tests.contract.xenstore_requests import (
    ask,
    begin,
    end,
    number_of,
    read,
    rm,
    unwatch,
    watch,
    write,
)
from tests.support.xenstored import raw_client
from tests.support.xenstored.raw_client import RawClient

OK = b"OK\0"

# Watches.


def test_a_watch_tells_its_path_at_once(host: Host) -> None:
    assert watch(host.guest, "memory/target", "t") == OK
    assert host.guest.events_so_far() == [("memory/target", "t")]


def test_the_hosts_wish_reaches_the_guest(host: Host) -> None:
    watch(host.guest, "memory/target", "t")
    watch(host.guest, f"{host.base}/memory", "u")
    host.guest.events_so_far()
    host.dom0.write(f"{host.base}/memory/target", b"262144")
    assert sorted(host.guest.events_so_far()) == [
        (f"{host.base}/memory/target", "u"),
        ("memory/target", "t"),
    ]
    assert read(host.guest, "memory/target") == b"262144"


def test_the_same_value_again_is_a_change(host: Host) -> None:
    watch(host.guest, "memory/target", "t")
    host.guest.events_so_far()
    host.dom0.write(f"{host.base}/memory/target", b"524288")
    assert host.guest.events_so_far() == [("memory/target", "t")]


def test_a_watch_hears_what_happens_below_it_and_not_beside_it(host: Host) -> None:
    watch(host.guest, "data", "t")
    watch(host.guest, "data/a", "u")
    host.guest.events_so_far()
    write(host.guest, "data/ab")
    write(host.guest, "attr/x")
    assert host.guest.events_so_far() == [("data/ab", "t")]
    write(host.guest, "data/a/b/c")
    assert host.guest.events_so_far() == [("data/a/b/c", "t"), ("data/a/b/c", "u")]


def test_a_watch_hears_the_end_of_its_node_and_of_a_directory_above(host: Host) -> None:
    write(host.guest, "data/a/b")
    for path, token in (("data", "1"), ("data/a", "2"), ("data/a/b", "3")):
        watch(host.guest, path, token)
    host.guest.events_so_far()
    rm(host.guest, "data/a")
    heard = sorted(host.guest.events_so_far())
    assert heard == [("data/a", "1"), ("data/a", "2"), ("data/a/b", "3")]


def test_a_watch_waits_for_a_node_that_is_not_there_yet(host: Host) -> None:
    assert watch(host.guest, "memory/uncooperative", "t") == OK
    host.guest.events_so_far()
    host.dom0.write(f"{host.base}/memory/uncooperative", b"")
    assert host.guest.events_so_far() == [("memory/uncooperative", "t")]


def test_a_guest_hears_nothing_of_what_it_may_not_read(host: Host) -> None:
    assert watch(host.guest, "/local/domain/0", "t") == OK
    assert watch(host.guest, "@releaseDomain", "r") == OK
    assert host.guest.events_so_far() == [("/local/domain/0", "t"), ("@releaseDomain", "r")]
    host.dom0.write("/local/domain/0/x", b"1")
    assert host.guest.events_so_far() == []


def test_new_permissions_are_a_change_to_who_could_and_to_who_can_read(host: Host) -> None:
    host.dom0.write("/shared/x", b"1")
    watch(host.guest, "/shared/x", "t")
    host.guest.events_so_far()
    host.dom0.set_permissions("/shared/x", "n0", f"r{host.domid}")
    host.dom0.set_permissions("/shared/x", "n0")
    assert host.guest.events_so_far() == [("/shared/x", "t"), ("/shared/x", "t")]
    host.dom0.set_permissions("/shared/x", "n0")
    assert host.guest.events_so_far() == []


@pytest.mark.own_host("a real kernel sets a guest's watches under tokens of its own")
def test_a_watch_is_set_once_for_each_token_and_can_be_taken_back_once(host: Host) -> None:
    assert [watch(host.guest, "data", token) for token in "aab"] == [OK, "EEXIST", OK]
    assert [unwatch(host.guest, "data", "a") for _ in range(2)] == [OK, "ENOENT"]
    assert ask(host.guest, raw_client.WATCH, "data", "t", "more") == "EINVAL"
    assert ask(host.guest, raw_client.WATCH, "data") == "EINVAL"


@pytest.mark.own_host("would take the real kernel its own watches")
def test_reset_drops_watches_and_transactions(host: Host) -> None:
    watch(host.guest, "data", "t")
    tx = number_of(begin(host.guest))
    assert ask(host.guest, raw_client.RESET_WATCHES, "") == OK
    host.guest.events_so_far()
    write(host.guest, "data/x")
    assert host.guest.events_so_far() == []
    assert end(host.guest, tx) == "ENOENT"


@pytest.mark.own_host("makes another domain")
def test_a_client_that_went_leaves_no_watch(host: Host) -> None:
    path = host.xenstore.introduce(6).path
    for _ in range(3):
        with RawClient(path) as client:
            answers = [watch(client, "data", f"t{number}") for number in range(100)]
            assert answers == [OK] * 100


# Transactions.


def test_a_transaction_is_seen_at_its_end_as_a_whole(host: Host) -> None:
    watch(host.guest, "data", "t")
    host.guest.events_so_far()
    tx = number_of(begin(host.guest))
    write(host.guest, "data/a", b"1", tx)
    write(host.guest, "data/b", b"2", tx)
    assert read(host.guest, "data/a", tx) == b"1"
    assert read(host.guest, "data/a") == "ENOENT"
    assert host.guest.events_so_far() == []
    assert end(host.guest, tx) == OK
    assert (read(host.guest, "data/a"), read(host.guest, "data/b")) == (b"1", b"2")
    assert host.guest.events_so_far() == [("data/a", "t"), ("data/b", "t")]


def test_a_transaction_can_be_called_off(host: Host) -> None:
    tx = number_of(begin(host.guest))
    write(host.guest, "data/a", b"1", tx)
    rm(host.guest, "attr", tx)
    assert end(host.guest, tx, "F") == OK
    assert read(host.guest, "data/a") == "ENOENT"
    assert read(host.guest, "attr") == b""


@pytest.mark.parametrize(
    "path",
    [
        "memory/target",
        pytest.param(
            "memory/nothing",
            marks=pytest.mark.not_oxenstored("oxenstored minds no key that was not there"),
        ),
    ],
)
def test_a_transaction_that_read_what_then_changed_must_be_repeated(host: Host, path: str) -> None:
    tx = number_of(begin(host.guest))
    read(host.guest, path, tx)
    write(host.guest, "data/a", b"1", tx)
    host.dom0.write(f"{host.base}/{path}", b"393216")
    assert end(host.guest, tx) == "EAGAIN"
    assert read(host.guest, "data/a") == "ENOENT"
    assert end(host.guest, tx) == "ENOENT"


def test_a_transaction_does_not_mind_what_it_never_looked_at(host: Host) -> None:
    tx = number_of(begin(host.guest))
    write(host.guest, "data/a", b"1", tx)
    host.dom0.write(f"{host.base}/memory/target", b"393216")
    host.dom0.write(f"{host.base}/attr/x", b"1")
    assert end(host.guest, tx) == OK


@pytest.mark.not_oxenstored("in oxenstored it sees the store as it was at the beginning")
def test_a_transaction_sees_the_store_as_it_is_when_it_first_looks(host: Host) -> None:
    tx = number_of(begin(host.guest))
    host.dom0.write(f"{host.base}/memory/target", b"393216")
    assert read(host.guest, "memory/target", tx) == b"393216"
    host.dom0.write(f"{host.base}/memory/target", b"393220")
    assert read(host.guest, "memory/target", tx) == b"393216"


def test_nothing_is_read_in_a_transaction_that_was_never_begun(host: Host) -> None:
    assert read(host.guest, "memory/target", 77) == "ENOENT"


@pytest.mark.own_host("a real kernel's device forgets a transaction whose end was refused")
def test_only_an_open_transaction_can_be_used(host: Host) -> None:
    # A kernel's device drops the answer to this one: whoever asks it there waits for ever.
    assert end(host.guest, 0) == "ENOENT"
    tx = number_of(begin(host.guest))
    assert end(host.guest, tx, "X") == "EINVAL"
    assert ask(host.guest, raw_client.TRANSACTION_START, "", tx=tx) == "EBUSY"
    assert write(host.dom0, "/x", b"", tx + 1000) == "ENOENT"
    assert end(host.guest, tx) == OK


def test_what_a_transaction_removed_is_told_to_who_could_read_it(host: Host) -> None:
    write(host.guest, "data/a/b")
    watch(host.guest, "data/a/b", "b")
    watch(host.guest, "data", "d")
    host.guest.events_so_far()
    tx = number_of(begin(host.dom0))
    assert rm(host.dom0, f"{host.base}/data/a", tx) == OK
    assert host.guest.events_so_far() == []
    assert end(host.dom0, tx) == OK
    assert sorted(host.guest.events_so_far()) == [("data/a", "d"), ("data/a/b", "b")]
