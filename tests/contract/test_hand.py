# SPDX-License-Identifier: GPL-2.0-or-later
"""What lends the tests in a real guest a hand, tried between Debian's xenstored and a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.contract.conftest import DEVICE
from tests.contract.xenstore_requests import ask, begin, end, number_of, read, write
from tests.support.xenstored import raw_client
from tests.support.xenstored.daemon import Xenstored
from tests.support.xenstored.guest import Guest
from tests.support.xenstored.hand import AskedDom0, DeviceClient, Hand
from tests.support.xenstored.raw_client import RawClient

pytestmark = [
    pytest.mark.xenstored,
    pytest.mark.skipif(DEVICE is not None, reason="has no daemon of its own in a real guest"),
]


class Both(NamedTuple):
    asked: AskedDom0
    base: str


@pytest.fixture
def both(xenstored: Xenstored, guest: Guest, dom0: RawClient) -> Iterator[Both]:
    assert guest.pty_path
    with Hand(xenstored.path, guest.domid):
        asked = AskedDom0(DeviceClient(guest.pty_path))
        yield Both(asked, f"/local/domain/{guest.domid}")
        asked.close()


def test_a_guest_has_dom0_write_what_it_may_not(both: Both) -> None:
    both.asked.write(f"{both.base}/memory/target", b"393216")
    assert both.asked.read(f"{both.base}/memory/target") == b"393216"


def test_an_error_comes_back_by_its_name(both: Both) -> None:
    assert read(both.asked, "/nothing") == "ENOENT"


def test_dom0s_transactions_are_the_guests_to_use(both: Both) -> None:
    tx = number_of(begin(both.asked))
    assert write(both.asked, "/x", b"1", tx) == b"OK\0"
    assert read(both.asked, "/x") == "ENOENT"
    assert end(both.asked, tx) == b"OK\0"
    assert read(both.asked, "/x") == b"1"


def test_nobody_can_have_a_domain_ended(both: Both) -> None:
    assert ask(both.asked, 9, "5") == "EPERM"
    assert ask(both.asked, raw_client.CONTROL, "check") == "EPERM"


def test_a_device_tells_all_events_up_to_now(xenstored: Xenstored, guest: Guest) -> None:
    with Hand(xenstored.path, guest.domid), xenstored.connect() as dom0:
        client = DeviceClient(guest.pty_path)
        client.watch("memory/target", "t")
        assert client.events_so_far() == [("memory/target", "t")]
        dom0.write(f"/local/domain/{guest.domid}/memory/target", b"1")
        dom0.write(f"/local/domain/{guest.domid}/memory/target", b"2")
        assert client.events_so_far() == [("memory/target", "t")] * 2
        assert client.events_so_far() == []
        client.close()
