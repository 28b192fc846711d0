# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever host and guest do, no page is lost or made, and the same seed gives the same run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.boot.cost import SECTION_PAGES
from agent.core.facts.snapshot import DomainType
from agent.core.facts.units import PAGE_KIB
from sim_backend.clock import Clock
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.guest.files import BALLOON
from sim_backend.guest.kernel_images import DEBIAN_11, DEBIAN_12, DEBIAN_13, DEBIAN_14, image_of
from sim_backend.host.libxl import Libxl, ToolstackError
from sim_backend.hypervisor import Host
from sim_backend.stories.agents import agent
from sim_backend.stories.catalogue import load, scenario_names
from tests.sim_backend.random_guests import guest_configs

IMAGES = (
    DEBIAN_11, DEBIAN_12, DEBIAN_13, DEBIAN_14,
    *(image_of(r) for r in ("2.6.32", "2.6.39", "3.6.0", "4.4.0", "4.14.0", "5.4.0", "5.16.0")),
    *(image_of(r, hotplug=False) for r in ("4.4.0", "5.10.0", "6.16.0", "6.19.0", "7.0.0")),
)  # fmt: skip
KINDS: tuple[DomainType, ...] = ("pv", "pvh", "hvm", "dom0-pv", "dom0-pvh")

configs = guest_configs(KINDS, IMAGES)
odd_text = st.one_of(
    st.sampled_from(["abc", "", "-1", "0x10", "9" * 20, "9" * 30, "1e6", "0", "01750", "640M"]),
    st.integers(0, 4 * 1024 * MIB).map(str),
    st.text(max_size=12),
)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("mem_set"), st.integers(0, 2200)),
        st.tuples(st.just("mem_max"), st.integers(0, 2200)),
        st.tuples(st.just("raw_target"), odd_text),
        st.tuples(st.just("static_max"), odd_text),
        st.tuples(st.just("remove_target"), st.none()),
        st.tuples(st.just("target_kb"), odd_text),
        st.tuples(st.just("target"), odd_text),
        st.tuples(st.just("max_retry_count"), st.integers(0, 20)),
        st.tuples(st.just("max_schedule_delay"), st.integers(0, 64)),
        st.tuples(st.just("crash"), st.integers(0, 256)),
        st.tuples(st.just("destroy"), st.none()),
        st.tuples(st.just("workload"), st.integers(0, 1500)),
        st.tuples(st.just("online"), st.integers(0, 40)),
        st.tuples(st.just("grants"), st.integers(0, 4000)),
        st.tuples(st.just("host_takes"), st.integers(0, 16000)),
        st.tuples(st.just("host_gives"), st.integers(0, 16000)),
        st.tuples(st.just("migrate"), st.none()),
        st.tuples(st.just("wait"), st.floats(0.0, 4000.0)),
    ),
    max_size=14,
)


def write_file(_: Libxl, domain: SimulatedDomain, path: str, text: str) -> None:
    with suppress(OSError):
        domain.write_file(path, text)


def ask(toolstack: Libxl, domain: SimulatedDomain, command: str, memory_mib: int) -> None:
    with suppress(ToolstackError):
        getattr(toolstack, command)(domain, memory_mib * MIB)


def migrate(toolstack: Libxl, domain: SimulatedDomain, _: None) -> None:
    with suppress(ToolstackError):
        toolstack.migrate(domain, Host(32 * 1024 * MIB))


def crash(_: Libxl, domain: SimulatedDomain, reserved_mib: int) -> None:
    with suppress(ValueError):
        domain.crash(reserved_mib * MIB)


def destroy(toolstack: Libxl, domain: SimulatedDomain, _: None) -> None:
    with suppress(ToolstackError):
        toolstack.destroy(domain)


def balloon(name: str) -> Callable[[Libxl, SimulatedDomain, Any], None]:
    return lambda t, d, value: write_file(t, d, f"{BALLOON}/{name}", str(value))


