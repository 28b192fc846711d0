# SPDX-License-Identifier: GPL-2.0-or-later
"""The model of qmemman, byte for byte and write for write, against recordings of the real one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from agent.core.facts.units import KIB
from sim_backend.clock import Clock
from sim_backend.host.qmemman import (
    KEPT_FREE_KIB,
    LEAST_FREE_KIB,
    Member,
    balanced,
    is_worth_it,
    requests_to_free,
)
from sim_backend.host.qmemman_server import BELOW_GIVEN_KIB, Qmemman, Room
from sim_backend.hypervisor import Host
from tests.recordings.moving_guests import FIRST_S, THEN_S, Movements, MovingGuest
from tests.recordings.records import Record, files, must_agree, name_of_file

FAST_KIB_S = 1_024_000


def in_bytes(requests: list[tuple[int, float]]) -> list[list[int]]:
    return [[domid, round(kib * KIB)] for domid, kib in requests]


def of_a_host(record: Record) -> str:
    """What differs of a host's state and of what follows from it."""
    members = [
        Member(domain[0], domain[5], actual_b / KIB, max_b / KIB, domain[2])
        for domain, actual_b, max_b, stuck in zip(
            record["domains"], record["actual_b"], record["max_b"], record["stuck"]
        )
        if domain[5] is not None and not stuck
    ]
    free_kib = record["free_b"] / KIB
    preferred = [p for p in zip(record["domains"], record["preferred_b"]) if p[1] is not None]
    by_domid = {domain[0]: preferred_b for domain, preferred_b in preferred}
    if {m.domid: round(m.preferred_kib * KIB) for m in members} != {
        m.domid: by_domid[m.domid] for m in members
    }:
        return "preferred"
    requests = balanced(free_kib - KEPT_FREE_KIB, members)
    if in_bytes(requests) != record["balance"]:
        return f"balance {in_bytes(requests)}, {record['balance']}"
    if is_worth_it(requests, members, free_kib) != record["significant"]:
        return "significant"
    for size_kib, kind, asked in record["room"]:
        there_is = free_kib >= size_kib + LEAST_FREE_KIB
        found = requests_to_free(size_kib + KEPT_FREE_KIB - free_kib, members)
        ours = "enough" if there_is else "ask" if found else "refused"
        if ours != kind or (kind == "ask" and in_bytes(found) != asked):
            return f"room for {size_kib}: {ours} {in_bytes(found)}, {kind} {asked}"
    return ""


@pytest.mark.parametrize("path", files("qmemman-balance"), ids=name_of_file)
def test_every_state_of_a_host_is_balanced_as_recorded(path: Path) -> None:
    must_agree(of_a_host, path)


