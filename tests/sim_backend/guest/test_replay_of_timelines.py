# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulated driver visits the states that the real one was seen in, page for page.

Each test brings a simulated guest to where the real one was, gives the same command, and follows
every batch.  Every sample of the real guest must lie on the simulated path.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sim_backend.clock import Clock
from sim_backend.guest.config import MIB
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.guest.memory import Workload
from sim_backend.host.libxl import Libxl, ToolstackError
from sim_backend.hypervisor import Host
from tests.sim_backend.guests import LAB
from tests.sim_backend.timelines import DIRECTORY, Timeline, read_timeline

Act = Callable[[Libxl, SimulatedDomain], None]


def guest(name: str, **changes: object) -> tuple[Libxl, SimulatedDomain]:
    """A settled guest of the lab whose every batch is one event."""
    toolstack = Libxl(Clock(), Host())
    config = LAB[name]
    if changes:
        config = config.__class__(**(vars(config) | changes))
    return toolstack, toolstack.create(config)


def xl(memory_mib: int) -> Act:
    return lambda toolstack, domain: toolstack.mem_set(domain, memory_mib * MIB)


def raw(text: str) -> Act:
    return lambda _, domain: domain.store.write("memory/target", text)


def in_guest(target_kib: int) -> Act:
    return lambda _, domain: domain.write_file(
        "sys/devices/system/xen_memory/xen_memory0/target_kb", f"{target_kib}\n"
    )


def mem_max(memory_mib: int) -> Act:
    return lambda toolstack, domain: toolstack.mem_max(domain, memory_mib * MIB)


def online_all(_: Libxl, domain: SimulatedDomain) -> None:
    for block in domain.blocks.reading().offline:
        domain.online_block(block)


def path_of(domain: SimulatedDomain, for_s: float) -> list[tuple[int, int]]:
    """(current, target) after each event."""
    path = [(domain.current_kib, domain.target_kib)]
    until_s = domain.clock.now_s + for_s
    while (due_s := domain.clock.next_event_s()) is not None and due_s <= until_s:
        domain.clock.step()
        state = (domain.current_kib, domain.target_kib)
        if state != path[-1]:
            path.append(state)
    domain.clock.run_until(until_s)
    return path


CASES: dict[str, tuple[str, list[Act], Act]] = {
    "pv-512-1024/memset-768": ("pv-512-1024", [], xl(768)),
    "pv-512-1024/memset-384": ("pv-512-1024", [xl(1024)], xl(384)),
    "pv-512-1024/guest-target_kb-655360": ("pv-512-1024", [xl(384)], in_guest(655360)),
    "pv-512-1024/xenstore-raw-garbage": ("pv-512-1024", [xl(384), raw("327680")], raw("abc")),
    "pv-512-1024/xenstore-raw-beyond-maxmem": (
        "pv-512-1024",
        [xl(384), raw("327680"), raw("abc")],
        raw("2097152"),
    ),
    "pvh-512-1024/memset-768": ("pvh-512-1024", [], xl(768)),
    "pvh-512-1024/memset-384": ("pvh-512-1024", [xl(1024)], xl(384)),
    "pvh-512-1024/guest-target_kb-655360": ("pvh-512-1024", [xl(384)], in_guest(655360)),
    "pvh-512-1024/xenstore-raw-garbage": ("pvh-512-1024", [xl(384), raw("327680")], raw("abc")),
    "pvh-512-1024/xenstore-raw-beyond-maxmem": (
        "pvh-512-1024",
        [xl(384), raw("327680"), raw("abc")],
        raw("2097152"),
    ),
    "hvm-512-1024/memset-768": ("hvm-512-1024", [], xl(768)),
    "pv-512-1024-hotplug/mem-max-1536-memset-1280": (
        "pv-512-1024-hotplug",
        [mem_max(1536)],
        xl(1280),
    ),
    "pv-512-1024-hotplug/static-max-1536-memset-1280": (
        "pv-512-1024-hotplug",
        [mem_max(1536), xl(1280)],
        xl(1280),
    ),
    "pv-512-1024-hotplug/hotplug-memset-512": (
        "pv-512-1024-hotplug",
        [mem_max(1536), xl(1280), online_all],
        xl(512),
    ),
    "pv-512-1024-k510/memset-768": ("pv-512-1024-k510", [], xl(768)),
    "pv-512-1024-k510/memset-1024": ("pv-512-1024-k510", [xl(768)], xl(1024)),
    "pv-512-1024-k612/memset-768": ("pv-512-1024-k612", [], xl(768)),
    "pv-512-1024-k612/memset-1024": ("pv-512-1024-k612", [xl(768)], xl(1024)),
}


# The two refusals and the guest that starved have tests of their own below.
ELSEWHERE = {
    "pv-512-1024/memset-2048-refused",
    "pvh-512-1024/memset-2048-refused",
    "pv-oom/oom-memset-200",
}


def test_no_timeline_is_left_out() -> None:
    found = {f"{path.parent.name}/{path.stem}" for path in DIRECTORY.glob("*/*.txt")}
    assert found == set(CASES) | ELSEWHERE


def replay(name: str) -> tuple[Timeline, SimulatedDomain, list[tuple[int, int]]]:
    guest_name, before, act = CASES[name]
    toolstack, domain = guest(guest_name)
    for earlier in before:
        earlier(toolstack, domain)
        domain.settle()
        domain.clock.run_until(domain.clock.now_s + 60.0)
    seen = read_timeline(name)
    start = (domain.current_kib, domain.target_kib)
    act(toolstack, domain)
    return seen, domain, [start, *path_of(domain, seen.moments[-1].when_s + 0.5)]