DO: dict[str, Callable[[Libxl, SimulatedDomain, Any], object]] = {
    "mem_set": lambda t, d, mib: ask(t, d, "mem_set", mib),
    "mem_max": lambda t, d, mib: ask(t, d, "mem_max", mib),
    "raw_target": lambda _, d, text: d.store.write("memory/target", text),
    "static_max": lambda _, d, text: d.store.write("memory/static-max", text),
    "remove_target": lambda _, d, __: d.store.remove("memory/target"),
    "target_kb": balloon("target_kb"),
    "target": balloon("target"),
    "max_retry_count": balloon("max_retry_count"),
    "max_schedule_delay": balloon("max_schedule_delay"),
    "workload": lambda _, d, mib: d.change_workload(anon_kib=mib * MIB),
    "online": lambda t, d, n: write_file(
        t, d, f"sys/devices/system/memory/memory{n}/state", "online"
    ),
    "grants": lambda _, d, pages: d.map_foreign(pages),
    "host_takes": lambda _, d, mib: d.host.take_for_another(mib * MIB),
    "host_gives": lambda _, d, mib: d.host.return_from_another(mib * MIB),
    "migrate": migrate,
    "crash": crash,
    "destroy": destroy,
    "wait": lambda _, d, seconds: d.clock.run_until(d.clock.now_s + seconds),
}


class Books:
    """What must not change: who holds the pages of guest and host."""

    def __init__(self, domain: SimulatedDomain) -> None:
        driver = domain.driver
        self.uncounted = self._believed(domain) - driver.current_pages
        self.held = driver.current_pages + driver.ballooned_pages + driver.target_unpopulated_pages
        self.held -= domain.blocks.online_hot_added_pages
        self.overhead = driver.current_pages * PAGE_KIB - domain.memory.managed_kib

    def check(self, domain: SimulatedDomain) -> None:
        driver, memory = domain.driver, domain.memory
        host = domain.host
        assert host.accounted_pages() == host.total_pages
        assert host.free_pages >= 0
        assert domain.reservation.pages >= 0
        assert domain.reservation.on_demand_pages >= 0
        # Xen holds what the kernel counts, and a constant beside it.
        assert self._believed(domain) - driver.current_pages == self.uncounted
        # What is neither current nor ballooned was lent to grants.
        hot_added = domain.blocks.online_hot_added_pages
        held = driver.current_pages + driver.ballooned_pages
        assert held + driver.target_unpopulated_pages == self.held + hot_added
        # MemTotal follows current to the KiB.
        assert driver.current_pages * PAGE_KIB - memory.managed_kib == self.overhead
        assert driver.low_pages >= 0
        assert driver.high_pages >= 0
        assert memory.managed_kib > 0
        assert memory.free_kib >= 0
        assert 0 <= memory.swapped_kib <= memory.swap_kib
        # The map holds every hot-added section once.
        added = sum(region.size_bytes for region in domain.blocks.hot_added)
        assert added % (SECTION_PAGES * PAGE_KIB * 1024) == 0
        assert not domain.blocks.firmware.oddities
        domain.snapshot()

    @staticmethod
    def _believed(domain: SimulatedDomain) -> int:
        return domain.reservation.pages + domain.reservation.on_demand_pages


def start(config: GuestConfig, seed: int = 0) -> tuple[Libxl, SimulatedDomain]:
    toolstack = Libxl(Clock(seed), Host(32 * 1024 * MIB))
    return toolstack, toolstack.create(config)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(configs, actions)
def test_no_sequence_of_host_and_guest_actions_loses_a_page(
    config: GuestConfig, sequence: list[tuple[str, Any]]
) -> None:
    toolstack, domain = start(config)
    books = Books(domain)
    for action, value in sequence:
        DO[action](toolstack, domain, value)
        if action in ("crash", "destroy"):
            books = Books(domain)
        books.check(domain)
        domain.clock.run_until(domain.clock.now_s + 0.7)
        books.check(domain)
    domain.settle()
    books.check(domain)


@settings(max_examples=25, deadline=None)
@given(configs, actions, st.integers(0, 1 << 32))
def test_the_same_seed_gives_the_same_run(
    config: GuestConfig, sequence: list[tuple[str, Any]], seed: int
) -> None:
    runs = []
    for _ in range(2):
        toolstack, domain = start(config, seed)
        for action, value in sequence:
            DO[action](toolstack, domain, value)
            domain.clock.run_until(domain.clock.now_s + 0.7)
        runs.append((domain.snapshot(), domain.happenings, domain.clock.events_run))
    assert runs[0] == runs[1]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(scenario_names()),
    st.sampled_from(["none", "follow", "self"]),
    st.integers(0, 1 << 32),
)
def test_a_scenario_is_the_same_story_each_time_it_is_told(name: str, who: str, seed: int) -> None:
    assert load(name).run(seed, agent(who)) == load(name).run(seed, agent(who))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(scenario_names()), st.integers(0, 1 << 32))
def test_the_policy_passes_every_scenario_whatever_chance_does(name: str, seed: int) -> None:
    report = load(name).run(seed, agent(load(name).mode))
    assert report.passed, [check for check in report.checks if not check.passed]
