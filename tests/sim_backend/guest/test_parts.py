# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of the model, each by itself: clock, store, pressure, memory, fleet."""

from __future__ import annotations

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.facts.snapshot import DomainType
from sim_backend.clock import Clock
from sim_backend.guest.config import MIB
from sim_backend.guest.driver import PACES
from sim_backend.guest.memory import GuestMemory, Workload
from sim_backend.guest.pressure import PressureGauge
from sim_backend.guest.store import DomainStore
from sim_backend.host.libxl import simple_guest
from sim_backend.hypervisor import Host
from sim_backend.stories.attendance import reaction_s
from tests.support.fleet import Fleet, FleetPlan


@given(st.lists(st.integers(0, 20), max_size=30))
def test_events_happen_in_time_and_those_of_one_moment_in_order(delays: list[int]) -> None:
    clock = Clock()
    happened: list[tuple[int, int]] = []
    for number, delay in enumerate(delays):
        clock.after(delay, lambda entry=(delay, number): happened.append(entry))  # type: ignore[misc]
    clock.run_until(20)
    assert happened == sorted(happened)
    assert len(happened) == len(delays)
    assert clock.now_s == 20


def test_a_cancelled_event_does_not_happen_and_is_not_waited_for() -> None:
    clock = Clock()
    event = clock.after(1, lambda: pytest.fail("it happened"))
    event.cancel()
    assert clock.next_event_s() is None
    clock.run_until(5)


def test_an_event_in_the_past_happens_now() -> None:
    clock = Clock()
    clock.run_until(10)
    assert clock.at(3, lambda: None).when_s == 10


def test_watches_fire_for_the_node_what_is_below_and_what_takes_it_along() -> None:
    store = DomainStore({"memory/target": "1", "data/a": "x"})
    seen: list[str] = []
    end = store.watch("memory/target", seen.append)
    store.write("memory/target", "1")  # unchanged, and yet
    store.write("data/a", "y")
    store.remove("memory")
    store.remove("memory")  # nothing there any more
    assert seen == ["memory/target", "memory"]
    end()
    store.write("memory/target", "2")
    assert len(seen) == 2


@given(st.floats(0.01, 1.0), st.floats(0.1, 400.0))
def test_pressure_averages_follow_the_closed_form(share: float, seconds: float) -> None:
    gauge = PressureGauge()
    gauge.set_share(share, 0.0)
    for step in range(1, 8):
        gauge.reading(seconds * step / 7)
    reading = gauge.reading(seconds)
    assert reading.some_avg10 == pytest.approx(100 * share * (1 - exp(-seconds / 10)), abs=0.02)
    assert reading.some_total_us == pytest.approx(share * seconds * 1e6, rel=1e-6, abs=2)
    assert reading.full_avg10 <= reading.some_avg10


@given(
    st.integers(64, 2048),
    st.integers(0, 2048),
    st.sampled_from([0, 128, 512]),
    st.lists(st.integers(1, 512), max_size=40),
)
def test_the_guests_sums_always_add_up(
    managed_mib: int, anon_mib: int, swap_mib: int, batches: list[int]
) -> None:
    memory = GuestMemory(
        Clock(), managed_mib * MIB, Workload(anon_kib=anon_mib * MIB), swap_mib * MIB
    )
    for pages in batches:
        before_kib = memory.managed_kib
        taken = memory.take(pages)
        assert 0 <= taken <= pages
        assert memory.managed_kib == before_kib - 4 * taken
        used = memory.used_kib + memory.cached_kib + memory.free_kib
        assert used >= memory.managed_kib or memory.free_kib == 0
        assert 0 <= memory.available_kib <= memory.managed_kib
        assert 0.0 <= memory.gauge.share <= 1.0


def test_swap_takes_the_blow_before_the_killer_comes() -> None:
    clock = Clock()
    memory = GuestMemory(clock, 256 * MIB, Workload(anon_kib=300 * MIB), swap_kib=256 * MIB)
    clock.run_until(120)
    assert memory.oom_kills == 0
    assert memory.swapped_kib > 0
    assert memory.gauge.share > 0


def test_a_demand_that_cannot_be_met_ends_with_a_kill() -> None:
    clock = Clock()
    memory = GuestMemory(clock, 256 * MIB, Workload(anon_kib=300 * MIB))
    clock.run_until(1.9)
    assert memory.oom_kills == 0
    clock.run_until(2.1)
    assert memory.oom_kills == 1
    assert memory.gauge.share == 0


