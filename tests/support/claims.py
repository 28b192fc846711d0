# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest may write below data/balloon, and what dom0 must make of it."""

from __future__ import annotations

import json
from typing import Final

from agent.core.host.guests import Guest, Host, Hypervisor
from agent.report.guests_json import guests_object
from agent.report.guests_text import guests_lines
from agent.report.styled import plain
from agent.sources.host_guests import OF_HOST, a_guest_of, claims_in
from agent.sources.outcome import ABSENT, OK, Outcome

MAXIMUM_KIB: Final = 1048576
SLACK_KIB: Final = 16384
KEYS: Final = (
    "state", "pressure", "mode", "version", "finding", "seq", "host_target_kb", "target_kb",
    "actual_kb", "floor_kb", "spare_kb", "available_kb",
)  # fmt: skip
HONEST: Final = {
    "state": b"settled", "pressure": b"none", "mode": b"follow", "version": b"1.0.0",
    "seq": b"12", "host_target_kb": b"524288", "target_kb": b"524288", "actual_kb": b"524288",
    "spare_kb": b"65536", "available_kb": b"131072",
}  # fmt: skip


def must_be_shown_as_it_should(written: dict[str, bytes]) -> None:
    """The whole way from a guest's keys to the screen and to JSON, beside an honest guest."""
    guests = (_guest(1, HONEST), _guest(2, written))
    host = Host(Hypervisor(), guests)
    claims = guests[1].claims
    for name, value in claims._asdict().items():
        if isinstance(value, int) and name != "seq":
            assert 0 <= value <= MAXIMUM_KIB + SLACK_KIB
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


def _guest(domid: int, written: dict[str, bytes]) -> Guest:
    """As `read_guests` makes it."""
    absent: Outcome[bytes] = Outcome(None, ABSENT)
    host = dict.fromkeys(OF_HOST, absent)
    host["name"] = Outcome(b"db" if domid == 1 else b"liar", OK)
    host["memory/target"] = Outcome(b"524288", OK)
    host["memory/static-max"] = Outcome(b"%d" % MAXIMUM_KIB, OK)
    read = {key: Outcome(written[key], OK) if key in written else absent for key in KEYS}
    return a_guest_of(domid, host, claims_in(read))
