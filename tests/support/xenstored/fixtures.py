# SPDX-License-Identifier: GPL-2.0-or-later
"""pytest's view of the real daemon: a daemon, dom0's client and a guest for each test.

A test that uses one of them is marked `xenstored`. Without the daemon it is skipped, or fails
where BALLOON_AGENT_REQUIRE_XENSTORED=1 says that it must be there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.xenstored.daemon import Xenstored, XenstoredMissing
from tests.support.xenstored.guest import Guest
from tests.support.xenstored.libxl_tree import GuestConfig, write_guest
from tests.support.xenstored.raw_client import RawClient

GUEST_DOMID = 5


@pytest.fixture
def xenstored() -> Iterator[Xenstored]:
    """A running daemon of the test's own."""
    try:
        daemon = Xenstored()
    except XenstoredMissing as error:
        missing = str(error)
    else:
        with daemon:
            yield daemon
        return
    if os.environ.get("BALLOON_AGENT_REQUIRE_XENSTORED") == "1":
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)


@pytest.fixture
def dom0(xenstored: Xenstored) -> Iterator[RawClient]:
    """A privileged client of that daemon."""
    with xenstored.connect() as client:
        yield client


@pytest.fixture
def guest(xenstored: Xenstored, dom0: RawClient) -> Guest:
    """Domain 5 of that daemon, with the tree that libxl writes: 512 MiB of at most 1 GiB."""
    domain = xenstored.introduce(GUEST_DOMID)
    write_guest(dom0, GuestConfig(GUEST_DOMID))
    return domain
