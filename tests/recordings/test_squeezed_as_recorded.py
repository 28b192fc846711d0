# SPDX-License-Identifier: GPL-2.0-or-later
"""The model of squeezed, look for look and write for write, against recordings of the real one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import pytest

from sim_backend.clock import Clock
from sim_backend.host.squeezed import (
    Squeezable,
    Squeezer,
    is_enough_already,
    is_unbalanced,
    share_of_range,
)
from sim_backend.host.squeezed_server import UNCOOPERATIVE, Request
from sim_backend.host.xapi import Xapi
from sim_backend.hypervisor import Host
from tests.recordings.moving_guests import FIRST_S, THEN_S, Movements, MovingGuest
from tests.recordings.records import Record, files, must_agree, name_of_file

OF_A_GUEST = ("write", "remove", "speed", "floor", "ceiling", "limit")
CALLS = ("balance", "reserve", "range", "transfer", "delete")


def views(rows: list[list[int]]) -> list[Squeezable]:
    return [Squeezable(domid, bool(can), *sizes_kib) for domid, can, *sizes_kib in rows]


def at_each_look(record: Record) -> str:
    """What of the first look that differs does; nothing where none does."""
    kept_kib = record["kept_free_kib"]
    free_kib, rows = record["before"]
    if record["mode"] == "range":
        least_kib, most_kib = record["range_kib"]
        enough_kib = least_kib + kept_kib
        share_kib = share_of_range(views(rows), free_kib, kept_kib, least_kib, most_kib)
        wanted_kib = share_kib + kept_kib
    else:
        wanted_kib = record["wanted_free_kib"]
        enough_kib = None if record.get("at_most", False) else wanted_kib
    asks = wanted_kib != kept_kib
    already = asks and is_enough_already(views(rows), free_kib, wanted_kib)
    if already or not record["looks"]:
        return "" if already and not record["looks"] else "there is enough, or not"
    squeezer = Squeezer()
    for number, look in enumerate(record["looks"]):
        domains = views(look["d"])
        seen = squeezer.iterate(domains, look["free"], wanted_kib, look["t"], enough_kib=enough_kib)
        ends = look["verdict"] == "end"
        verdict = "adjust" if not ends else seen.verdict
        blamed = record.get("blamed", [])
        failure = "refused" if seen.stuck and seen.stuck != (0,) else "cannot"
        told = {"success": record["result"] in ("success", "granted")}.get(
            verdict, record["result"] == failure
        )
        inactive = {d.domid for d in domains if not (d.can_balloon and squeezer.is_active(d.domid))}
        wrong = [
            name
            for name, right in (
                ("limits", dict(look["limits"]) == dict(seen.limits)),
                ("targets", dict(look["targets"]) == dict(seen.targets)),
                ("inactive", set(look["inactive"]) == inactive),
                ("verdict", seen.verdict == verdict and (not ends or told)),
                ("blamed", not ends or not blamed or sorted(seen.stuck) == sorted(blamed)),
            )
            if not right
        ]
        if wrong:
            return f"look {number}: {', '.join(wrong)}"
    return ""


def at_a_check(record: Record) -> str:
    look = record["looks"][0]
    unbalanced = is_unbalanced(views(look["d"]), look["free"], record["kept_free_kib"], look["t"])
    return "" if unbalanced == record["unbalanced"] else f"unbalanced: {unbalanced}"


def of_the_policy(record: Record) -> str:
    """What differs first of what the policy alone does."""
    return at_a_check(record) if record["mode"] == "check" else at_each_look(record)


@pytest.mark.parametrize("path", files("squeezed-balance"), ids=name_of_file)
def test_every_look_of_the_policy_is_as_recorded(path: Path) -> None:
    must_agree(of_the_policy, path)


class Run:
    """One recording of the whole of squeezed, played with the model in its place."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.clock = Clock()
        taken_kib = sum(domain["actual_kib"] for domain in record["domains"])
        xen_kib = record["total_kib"] - taken_kib - record["free_kib"]
        self.host = Host(record["total_kib"], xen_kib)
        self.written: list[tuple[float, int, str, Any]] = []
        self.requests: list[tuple[str, Request]] = []
        self.by_guest = False
        # What had begun by then was recorded to its end.
        self.lasts_s = max([record["seconds"], *(note[0] for note in record["notes"])])
        self.movements = Movements(self.clock, self.guests, THEN_S)
        for event in record["events"]:
            shift_s = 0.0 if event[1] in CALLS else FIRST_S
            self.clock.at(event[0] + shift_s, partial(self.happen, event))
        self.xapi = Xapi(self.clock, self.host, first_look_s=record["first_look_s"])
        applied = self.xapi.squeezed.apply_limit
        patch.object(self.xapi.squeezed, "apply_limit", partial(self.limited, applied)).start()
        for domain in record["domains"]:
            self.add(
                domain["domid"], domain["type"], domain["keys"],
                has_kib=domain["actual_kib"], limit_kib=domain["limit_kib"],
                speed_kib_s=domain["speed_kib_s"], gap_kib=domain["offset_at_rest_kib"],
                delay_s=domain.get("delay_s", 0.0), floor_kib=domain.get("floor_kib", 0),
                ceiling_kib=domain.get("ceiling_kib"),
            )  # fmt: skip
        self.movements.wake()

    def guests(self) -> list[MovingGuest]:
        return [self.guest(domid) for domid in sorted(self.xapi.domains)]

    def guest(self, domid: int) -> MovingGuest:
        return cast("MovingGuest", self.xapi.domains[domid])

    def add(self, domid: int, kind: str, keys: dict[str, str], **how: Any) -> None:
        guest = MovingGuest(self.clock, self.host, domid, kind, keys=dict(keys), **how)
        guest.store.watch("", lambda path: self.note(domid, path, guest.store.read(path)))
        self.xapi.domains[domid] = cast("Any", guest)

    def note(self, domid: int, key: str, value: Any) -> None:
        self.movements.wake()
        if not self.by_guest:
            self.written.append((round(self.clock.now_s, 2), domid, key, value))

    def limited(self, apply: Callable[[Any], None], guest: Any) -> None:
        apply(guest)
        self.note(guest.domid, "limit", guest.reservation.max_pages)

    def happen(self, event: list[Any]) -> None:
        _, kind, *words = event
        if kind in OF_A_GUEST and words[0] not in self.xapi.domains:
            return  # it has gone
        act: Callable[..., None] = getattr(self, f"_{kind}")
        self.by_guest = kind in ("write", "remove")
        act(*words)
        self.by_guest = False
        self.movements.wake()

    def _write(self, domid: int, key: str, value: str) -> None:
        self.guest(domid).store.write(key, value)

    def _remove(self, domid: int, key: str) -> None:
        self.guest(domid).store.remove(key)

    def _balance(self) -> None:
        self.xapi.squeezed.balance()

    def _reserve(self, kib: int) -> None:
        self.requests.append(("reserve", self.xapi.squeezed.reserve(kib)))

    def _range(self, least_kib: int, most_kib: int) -> None:
        self.requests.append(("range", self.xapi.squeezed.reserve_range(least_kib, most_kib)))

    def _transfer(self, reservation: str, domid: int) -> None:
        self.xapi.squeezed.transfer(reservation, self.xapi.domains[domid])

    def _delete(self, reservation: str) -> None:
        self.xapi.squeezed.delete(reservation)

    def _speed(self, domid: int, kib_s: int) -> None:
        self.guest(domid).speed_kib_s = kib_s

    def _floor(self, domid: int, kib: int) -> None:
        self.guest(domid).floor_kib = kib

    def _ceiling(self, domid: int, kib: int) -> None:
        self.guest(domid).ceiling_kib = kib

    def _limit(self, domid: int, kib: int) -> None:
        self.guest(domid).reservation.max_pages = kib // 4

    def _start(self, new: dict[str, Any]) -> None:
        keys = {
            "domain-type": new["kind"], "memory/static-max": str(new["static_max"]),
            "memory/target": str(new["target"]), "memory/dynamic-min": str(new["low"]),
            "memory/dynamic-max": str(new["high"]),
        }  # fmt: skip
        self.add(
            new["domid"], new["kind"], keys,
            has_kib=new["actual"], limit_kib=new["limit"],
            speed_kib_s=new["speed"], gap_kib=new["offset"], delay_s=new.get("delay", 0.0),
            floor_kib=new.get("floor", 0), ceiling_kib=new.get("ceiling"),
        )  # fmt: skip

    def _gone(self, domid: int) -> None:
        self.guest(domid).go()
        del self.xapi.domains[domid]

    # -- what came of it ----------------------------------------------------------------------

    def verdict(self) -> str:
        self.clock.run_until(self.lasts_s)
        recorded = [
            (t, domid, key, value // 4 if key == "limit" else value)
            for t, domid, key, value in self.record["writes"]
        ]
        if marks_in_order(self.written) != marks_in_order(recorded):
            return f"writes {first_difference(self.written, recorded)}"
        answers, theirs = self.answers(), self.recorded_answers()
        if answers != theirs:
            return f"answers {answers}, {theirs}"
        for end in self.record["end"]:
            guest = self.guest(end["domid"])
            ours = (guest.has_kib, guest.reservation.max_pages, guest.store.items())
            if ours != (end["actual_kib"], end["limit_kib"] // 4, end["keys"]):
                return f"end of {end['domid']}: {ours}, {end}"
        ours_kib, theirs_kib = self.host.free_kib, self.record["end_free_kib"]
        return "" if ours_kib == theirs_kib else f"free at the end {ours_kib}, {theirs_kib}"

    def answers(self) -> list[tuple[float, str, int]]:
        """When a request was answered, and how."""
        found = []
        for kind, request in self.requests:
            if request.done and request.error is None:
                granted_kib = request.granted_kib if kind == "range" else 0
                found.append((round(request.answered_s, 2), "reserved", granted_kib))
            elif request.done:
                word = "refused" if "refused" in str(request.error) else "cannot"
                found.append((round(request.answered_s, 2), word, 0))
        return found

    def recorded_answers(self) -> list[tuple[float, str, int]]:
        ranges = [e[1] == "range" for e in self.record["events"] if e[1] in ("reserve", "range")]
        notes = [(t, text.split()) for t, text in self.record["notes"]]
        told = [(t, w) for t, w in notes if w[0] in ("reserved", "refused", "cannot")]
        return [
            (t, words[0], int(words[2]) if words[0] == "reserved" and is_range else 0)
            for (t, words), is_range in zip(told, ranges)
        ]


def marks_in_order(writes: list[Any]) -> list[Any]:
    """The real one marks those who are due at one moment in the order of a hash table."""
    return sorted(writes, key=lambda w: (w[0], w[1] if w[2] == UNCOOPERATIVE else -1))


def of_a_run(record: Record) -> str:
    """What differs first of a recording of the whole of squeezed."""
    return Run(record).verdict()


def first_difference(ours: list[Any], theirs: list[Any]) -> str:
    for mine, their in zip(ours, theirs):
        if mine != their:
            return f"{mine}, {their}"
    return f"{len(ours)} of them, {len(theirs)}"


@pytest.mark.parametrize("path", files("squeezed-host"), ids=name_of_file)
def test_the_whole_of_squeezed_writes_what_was_recorded_when_it_was(path: Path) -> None:
    must_agree(of_a_run, path)
