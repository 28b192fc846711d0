# SPDX-License-Identifier: GPL-2.0-or-later
"""dom0's look at its guests: whatever one of them writes is bounded, printable, and its own."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.facts.bounds import LARGEST_KIB
from agent.core.host.guests import Guest, Host, Hypervisor
from agent.report.guests_json import guests_object
from agent.report.guests_text import guests_lines
from agent.report.styled import plain
from agent.sources.host_guests import parse_claims, read_guest, read_guests
from agent.sources.outcome import ABSENT, OK, Outcome
from agent.sources.xenstore.pyxs_client import StoreClient
from tests.support.simulated_xenstore import SimulatedXenstored
from tests.support.xenstored.raw_client import RawClient

MAXIMUM_KIB: Final = 1048576
KEYS: Final = (
    "state", "pressure", "mode", "version", "finding", "seq", "host_target_kb", "target_kb",
    "actual_kb", "floor_kb", "spare_kb", "available_kb",
)  # fmt: skip
HONEST: Final = {
    "state": b"settled", "pressure": b"none", "mode": b"follow", "version": b"1.0.0",
    "seq": b"12", "host_target_kb": b"524288", "target_kb": b"524288", "actual_kb": b"524288",
    "spare_kb": b"65536", "available_kb": b"131072",
}  # fmt: skip


@pytest.fixture
def xenstored() -> Iterator[SimulatedXenstored]:
    with SimulatedXenstored() as simulated:
        yield simulated


@pytest.fixture
def dom0(xenstored: SimulatedXenstored) -> Iterator[RawClient]:
    with xenstored.connect() as client:
        yield client


@pytest.fixture
def store(xenstored: SimulatedXenstored) -> Iterator[StoreClient]:
    with contextlib.closing(StoreClient(xenstored.path)) as store:
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
    assert "makes no sense" in screen


VALUES: Final = st.one_of(
    st.binary(max_size=200),
    st.integers(-(2**70), 2**70).map(lambda number: b"%d" % number),
    st.sampled_from([*HONEST.values(), b"\x1b[2J", b"stopped", b"0x10", "١٢".encode()]),
)


@given(st.dictionaries(st.sampled_from(KEYS), VALUES))
def test_whatever_a_guest_writes_is_bounded_and_printable(written: dict[str, bytes]) -> None:
    shown_as_it_should_be(written)


def shown_as_it_should_be(written: dict[str, bytes]) -> None:
    """The whole way from a guest's keys to the screen and to JSON, beside an honest guest."""
    guests = (a_guest(1, HONEST), a_guest(2, written))
    host = Host(Hypervisor(), guests)
    claims = guests[1].claims
    for name, value in claims._asdict().items():
        if isinstance(value, int) and name != "seq":
            assert 0 <= value <= MAXIMUM_KIB + 16384 <= LARGEST_KIB
        if isinstance(value, str):
            assert value.isprintable()
            assert len(value) <= 40
    assert all(line.isprintable() and len(line) < 300 for line in claims.odd)
    text = plain(guests_lines(host, 100))
    assert all(line.isprintable() for line in text.split("\n"))
    row = next(line for line in text.split("\n") if line.split()[:2] == ["1", "db"])
    assert row.split()[2:] == ["512", "MiB", "512", "MiB", "1", "GiB", "-", "64", "MiB",
                               "settled", "none", "1.0.0"]  # fmt: skip
    json.loads(json.dumps(guests_object(host, "2026-01-01T00:00:00Z")))


def a_guest(domid: int, written: dict[str, bytes]) -> Guest:
    """As `read_guests` makes it."""
    from agent.sources.host_guests import _OF_HOST, _guest  # noqa: PLC0415 - the tests' way in

    absent: Outcome[bytes] = Outcome(None, ABSENT)
    host = dict.fromkeys(_OF_HOST, absent)
    host["name"] = Outcome(b"db" if domid == 1 else b"liar", OK)
    host["memory/target"] = Outcome(b"524288", OK)
    host["memory/static-max"] = Outcome(b"%d" % MAXIMUM_KIB, OK)
    read = {key: Outcome(written[key], OK) if key in written else absent for key in KEYS}
    return _guest(domid, host, parse_claims(read))