@pytest.mark.parametrize("name", CASES)
def test_every_state_the_real_guest_was_seen_in_lies_on_the_simulated_path(name: str) -> None:
    seen, domain, path = replay(name)
    currents = {current for current, _ in path}
    targets = {target for _, target in path}
    assert {moment.current_kib for moment in seen.moments} <= currents
    seen_targets = {moment.target_kib for moment in seen.moments}
    assert seen_targets <= targets <= seen_targets | {path[0][1]}
    last = seen.moments[-1]
    assert (domain.current_kib, domain.target_kib) == (last.current_kib, last.target_kib)
    assert domain.store.read("memory/target") == last.host_target


@pytest.mark.parametrize("name", CASES)
def test_mem_total_begins_and_ends_where_the_real_one_did(name: str) -> None:
    guest_name, before, _ = CASES[name]
    seen, domain, _ = replay(name)
    if seen.moments[0].when_s < 0:
        toolstack, fresh = guest(guest_name)
        for earlier in before:
            earlier(toolstack, fresh)
            fresh.settle()
        assert fresh.memory.managed_kib == seen.moments[0].total_kib
    assert domain.memory.managed_kib == seen.moments[-1].total_kib


@pytest.mark.parametrize("name", [name for name in CASES if "guest-target" not in name])
def test_the_move_takes_about_as_long_as_the_real_one(name: str) -> None:
    """Within a third, and half a second for what the command itself took."""
    seen, _, _ = replay(name)
    arrived_s = next(
        m.when_s for m in seen.moments if m.current_kib == seen.moments[-1].current_kib
    )
    guest_name, before, act = CASES[name]
    toolstack, domain = guest(guest_name)
    for earlier in before:
        earlier(toolstack, domain)
        domain.settle()
    start_s = domain.clock.now_s
    act(toolstack, domain)
    domain.clock.run_until(
        start_s + 60.0, stop=lambda: domain.current_kib == seen.moments[-1].current_kib
    )
    took_s = domain.clock.now_s - start_s
    if domain.current_kib == seen.moments[0].current_kib:
        return  # nothing moved, neither here nor there
    assert abs(took_s - arrived_s) <= max(0.35 * arrived_s, 0.6)


@pytest.mark.parametrize("name", ["pv-512-1024", "pvh-512-1024"])
def test_xl_refuses_a_target_above_static_max_in_its_own_words(name: str) -> None:
    seen = read_timeline(f"{name}/memset-2048-refused")
    toolstack, domain = guest(name)
    toolstack.mem_set(domain, 384 * MIB)
    domain.settle()
    with pytest.raises(ToolstackError) as refusal:
        toolstack.mem_set(domain, 2048 * MIB)
    assert str(refusal.value) in seen.output
    domain.clock.run_until(domain.clock.now_s + 5.0)
    assert domain.current_kib == domain.target_kib == seen.moments[-1].current_kib


@pytest.mark.parametrize("name", ["pv-512-1024", "pvh-512-1024"])
def test_a_refused_driver_doubles_its_delay_and_gives_up_after_the_fourth_try(name: str) -> None:
    toolstack, domain = guest(name)
    toolstack.mem_set(domain, 384 * MIB)
    domain.settle()
    domain.set_target_kib(655360)
    seen: list[tuple[float, tuple[int, int]]] = []
    start_s = domain.clock.now_s
    for _ in range(4 * 20):
        domain.clock.run_until(domain.clock.now_s + 0.25)
        state = (domain.driver.retry_count, domain.driver.schedule_delay_s)
        if not seen or seen[-1][1] != state:
            seen.append((domain.clock.now_s - start_s, state))
    assert [state for _, state in seen] == [(2, 2), (3, 4), (4, 8), (1, 1)]
    gaps_s = [later - earlier for (earlier, _), (later, _) in zip(seen, seen[1:])]
    assert gaps_s == pytest.approx([2.0, 4.0, 8.0], abs=0.3)
    assert domain.driver.state == "cancelled"


def test_below_the_working_set_without_an_agent_the_guest_stalls_and_the_host_gets_nothing() -> (
    None
):
    """Seen: 449172 KiB after 8 s, 439300 after 38 s, the workload killed, and the driver idle."""
    seen = read_timeline("pv-oom/oom-memset-200")
    toolstack, domain = guest(
        "pv-512-1024", workload=Workload(anon_kib=300 * MIB, base_kib=30 * MIB, kernel_kib=24 * MIB)
    )
    toolstack.mem_set(domain, 200 * MIB)
    domain.clock.run_until(domain.clock.now_s + 8.0)
    stalled = domain.memory.pressure()
    assert domain.current_kib == pytest.approx(seen.moments[0].current_kib, rel=0.03)
    assert stalled.some_avg10 > 20.0
    domain.clock.run_until(domain.clock.now_s + 60.0)
    assert domain.memory.oom_kills == 1
    assert domain.current_kib == pytest.approx(seen.moments[-1].current_kib, rel=0.03)
    assert domain.target_kib == 204800
    assert domain.driver.retry_count == 1
    assert domain.driver.state == "cancelled"
    assert domain.memory.available_kib > 300 * MIB
