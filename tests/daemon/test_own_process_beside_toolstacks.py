# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's whole life as a process beside squeezed and qmemman, much faster than life.

BALLOON_AGENT_STORIES_SPEED=1 pytest tests/daemon/test_own_process_beside_toolstacks.py plays the
same as slowly as it is.
"""

from __future__ import annotations

from functools import partial

import pytest

from sim_backend.clock import Clock
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.guest.driver import Pace
from sim_backend.guest.memory import Workload
from sim_backend.host.qubes import Qubes
from sim_backend.host.xapi import Xapi
from sim_backend.hypervisor import Host
from tests.recordings.records import records
from tests.support.beside_toolstack import SPEED, beside

XEN_KIB = 256 * MIB
FEATURE, UPDATED = "control/feature-balloon", "data/updated"
OFFSET, MARK, TARGET = "memory/memory-offset", "memory/uncooperative", "memory/target"
USED = "memory/meminfo"
SOON = '[timing]\ngrace = "500ms"\n'


def number(domain: SimulatedDomain, key: str) -> int:
    text = domain.store.read(key)
    assert text is not None, key
    return int(text)


def test_a_life_beside_squeezed_from_a_moving_balloon_to_the_purge() -> None:
    xapi = Xapi(Clock(), Host(XEN_KIB + 1460 * MIB, XEN_KIB))
    ours = xapi.create(GuestConfig("pvh", 512 * MIB, 1024 * MIB))
    theirs = xapi.create(GuestConfig("pvh", 512 * MIB, 1024 * MIB))
    ours.reservation.max_pages = 1024 * MIB // 4
    ours.driver.pace = Pace(populate_s=0.25, release_s=0.01)  # 8 MiB a second
    for domain in (ours, theirs):
        domain.store.write("memory/dynamic-min", str(256 * MIB))
        domain.store.write("memory/dynamic-max", str(768 * MIB))
    ours.store.write(TARGET, str(704 * MIB))  # asked while it booted; it takes 24 s
    marked: list[str] = []
    ours.store.watch(MARK, marked.append)

    with beside(ours, SOON) as there:
        daemon = there.started()
        there.until(lambda: ours.store.read("control/balloon-active") == "1")
        assert not {FEATURE, UPDATED, OFFSET} & ours.store.items().keys()
        there.until(lambda: ours.store.read(OFFSET) is not None)  # squeezed has looked
        offset_kib = number(ours, OFFSET)
        assert abs(offset_kib) < MIB
        there.for_s(30.0)  # it had more to give, and has given it
        assert ours.reservation.pages * 4 - number(ours, TARGET) == offset_kib
        # A neighbour has booted, and another VM starts: both give.
        theirs.store.guest_write(FEATURE, "1")
        there.for_s(12.0)
        before_kib = number(ours, TARGET)
        request = xapi.squeezed.reserve(300 * MIB)
        there.until(lambda: request.done)
        assert request.error is None
        assert number(ours, TARGET) < before_kib
        # A stop and a start, as in an upgrade: what the host counts on stays as it is.
        kept = {key: ours.store.read(key) for key in (FEATURE, OFFSET, TARGET)}
        there.stopped(daemon)
        assert {key: ours.store.read(key) for key in kept} == kept
        daemon = there.started()
        there.for_s(12.0)
        assert {key: ours.store.read(key) for key in kept} == kept
        # Purge: the host's accounts are as if there had never been an agent.
        accounts = number(ours, TARGET), number(theirs, TARGET), xapi.host.free_kib
        there.purged(daemon)
        there.for_s(21.0)  # squeezed has looked twice
        assert (number(ours, TARGET), number(theirs, TARGET), xapi.host.free_kib) == accounts
        assert not [key for key in ours.store.items() if key.startswith("data/balloon")]
    assert marked == []


def test_a_life_beside_qmemman_with_a_leak_from_the_start_to_the_purge() -> None:
    qubes = Qubes(Clock(), Host(XEN_KIB + 2400 * MIB, XEN_KIB))
    workload = Workload(anon_kib=100 * MIB)
    ours = qubes.create(GuestConfig("pvh", 400 * MIB, 4000 * MIB, workload=workload))
    ours.driver.pace = Pace(populate_s=0.002, release_s=0.002)
    with beside(ours, SOON + '[publish]\nprofile = "qubes"\n') as there:
        daemon = there.started()
        there.until(lambda: qubes.qmemman.states[ours.domid].preferred_kib is not None)
        room = qubes.qmemman.ask({ours.domid: 0})  # down to what it prefers
        there.until(lambda: room.granted is not None)
        room.leave()
        assert room.granted
        assert ours.memory.available_kib > 32 * MIB
        for anon_mib in (140, 180, 220):  # a leak of 40 MiB a second, for who has to tell of it
            ours.change_workload(anon_kib=anon_mib * MIB)
            there.for_s(SPEED)
        assert ours.memory.oom_kills == 0
        assert ours.memory.available_kib > 32 * MIB
        said_kib = number(ours, USED)
        daemon = there.restarted(daemon)
        assert number(ours, USED) == pytest.approx(said_kib, abs=30_000)
        there.purged(daemon)
        assert ours.store.read(USED) == "stopped"
        there.for_s(5.0)
        kept_kib = ours.store.read(TARGET)
        qubes.qmemman.balance()
        there.for_s(5.0)
        assert ours.store.read(TARGET) == kept_kib
    assert ours.memory.oom_kills == 0


def test_beside_xe_daemon_a_life_ends_with_all_its_keys_as_it_wrote_them() -> None:
    xapi = Xapi(Clock(), Host(XEN_KIB + 2048 * MIB, XEN_KIB))
    ours = xapi.create(GuestConfig("pvh", 512 * MIB, 1024 * MIB))
    written: dict[str, str] = {}

    def write(key: str, value: str) -> None:
        written[key] = value
        ours.store.guest_write(key, value)

    recording = next(record for record in records("xe-daemon") if record["run"] == "total-moves")
    began_s, lasts_s = ours.now_s(), 0.0
    for when_s, who, what, *words in recording["events"]:
        if (who, what) == ("xe-daemon", "write") and when_s < 15.0:
            lasts_s = when_s
            ours.clock.at(began_s + when_s, partial(write, *words))
    with beside(ours, SOON + '[publish]\nprofile = "xapi"\n') as there:
        daemon = there.started()
        there.for_s(lasts_s + 15.0)
        daemon = there.restarted(daemon)
        there.purged(daemon)
    assert FEATURE in written
    assert {key: ours.store.read(key) for key in written} == written
