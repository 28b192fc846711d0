# SPDX-License-Identifier: GPL-2.0-or-later
"""One xenstore after the other for the same tests.

The simulated one, the same as it is when a simulated domain is published, and Debian's daemon.
"""

from collections.abc import Iterator
from typing import Protocol

import pytest

from tests.support.simulated_xenstore import SimulatedXenstored
from tests.support.xenstored.libxl_tree import GuestConfig, write_guest
from tests.support.xenstored.raw_client import RawClient

DOMID = 5


class GuestHandle(Protocol):
    """A domain: a socket and a terminal that speak as it."""

    path: str
    pty_path: str


class Xenstore(Protocol):
    """Whichever daemon it is."""

    path: str

    def connect(self) -> RawClient: ...

    def introduce(self, domid: int) -> GuestHandle: ...


class Host:
    """A daemon with one guest that libxl made, and a client on either side of it."""

    def __init__(self, xenstore: Xenstore) -> None:
        self.xenstore = xenstore
        self.dom0 = xenstore.connect()
        self.guest_domain = xenstore.introduce(DOMID)
        self.base = write_guest(self.dom0, GuestConfig(DOMID))
        self.guest = RawClient(self.guest_domain.path)

    def close(self) -> None:
        self.guest.close()
        self.dom0.close()


@pytest.fixture(
    params=["simulated", "published", pytest.param("real", marks=pytest.mark.xenstored)]
)
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host with guest 5: 512 MiB of at most 1 GiB, PV, made by libxl."""
    if request.param == "real":
        found = Host(request.getfixturevalue("xenstored"))
        yield found
        found.close()
        return
    with SimulatedXenstored(mirrored=request.param == "published") as simulated:
        found = Host(simulated)
        yield found
        found.close()