class Run:
    """One recording of the whole of qmemman, played with the model in its place."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.clock = Clock()
        self.host = Host(record["total_kib"], record["xen_kib"])
        self.domains: dict[int, MovingGuest] = {}
        self.qmemman = Qmemman(self.clock, self.host, cast("Any", self.domains))
        self.written: list[tuple[float, int, str, int]] = []
        self.rooms: list[tuple[float, str, Any, Room]] = []
        self.movements = Movements(self.clock, self.guests, FIRST_S)
        for domain in record["domains"]:
            self.add(domain)
        given = self.qmemman.give
        self.qmemman.give = partial(self.gave, given)  # type: ignore[method-assign]
        self.clock.at(0.0, self.qmemman.domains_changed)
        for event in record["events"]:
            self.clock.at(event[0] + THEN_S, partial(self.happen, event))
        self.movements.wake()

    def guests(self) -> list[MovingGuest]:
        return [self.domains[domid] for domid in sorted(self.domains)]

    def add(self, domain: dict[str, Any]) -> None:
        keys = {"memory/meminfo": ""}
        for key, name in (("target", "target_kib"), ("static-max", "static_max_kib"),
                          ("hotplug-max", "hotplug_max_kib")):  # fmt: skip
            if domain.get(name) is not None:
                keys[f"memory/{key}"] = str(domain[name])
        self.domains[domain["domid"]] = MovingGuest(
            self.clock, self.host, domain["domid"], "pvh",
            has_kib=domain["current_kib"], limit_kib=domain["limit_kib"], keys=keys,
            speed_kib_s=domain["speed_kib_s"], gap_kib=domain["gap_kib"],
            delay_s=domain.get("delay_s", 0.0), floor_kib=domain.get("floor_kib", 0),
        )  # fmt: skip

    def gave(self, give: Callable[[int, float], None], domid: int, given_kib: float) -> None:
        """Note all that is written, page for page."""
        give(domid, given_kib)
        now_s, guest = round(self.clock.now_s, 2), self.domains.get(domid)
        if guest is None:
            return
        self.written.append((now_s, domid, "limit", guest.reservation.max_pages))
        target = guest.store.read("memory/target")
        self.written.append((now_s, domid, "target", int(target or 0)))
        if guest.store.read("memory/hotplug-max"):
            self.written.append((now_s, domid, "static-max", int(given_kib)))
        self.movements.wake()

    def happen(self, event: list[Any]) -> None:
        _, kind, *words = event
        act: Callable[..., None] = getattr(self, f"_{kind}")
        act(*words)
        self.movements.wake()

    def _report(self, domid: int, value: str | None) -> None:
        guest = self.domains.get(domid)
        if guest is not None and value is None:
            guest.store.remove("memory/meminfo")
        elif guest is not None and value is not None:
            guest.store.write("memory/meminfo", value)

    def _room(self, size_kib: int, hold_s: float) -> None:
        self.keep("room", size_kib, self.qmemman.make_room(size_kib), hold_s)

    def _ask(self, wanted: list[Any], hold_s: float) -> None:
        self.keep("ask", wanted, self.qmemman.ask(dict(map(tuple, wanted))), hold_s)

    def keep(self, kind: str, what: Any, room: Room, hold_s: float) -> None:
        self.rooms.append((round(self.clock.now_s, 2), kind, what, room))

        def leave_later() -> None:
            if room.granted is None:
                self.clock.after(0.01, leave_later)
            else:
                self.clock.at(room.answered_s + hold_s, room.leave)

        leave_later()

    def _start(self, new: dict[str, Any]) -> None:
        has_kib = new["current"]
        target_kib = new.get("target", has_kib - BELOW_GIVEN_KIB)
        self.add({
            "domid": new["domid"], "current_kib": has_kib, "target_kib": target_kib,
            "limit_kib": has_kib + 1024, "static_max_kib": new.get("static_max"),
            "hotplug_max_kib": new.get("hotplug_max"), "speed_kib_s": new.get("speed", FAST_KIB_S),
            "gap_kib": new.get("gap", BELOW_GIVEN_KIB), "delay_s": new.get("delay", 0.0),
            "floor_kib": new.get("floor", 0),
        })  # fmt: skip
        self.qmemman.domains_changed()

    def _gone(self, domid: int) -> None:
        self.domains.pop(domid).go()
        self.qmemman.domains_changed()

    def _speed(self, domid: int, kib_s: int) -> None:
        if domid in self.domains:
            self.domains[domid].speed_kib_s = kib_s

    # -- what came of it ----------------------------------------------------------------------

    def verdict(self) -> str:
        self.clock.run_until(self.record["seconds"])
        # The real one goes on to write the target of a domain that ends in the middle of a round.
        gone_s = {event[2]: event[0] for event in self.record["events"] if event[1] == "gone"}
        recorded = [
            (t, domid, what, kib // 4 if what == "limit" else kib)
            for t, domid, what, kib in self.record["writes"]
            if t < gone_s.get(domid, float("inf"))
        ]
        if self.written != recorded:
            return f"writes {first_difference(self.written, recorded)}"
        verdicts = [
            [asked_s, round(room.answered_s, 2), kind, what, "OK" if room.granted else "FAIL"]
            for asked_s, kind, what, room in self.rooms
            if room.granted is not None
        ]
        if verdicts != self.record["verdicts"]:
            return f"verdicts {verdicts}, {self.record['verdicts']}"
        marks = [
            [domid, state.no_progress, state.slow]
            for domid in sorted(self.domains)
            if (state := self.qmemman.states.get(domid)) is not None
        ]
        if marks != sorted(self.record["end_marks"]):
            return f"marks {marks}"
        for domid, has_kib, *_ in self.record["end"]:
            if domid in self.domains and self.domains[domid].has_kib != has_kib:
                return f"{domid} has {self.domains[domid].has_kib} KiB at the end, not {has_kib}"
        ours_kib, theirs_kib = self.host.free_kib, self.record.get("end_free_kib")
        if theirs_kib is not None and ours_kib != theirs_kib:
            return f"free at the end {ours_kib}, {theirs_kib}"
        return ""


def of_a_run(record: Record) -> str:
    """What differs first of a recording of the whole of qmemman."""
    return Run(record).verdict()


def first_difference(ours: list[Any], theirs: list[Any]) -> str:
    for mine, their in zip(ours, theirs):
        if mine != their:
            return f"{mine}, {their}"
    return f"{len(ours)} of them, {len(theirs)}"


@pytest.mark.parametrize("path", files("qmemman-host"), ids=name_of_file)
def test_the_whole_of_qmemman_writes_what_was_recorded_when_it_was(path: Path) -> None:
    must_agree(of_a_run, path)
