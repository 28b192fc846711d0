# SPDX-License-Identifier: GPL-2.0-or-later
"""That xl keeps control/ to itself is seen without writing anything."""

from __future__ import annotations

import contextlib

import pytest

from agent.sources.xenstore.key_store import SessionKeys
from agent.sources.xenstore.pyxs_client import StoreClient
from tests.contract.hosts import Host


@pytest.mark.parametrize(("key", "writable"), [("control", False), ("data", True)])
def test_a_guest_knows_where_it_may_write(host: Host, key: str, writable: bool) -> None:
    host.guest.close()  # a guest has one ring, so one client
    with contextlib.closing(StoreClient(host.guest_domain.path)) as client:
        assert SessionKeys(client).may_write(key).value is writable
