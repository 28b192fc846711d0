# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon in the place of the agents whose calibrations were recorded (tests/recordings).

The guests are the simulation's, as large, as slow and as far from their targets as the recorded
ones; squeezed is the model.  What the recordings call right is what has to come of it each time.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from agent.core.policy.settings import PolicySettings
from sim_backend.clock import Clock
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.guest.driver import Pace
from sim_backend.host.squeezed_server import FEATURE, OFFSET, TARGET, UNCOOPERATIVE, UPDATED
from sim_backend.host.xapi import Xapi
from sim_backend.hypervisor import Host
from tests.recordings.records import Record, records
from tests.support.virtual_daemon import VirtualDaemon

BATCH_KIB = 2 * MIB
CALIBRATIONS = {
    record["name"]: record for record in records("squeezed-host") if record.get("label")
}
"""One of each guest: how it was announced is what the daemon decides here."""


def pace_of(speed_kib_s: int) -> Pace:
    seconds = BATCH_KIB / speed_kib_s
    return Pace(populate_s=seconds, release_s=seconds)


def guest_of(xapi: Xapi, recorded: dict[str, Any]) -> SimulatedDomain:
    """What it has at first is what it would have at rest under another target."""
    keys = recorded["keys"]
    memory_kib = (recorded["actual_kib"] - recorded["offset_at_rest_kib"]) // MIB * MIB
    domain = xapi.create(GuestConfig(recorded["type"], memory_kib, int(keys["memory/static-max"])))
    domain.driver.pace = pace_of(recorded["speed_kib_s"])
    domain.reservation.max_pages = recorded["limit_kib"] // 4
    for key, value in keys.items():
        domain.store.write(key, value)
    return domain


class Life:
    """A recorded host with our daemon in the first of its guests."""

    def __init__(self, record: Record) -> None:
        self.xapi = Xapi(Clock(), Host(record["total_kib"] + 64 * MIB, 0))
        self.domains = [guest_of(self.xapi, recorded) for recorded in record["domains"]]
        self.ours = self.domains[0]
        self.is_held = any(recorded["floor_kib"] for recorded in record["domains"])
        if self.is_held:
            self.ours.driver.stop()
        began_s = self.ours.clock.now_s
        for when_s, what, *words in record["events"]:
            if what == "speed":
                self.ours.clock.at(began_s + when_s, partial(self.quicken, words[1]))
        self.marked: list[str] = []
        self.ours.store.watch(UNCOOPERATIVE, self.marked.append)
        self.daemon = VirtualDaemon(self.ours, PolicySettings())
        self.daemon.start()

    def quicken(self, kib_s: int) -> None:
        self.ours.driver.pace = pace_of(kib_s)

    def go_on(self, seconds: float) -> None:
        self.daemon.run(self.ours.clock.now_s + seconds)

    def accounts(self) -> list[Any]:
        """What the host has noted of each guest, and what it has left."""
        noted = [
            {key: domain.store.read(key) for key in (TARGET, OFFSET, UNCOOPERATIVE)}
            for domain in self.domains
        ]
        limits = [domain.reservation.max_pages for domain in self.domains]
        return [noted, limits, self.xapi.host.free_kib]


@pytest.mark.parametrize("name", CALIBRATIONS)
def test_a_recorded_guest_is_measured_at_rest_or_not_at_all(name: str) -> None:
    record = CALIBRATIONS[name]
    life = Life(record)
    life.go_on(record["seconds"] + 60.0)
    keys = life.ours.store.items()
    if life.is_held:
        assert not {FEATURE, UPDATED, OFFSET} & keys.keys()
        return
    has_kib = life.ours.reservation.pages * 4
    assert int(keys[OFFSET]) == has_kib - int(keys[TARGET])
    assert abs(int(keys[OFFSET]) - record["domains"][0]["offset_at_rest_kib"]) < MIB
    assert {FEATURE, UPDATED} <= keys.keys()
    at_rest = life.accounts()
    life.go_on(60.0)
    assert life.accounts() == at_rest
    life.daemon.purge()
    life.ours.clock.run_until(life.ours.clock.now_s + 60.0)
    assert life.accounts() == at_rest
    assert life.marked == []