@pytest.mark.parametrize("agent", ["none", "follow"])
def test_a_fleet_shares_its_host_and_loses_no_page(agent: str) -> None:
    plan = FleetPlan(guests=10)
    result = Fleet(plan, agent, seed=3).run(400.0)
    assert result.pages_accounted
    assert result.alive == 10
    assert result.looks >= 10
    assert result == Fleet(plan, agent, seed=3).run(400.0)
    assert result != Fleet(plan, agent, seed=4).run(400.0)


@pytest.mark.parametrize("name", ["observe", "follow", "guard", "self"])
def test_a_fleet_may_have_the_daemons_own_logic_in_each_guest(name: str) -> None:
    result = Fleet(FleetPlan(guests=8), name, seed=5).run(600.0)
    assert result.pages_accounted
    assert result.alive == 8
    assert result.looks >= 8
    if name == "observe":
        assert result.target_writes == 0


@given(st.integers(0, 1 << 32))
def test_an_agent_reacts_as_late_as_the_daemon_was_measured_to(seed: int) -> None:
    clock = Clock(seed)
    delays_s = sorted(reaction_s(clock) for _ in range(2000))
    assert 0.0017 < delays_s[1000] < 0.0023
    assert 0.007 < delays_s[1980] < 0.014
    assert delays_s[-1] <= 0.05


@pytest.mark.parametrize("domain_type", ["pv", "pvh"])
def test_a_target_written_while_the_balloon_moves_is_seen_after_the_batch_in_hand(
    domain_type: DomainType,
) -> None:
    toolstack, domain = simple_guest(domain_type=domain_type)
    batch_s = PACES[domain_type].release_s
    toolstack.mem_set(domain, 384 * MIB)
    domain.advance_to(domain.now_s() + 10.5 * batch_s)
    before_kib = domain.current_kib
    domain.set_target_kib(before_kib)
    domain.advance_to(domain.now_s() + 10.0)
    assert domain.current_kib == before_kib


def test_the_kernel_hears_of_a_new_target_within_two_milliseconds() -> None:
    toolstack, domain = simple_guest()
    toolstack.mem_set(domain, 384 * MIB)
    assert domain.target_kib == 512 * MIB
    domain.advance_to(domain.now_s() + 0.002)
    assert domain.target_kib == 384 * MIB


def stalls_told(clock: Clock, anon_kib: int) -> tuple[GuestMemory, list[float]]:
    """A guest with so much in use, and when its pressure trigger fires."""
    fired: list[float] = []
    workload = Workload(anon_kib=anon_kib)
    memory = GuestMemory(
        clock,
        512 * MIB,
        workload,
        swap_kib=1024 * MIB,
        on_stall=lambda: fired.append(clock.now_s),
    )
    return memory, fired


def test_a_pressure_trigger_fires_once_in_two_seconds_while_the_guest_stalls() -> None:
    clock = Clock()
    memory, fired = stalls_told(clock, 100 * MIB)
    clock.run_until(10)
    assert fired == []
    memory.change_workload(anon_kib=900 * MIB)
    clock.run_until(20.5)
    assert 0 < fired[0] - 10 <= 2
    assert len(fired) in (5, 6)
    memory.change_workload(anon_kib=100 * MIB)
    before = len(fired)
    clock.run_until(60)
    assert len(fired) == before


def test_a_pressure_trigger_fires_also_where_the_guest_stalls_from_its_boot_on() -> None:
    clock = Clock()
    _, fired = stalls_told(clock, 900 * MIB)
    clock.run_until(10)
    assert len(fired) in (5, 6)


@pytest.mark.parametrize("ends", ["destroyed", "crashed"])
def test_the_memory_of_a_kernel_that_is_no_more_tells_nothing(ends: str) -> None:
    """Neither of its OOM killer, which was about to come, nor of a stall."""
    toolstack, domain = simple_guest()
    domain.change_workload(anon_kib=600 * MIB)
    stalls: list[float] = []
    domain.stall_listeners.append(lambda: stalls.append(domain.now_s()))
    if ends == "destroyed":
        toolstack.destroy(domain)
    else:
        domain.crash(128 * MIB)
    domain.advance_to(domain.now_s() + 60)
    assert "oom-kill" not in {happening.kind for happening in domain.happenings}
    assert stalls == []


def test_another_domain_gives_back_at_most_what_it_took() -> None:
    """Xen's own memory is nobody's to give."""
    host = Host()
    free_kib = host.free_kib
    taken_kib = host.take_for_another(1024 * MIB)
    host.return_from_another(1 << 40)
    assert (taken_kib, host.free_kib) == (1024 * MIB, free_kib)
    assert host.accounted_pages() == host.total_pages
