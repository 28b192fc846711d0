# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest may write below data/balloon, and what dom0 must make of it."""

from __future__ import annotations

import json
from typing import Any, Final

from agent.core.host import mem_set as steps
from agent.core.host.guests import Guest, Host, Hypervisor
from agent.report.guests_json import guests_object
from agent.report.guests_text import guests_lines
from agent.report.styled import plain
from agent.sources.host_guests import OF_HOST, a_guest_of, claims_in
from agent.sources.outcome import ABSENT, OK, Outcome

MAXIMUM_KIB: Final = 1048576
SLACK_KIB: Final = 16384
HAS_KIB: Final = 524288
KEYS: Final = (
    "state", "pressure", "mode", "version", "finding", "seq", "host_target_kb", "target_kb",
    "actual_kb", "floor_kb", "spare_kb", "available_kb",
)  # fmt: skip
HONEST: Final = {
    "state": b"settled", "pressure": b"none", "mode": b"follow", "version": b"1.0.0",
    "seq": b"12", "host_target_kb": b"524288", "target_kb": b"524288", "actual_kb": b"524288",
    "spare_kb": b"65536", "available_kb": b"131072",
}  # fmt: skip


SIZES_MIB: Final = (1, 500, 1024)


def must_be_shown_as_it_should(written: dict[str, bytes]) -> None:
    """The whole way from a guest's keys to the screen and to JSON, beside an honest guest."""
    honest, liar = _guest(1, HONEST), _guest(2, written)
    host = Host(Hypervisor(), (honest, liar))
    for name, value in liar.claims._asdict().items():
        if isinstance(value, int) and name != "seq":
            assert 0 <= value <= MAXIMUM_KIB + SLACK_KIB
        if isinstance(value, str):
            assert value.isprintable()
            assert len(value) <= 40
    for size_kib in (liar.spare_kib, liar.available_kib, host.spare_kib - (honest.spare_kib or 0)):
        assert 0 <= (size_kib or 0) <= HAS_KIB
    assert host.has_kib == 2 * HAS_KIB
    assert all(line.isprintable() and len(line) < 300 for line in liar.doubts)
    text = plain(guests_lines(host, 100))
    assert all(line.isprintable() for line in text.split("\n"))
    row = next(line for line in text.split("\n") if line.split()[:2] == ["1", "db"])
    assert row.split()[2:] == ["512", "MiB", "512", "MiB", "1", "GiB", "-", "64", "MiB",
                               "settled", "none", "1.0.0"]  # fmt: skip
    shown, alone = _as_json(host), _as_json(Host(Hypervisor(), (honest,)))
    assert shown["guests"][0] == alone["guests"][0]
    assert shown["guests"][1]["name"] == "liar"


def must_be_counted_as_it_should(written: dict[str, bytes]) -> None:
    """The same, as metrics: no series but those of any guest, and the honest guest's untouched."""
    from agent.report.host_metrics_text import host_metrics_text  # noqa: PLC0415 - wants a package

    honest = _guest(1, HONEST)
    samples = _samples(host_metrics_text(Host(Hypervisor(), (honest, _guest(2, written)))))
    alone = _samples(host_metrics_text(Host(Hypervisor(), (honest,))))
    of_honest, of_liar = 'domid="1"', 'domid="2"'
    assert {s: v for s, v in samples.items() if of_honest in s} == {
        s: v for s, v in alone.items() if of_honest in s
    }
    for sample, value in samples.items():
        if of_liar in sample:
            limit_kib = HAS_KIB if "spare" in sample or "available" in sample else MAXIMUM_KIB
            assert 0 <= value <= (limit_kib + SLACK_KIB) * 1024
        else:
            assert of_honest in sample or sample.startswith("xen_host_")


def must_be_set_as_it_should(written: dict[str, bytes]) -> None:
    """Whatever it says, no step goes beyond what was wanted, and it always ends."""
    guest = _guest(2, written)
    for wanted_mib in SIZES_MIB:
        for force in (False, True):
            request = steps.Request(wanted_mib, force, timeout_s=3.0)
            low, high = sorted((wanted_mib, HAS_KIB // 1024))
            assert all(low <= mib <= high for mib in steps.planned_mib(guest, request))
            way = steps.begin(guest, request)
            now_s = 0.0
            while not isinstance(way, steps.End):
                now_s += 1.0
                assert now_s < 1000
                move, way = steps.move(guest, way, request, now_s)
                if isinstance(move, steps.Ask):
                    assert low <= move.mib <= high
                    asked_kib = move.mib * 1024
                    guest = guest._replace(target_kib=asked_kib)
                if isinstance(move, steps.End):
                    way = move
            assert way.sentence.isprintable()
            guest = _guest(2, written)


def _as_json(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(guests_object(host, "2026-01-01T00:00:00Z")))
    return found


def _samples(text: str) -> dict[str, float]:
    rows = [line.rpartition(" ") for line in text.split("\n") if line and line[0] != "#"]
    return {sample: float(value) for sample, _, value in rows}


def _guest(domid: int, written: dict[str, bytes]) -> Guest:
    """As dom0 reads it, with what the hypervisor counts."""
    absent: Outcome[bytes] = Outcome(None, ABSENT)
    host = dict.fromkeys(OF_HOST, absent)
    host["name"] = Outcome(b"db" if domid == 1 else b"liar", OK)
    host["memory/target"] = Outcome(b"524288", OK)
    host["memory/static-max"] = Outcome(b"%d" % MAXIMUM_KIB, OK)
    read = {key: Outcome(written[key], OK) if key in written else absent for key in KEYS}
    return a_guest_of(domid, host, claims_in(read))._replace(has_kib=HAS_KIB)
