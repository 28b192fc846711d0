# SPDX-License-Identifier: GPL-2.0-or-later
"""What a xenstored allows a guest: entries, watches, transactions, sizes, nodes."""

from __future__ import annotations

import pytest

from tests.contract.hosts import Host
from tests.contract.xenstore_requests import (
    begin,
    end,
    number_of,
    read,
    rm,
    set_perms,
    unwatch,
    watch,
    write,
)

OK = b"OK\0"
OTHERS_COUNT = pytest.mark.own_host("kernel and toolstack of a real guest use up some of the quota")
OTHER_QUOTA = pytest.mark.not_oxenstored("oxenstored has quotas of its own")
BIG = pytest.mark.own_host("dom0's hand takes no request of that size")


@OTHER_QUOTA
def test_six_entries_of_permissions_are_too_many(host: Host) -> None:
    write(host.guest, "data/x")
    assert set_perms(host.guest, "data/x", *[f"n{host.domid}"] * 6) == "ENOSPC"


@OTHERS_COUNT
def test_the_130th_watch_is_too_many(host: Host) -> None:
    answers = [watch(host.guest, "data", f"t{number}") for number in range(130)]
    assert answers == [OK] * 129 + ["E2BIG"]
    assert unwatch(host.guest, "data", "t0") == OK
    assert watch(host.guest, "data", "again") == OK


@OTHER_QUOTA
def test_the_12th_transaction_is_too_many(host: Host) -> None:
    answers = [begin(host.guest) for _ in range(12)]
    assert all(isinstance(answer, bytes) for answer in answers[:11])
    assert answers[11] == "ENOSPC"
    assert isinstance(begin(host.dom0), bytes)


@BIG
@pytest.mark.parametrize(("size", "answer"), [(2015, OK), (2016, "ENOSPC"), (4000, "ENOSPC")])
def test_a_node_of_a_guest_is_below_2048_bytes_in_all(
    host: Host, size: int, answer: bytes | str
) -> None:
    assert write(host.guest, "attr/v", b"v" * size) == answer
    assert write(host.dom0, "/v", b"v" * size) == OK


@OTHER_QUOTA
def test_the_names_in_a_directory_count_for_its_size(host: Host) -> None:
    answers = [write(host.guest, f"data/q{number:03}") for number in range(404)]
    assert answers == [OK] * 403 + ["ENOSPC"]


@OTHERS_COUNT
def test_a_guest_owns_no_more_than_1000_nodes(host: Host) -> None:
    owned = 11  # what libxl made for it
    paths = [f"data/{number // 100}/{number}" for number in range(1000)]
    answers = [write(host.guest, path) for path in paths]
    fitting = answers.index("ENOSPC")
    assert fitting + (fitting + 99) // 100 + owned == 1000
    assert write(host.guest, paths[0], b"an old node still takes a value") == OK
    assert rm(host.guest, paths[0]) == OK
    assert write(host.guest, "attr/one-more") == OK
    assert write(host.guest, "attr/and-one") == "ENOSPC"


@OTHERS_COUNT
def test_a_transaction_that_would_exceed_the_nodes_fails_at_its_end(host: Host) -> None:
    for number in range(975):
        assert write(host.guest, f"data/{number // 100}/{number}") == OK
    tx = number_of(begin(host.guest))
    assert [write(host.guest, f"attr/{number}", b"", tx) for number in range(9)] == [OK] * 9
    assert end(host.guest, tx) == "ENOSPC"
    assert read(host.guest, "attr/0") == "ENOENT"
