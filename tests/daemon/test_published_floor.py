# SPDX-License-Identifier: GPL-2.0-or-later
"""How old the floor may be that the host reads, by what the guest is doing; in virtual time."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from agent.core.account.situation import understand
from agent.core.policy.settings import Mode, PolicySettings
from agent.core.policy.use import NOTHING_SEEN, REMEMBERS_S
from agent.core.policy.view import floor_kib
from agent.daemon.key_table import FLOOR, SPARE
from tests.daemon.test_whole_runs import MIB, Run

CLOSE_KIB = 4 * MIB
NEAR_KIB = 16 * MIB
HELD_S = 2.0
MOMENT_S = 0.1
SOON_S = 1.0  # a program takes time to take memory, and the kernel to call it a stall


class Watched(Run):
    """A run that can be looked at while it goes on."""

    def __init__(self, mode: Mode = "guard", **guest: Any) -> None:
        super().__init__(PolicySettings(mode=mode), **guest)
        self.virtual.manager.ping_every_s = float("inf")
        self.virtual.start()

    def until(self, when_s: float) -> None:
        self.virtual.run(self.began_s + when_s)

    @property
    def off_kib(self) -> int:
        """How far what the host reads is from what holds now."""
        situation = understand(self.domain.snapshot())
        true_kib = floor_kib(situation, self.policy, self.current_kib, NOTHING_SEEN)
        return abs(int(self.domain.store.read(FLOOR) or 0) - true_kib)

    @property
    def current_kib(self) -> int:
        return self.domain.current_kib

    @property
    def rule(self) -> str:
        decision = self.virtual.daemon._turn.decision
        assert decision is not None
        return decision.reason


@pytest.mark.parametrize("mode", ["guard", "self"])
def test_while_a_shrink_is_held_the_host_knows_the_floor_closely(mode: Mode) -> None:
    run = Watched(mode)
    run.plan(1.0, "workload", 380)
    run.plan(5.0, "host-asks", 200)
    run.plan(60.0, "workload", 250)
    run.plan(120.0, "workload", 150)
    run.until(50.0)
    assert run.rule == "held-at-floor"
    remembered_s = 2 * REMEMBERS_S if mode == "guard" else 0.0
    for when_s in (60.0, 120.0):
        run.until(when_s + remembered_s + HELD_S + MOMENT_S)
        assert run.off_kib <= NEAR_KIB
        run.until(when_s + remembered_s + 25.0)
        assert run.rule == "held-at-floor"
        assert run.off_kib <= CLOSE_KIB


@pytest.mark.parametrize("gives", [0, 1])
def test_a_driver_that_cannot_give_is_looked_at_less_and_less_often(
    gives: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Watched()
    run.plan(1.0, "workload", 100)
    run.until(4.0)
    take, tries = run.domain.memory.take, itertools.count(1)
    monkeypatch.setattr(
        run.domain.memory, "take", lambda _pages, _unit=1: take(gives * (next(tries) % 3 == 0), 1)
    )
    run.plan(5.0, "host-asks", 300)
    run.until(60.0)
    awake = run.virtual.sleep.count
    run.until(260.0)
    assert run.rule in ("guard-shrinks", "given-up", "waking")
    assert run.virtual.sleep.count - awake < 200.0 * (1 + gives)
    monkeypatch.undo()  # and the moment it gives, the guard is there
    run.domain.change_workload(anon_kib=300 * MIB)
    run.until(400.0)
    assert run.current_kib - run.domain.memory.available_kib > 300 * MIB
    assert not run.domain.memory.oom_kills


def test_a_driver_that_cannot_give_holds_a_shrink_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Watched()
    run.plan(1.0, "workload", 100)
    run.until(4.0)
    monkeypatch.setattr(run.domain.memory, "take", lambda _pages, _unit=1: 0)
    run.plan(5.0, "host-asks", 300)
    run.until(200.0)
    assert run.current_kib == 512 * MIB
    assert "gave-up" in {happening.kind for happening in run.domain.happenings}
    run.domain.change_workload(anon_kib=200 * MIB)
    run.until(200.0 + HELD_S + MOMENT_S)
    assert run.off_kib <= NEAR_KIB


def test_a_stall_is_told_at_once_and_so_is_its_end() -> None:
    run = Watched()
    run.plan(1.0, "workload", 100)
    run.plan(60.0, "workload", 420)
    run.until(60.0 + SOON_S)
    assert run.off_kib <= NEAR_KIB
    run.until(80.0)
    run.domain.change_workload(anon_kib=100 * MIB)
    run.until(120.0)
    assert run.domain.store.read("data/balloon/pressure") == "none"
    assert run.off_kib <= NEAR_KIB
    awake = run.virtual.sleep.count
    run.until(3200.0)
    assert run.virtual.sleep.count - awake <= 1


def test_a_settled_guest_wakes_nobody_to_say_that_it_needs_more_or_less() -> None:
    run = Watched()
    run.plan(10.0, "workload", 200)
    run.until(9.0)
    awake = run.virtual.sleep.count
    run.until(3200.0)
    assert run.virtual.sleep.count - awake <= 1  # the end of the run
    assert run.off_kib > NEAR_KIB


def test_a_host_that_asks_again_for_the_same_reads_the_floor_of_now() -> None:
    run = Watched()
    run.plan(10.0, "workload", 200)
    run.plan(3200.0, "host-asks", 512)
    run.until(3200.0 + MOMENT_S)
    assert run.off_kib <= NEAR_KIB


@pytest.mark.parametrize("mode", ["observe", "follow"])
def test_who_has_asked_for_less_hears_what_programs_take_for_a_moment_and_for_6_s_only(
    mode: Mode,
) -> None:
    """Half a second in each second and a half they take 20 MiB more."""
    run = Watched(mode)
    for number in range(1, 400):
        run.plan(1.5 * number, "workload", 300)
        run.plan(1.5 * number - 0.5, "workload", 320)
    run.plan(62.0, "host-asks", 480)
    run.until(60.0)
    in_use_kib = run.current_kib - run.domain.memory.available_kib
    for tenths in range(30, 60):
        run.until(62.0 + tenths / 10)
        spare_kib = int(run.domain.store.read(SPARE) or 0)
        assert run.current_kib == 480 * MIB
        assert spare_kib < run.current_kib - in_use_kib - 16 * MIB - 20 * MIB + CLOSE_KIB
    run.until(70.0)
    awake = run.virtual.sleep.count
    run.until(300.0)
    assert run.virtual.sleep.count - awake <= 2
