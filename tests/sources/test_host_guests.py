# SPDX-License-Identifier: GPL-2.0-or-later
"""dom0's look at its guests: whatever one of them writes is bounded, printable, and its own."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import pytest

from agent.core.host.guests import Host, Hypervisor
from agent.report.guests_text import guests_lines
from agent.report.styled import plain
from agent.sources.host_guests import read_guest, read_guests
from agent.sources.xenstore.pyxs_client import StoreClient
from tests.support.claims import (
    HONEST,
    KEYS,
    MAXIMUM_KIB,
    must_be_set_as_it_should,
    must_be_shown_as_it_should,
)
from tests.support.simulated_xenstore import SimulatedXenstored
from tests.support.xenstored.daemon import Xenstored, XenstoredMissing
from tests.support.xenstored.raw_client import RawClient


@pytest.fixture(params=[SimulatedXenstored, Xenstored])
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where dom0 is spoken to: the simulated xenstored, and Debian's."""
    with contextlib.ExitStack() as serving:
        try:
            store = serving.enter_context(request.param())
        except XenstoredMissing as missing:
            pytest.skip(str(missing))
        yield str(store.path)


@pytest.fixture
def dom0(path: str) -> Iterator[RawClient]:
    with RawClient(path) as client:
        yield client


@pytest.fixture
def store(path: str) -> Iterator[StoreClient]:
    with contextlib.closing(StoreClient(path)) as store:
        store.connect()
        yield store


def add(dom0: RawClient, domid: int, name: str, claims: dict[str, bytes]) -> None:
    at = f"/local/domain/{domid}"
    dom0.write(f"{at}/name", name)
    dom0.write(f"{at}/vm", f"/vm/00000000-0000-4000-8000-{domid:012}")
    dom0.write(f"{at}/memory/target", 524288)
    dom0.write(f"{at}/memory/static-max", MAXIMUM_KIB)
    for key, value in claims.items():
        dom0.write(f"{at}/data/balloon/{key}", value)


def test_guests_are_read_as_what_they_are(dom0: RawClient, store: StoreClient) -> None:
    add(dom0, 1, "db", HONEST)
    add(dom0, 2, "mute", {})
    add(dom0, 12, "went", {"state": b"stopped", "version": b"1.0.0"})
    dom0.write("/local/domain/0/name", b"Domain-0")
    guests = read_guests(store)
    alone = read_guest(store, 1)
    gone = read_guest(store, 99)
    assert [(guest.domid, guest.name, guest.kind) for guest in guests] == [
        (1, "db", "agent"),
        (2, "mute", "no agent"),
        (12, "went", "stopped agent"),
    ]
    assert guests[0].claims.spare_kib == 65536
    assert guests[0].uuid == "00000000-0000-4000-8000-000000000001"
    assert alone == guests[0]
    assert gone is None


def test_a_liar_spoils_no_row_but_its_own(dom0: RawClient, store: StoreClient) -> None:
    add(dom0, 1, "db", HONEST)
    (before,) = read_guests(store)
    lies = {
        **HONEST,
        "spare_kb": b"99999999999999999999",
        "actual_kb": b"4194304",
        "version": b"\x1b[2J\x1b[31mroot",
        "state": b"fine\n 2  db  0 KiB",
        "finding": b"x" * 4000,
    }
    add(dom0, 2, "\x1b[2Jliar", lies)
    for number in range(1000):
        dom0.write(f"/local/domain/2/data/balloon/more-{number}", b"")
    honest, liar = read_guests(store)
    assert honest == before
    assert liar.kind == "old agent"
    assert (liar.claims.actual_kib, liar.claims.spare_kib, liar.claims.version) == (None,) * 3
    assert len(liar.claims.odd) == 5
    screen = plain(guests_lines(Host(Hypervisor(), (honest, liar)), 100))
    assert "\x1b" not in screen
    assert "what it says cannot be" in screen


@pytest.mark.parametrize("seed", range(8))
def test_whatever_a_guest_writes_is_bounded_and_printable(seed: int) -> None:
    """Sixty guests each; `python3 -m tests.fuzz guest_claims` writes as many as wanted."""
    chance = random.Random(seed)
    for _ in range(60):
        written = {key: a_value(chance) for key in chance.sample(KEYS, 6)}
        must_be_shown_as_it_should(written)
        must_be_set_as_it_should(written)


def a_value(chance: random.Random) -> bytes:
    """Garbage, a number, or what an honest guest would write."""
    kind = chance.randrange(4)
    if kind == 0:
        return chance.randbytes(chance.randrange(200))
    if kind == 1:
        return b"%d" % chance.randrange(-(2**70), 2**70)
    if kind == 2:
        return b"%d" % chance.randrange(2 * MAXIMUM_KIB)
    return chance.choice([*HONEST.values(), b"\x1b[2J", b"stopped", b"0x10", "١٢".encode()])
