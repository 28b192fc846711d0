# SPDX-License-Identifier: GPL-2.0-or-later
"""One host after the other for the same tests.

A simulated xenstored, the same as it is when a simulated domain is published, and Debian's
daemon; or, inside a real guest, the host that this guest runs on. The lab starts these tests
there, with BALLOON_AGENT_CONTRACT_DEVICE naming the xenbus device.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.contract.hosts import Host, HostOfItsOwn, RealHost

DEVICE = os.environ.get("BALLOON_AGENT_CONTRACT_DEVICE")
HOSTS: Final[list[Any]] = (
    ["real-guest"]
    if DEVICE
    else ["simulated", "published", pytest.param("real", marks=pytest.mark.xenstored)]
)


def pytest_configure(config: pytest.Config) -> None:
    """Declare what only tests of the contract are marked with."""
    config.addinivalue_line(
        "markers", "own_host(why): needs a xenstored, or a domain, that it may do anything to"
    )
    config.addinivalue_line("markers", "not_oxenstored(why): what the xenstored in C does, only")
    config.addinivalue_line("markers", "xenstored: runs against Debian's real xenstored")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In a real guest, skip what would need another host; the lab's has oxenstored."""
    for item in items if DEVICE else ():
        for mark in item.iter_markers():
            if mark.name in ("own_host", "not_oxenstored"):
                item.add_marker(pytest.mark.skip(reason=mark.args[0]))


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host with a guest: 512 MiB of at most 1 GiB, made by libxl."""
    if request.param == "real-guest":
        assert DEVICE
        real = RealHost(DEVICE)
        yield real
        real.close()
        return
    if request.param == "real":
        found = HostOfItsOwn(request.getfixturevalue("xenstored"))
        yield found
        found.close()
        return
    # Inside a real guest there may be no simulation.
    from tests.support.simulated_xenstore import SimulatedXenstored  # noqa: PLC0415

    with SimulatedXenstored(mirrored=request.param == "published") as simulated:
        found = HostOfItsOwn(simulated)
        yield found
        found.close()
