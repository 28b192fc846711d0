# SPDX-License-Identifier: GPL-2.0-or-later
"""Two hosts, five toolstacks, several guests: whatever is done to them, in whatever order, the
model neither breaks nor loses a page.

Every action of host and guest that the model knows is a rule here; `test_every_action_has_a_rule`
holds that.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agent.core.facts.snapshot import DomainType
from sim_backend.clock import Clock
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.guest.driver import Pace
from sim_backend.guest.files import BALLOON, BLOCKS
from sim_backend.guest.kernel_images import image_of
from sim_backend.guest.memory import Workload
from sim_backend.guest.regimes import REGIMES
from sim_backend.host.libxl import Libxl, ToolstackError
from sim_backend.host.other_toolstacks import IgnoresMaxmem, Xend
from sim_backend.host.qubes import Qubes, report_use
from sim_backend.host.xapi import Xapi
from sim_backend.hypervisor import Host
from sim_backend.stories.agents import AGENTS, Agent, agent
from tests.sim_backend.guest.test_model_never_breaks import Books, odd_text
from tests.sim_backend.guests import MEASURED
from tests.sim_backend.random_guests import guest_configs

KINDS: tuple[DomainType, ...] = ("pv", "pvh", "hvm")
BUILDS = (
    *MEASURED.values(),
    *(image_of(str(regime.first)) for regime in REGIMES),
    image_of("2.6.32", hotplug=False),
    image_of("6.1.0", hotplug=False),
    image_of("6.1.0", balloon=False),
    image_of("6.12.0", auto_online="online"),
)
mebibytes = st.integers(0, 2200)
numbers = st.integers(0, 1 << 30)  # picks a guest: the rest of a division
GUEST_KEYS = (
    "memory/target", "memory/meminfo", "memory/swapinfo", "control/feature-balloon",
    "control/shutdown", "data/updated", "data/balloon/state", "attr/PVAddons/Installed", "name",
)  # fmt: skip
HOST_KEYS = (
    "memory/target", "memory/static-max", "memory/dynamic-min", "memory/dynamic-max",
    "memory/hotplug-max", "memory/meminfo", "memory/memory_static_max", "name",
)  # fmt: skip
FILES = (
    "target_kb", "target", "max_retry_count", "max_schedule_delay", "scrub_pages", "retry_count",
)  # fmt: skip
configs = guest_configs(KINDS, BUILDS, hugepages=st.booleans(), bits=st.sampled_from([64, 64, 32]))


class World(RuleBasedStateMachine):
    """Guests come and go; `which` of them is meant is a number."""

    clock: Clock
    toolstack: Libxl
    hosts: tuple[Host, Host]

    @initialize(
        kind=st.sampled_from([Libxl, Xapi, Qubes, Xend, IgnoresMaxmem]),
        seed=st.integers(0, 99),
        memory_mib=st.integers(1500, 12000),
        dom0=st.sampled_from([None, "dom0-pv", "dom0-pvh"]),
    )
    def begin(self, kind: type[Libxl], seed: int, memory_mib: int, dom0: DomainType | None) -> None:
        self.clock = Clock(seed)
        self.hosts = Host(memory_mib * MIB), Host(32 * 1024 * MIB)
        self.toolstack = kind(self.clock, self.hosts[0])
        self.guests: list[SimulatedDomain] = []
        self.books: dict[int, Books] = {}
        self.agents: dict[int, Agent] = {}
        if dom0:
            self._create(GuestConfig(dom0, 512 * MIB, 1024 * MIB))

    @rule(config=configs)
    def create(self, config: GuestConfig) -> None:
        if len(self.guests) < 4:
            self._create(config)

    def _create(self, config: GuestConfig) -> None:
        with suppress(ValueError):  # the host does not have the memory
            domain = self.toolstack.create(config)
            self.guests.append(domain)
            self.books[id(domain)] = Books(domain)

    def guest(self, which: int) -> SimulatedDomain:
        return self.guests[which % len(self.guests)]

    # -- the host ------------------------------------------------------------------------------

    @precondition(lambda self: self.guests)
    @rule(which=numbers, command=st.sampled_from(["mem_set", "mem_max"]), mib=mebibytes)
    def ask(self, which: int, command: str, mib: int) -> None:
        with suppress(ToolstackError):
            getattr(self.toolstack, command)(self.guest(which), mib * MIB)

    @precondition(lambda self: self.guests)
    @rule(which=numbers, there=st.integers(0, 1))
    def migrate(self, which: int, there: int) -> None:
        domain = self.guest(which)
        needed = domain.reservation.pages
        if not domain.config.is_dom0 and self.hosts[there].free_pages >= needed:
            with suppress(ToolstackError):
                self.toolstack.migrate(domain, self.hosts[there])

    @precondition(lambda self: self.guests)
    @rule(which=numbers)
    def destroy(self, which: int) -> None:
        domain = self.guest(which)
        self.toolstack.destroy(domain)
        self.guests.remove(domain)

    @precondition(lambda self: self.guests)
    @rule(which=numbers)
    def fill_dom0_keys(self, which: int) -> None:
        if self.guest(which).config.is_dom0:
            self.toolstack.fill_dom0_keys(self.guest(which))

    @precondition(lambda self: self.guests)
    @rule(which=numbers, key=st.sampled_from(HOST_KEYS), text=odd_text)
    def host_writes(self, which: int, key: str, text: str) -> None:
        self.guest(which).store.write(key, text)

    @precondition(lambda self: self.guests)
    @rule(which=numbers, key=st.sampled_from((*HOST_KEYS, "memory", "data")))
    def host_removes(self, which: int, key: str) -> None:
        self.guest(which).store.remove(key)

    @precondition(lambda self: self.guests)
    @rule(which=numbers, silent=st.booleans())
    def xenstored_stops_or_comes_back(self, which: int, silent: bool) -> None:
        store = self.guest(which).store
        store.silent = silent
        if not silent:
            store.fire_all()

    @rule(mib=st.integers(0, 16000), back=st.booleans())
    def another_domain(self, mib: int, back: bool) -> None:
        host = self.hosts[0]
        if back:
            host.return_from_another(mib * MIB)
        else:
            host.take_for_another(mib * MIB)

    @precondition(lambda self: self.guests and isinstance(self.toolstack, Xapi))
    @rule(which=numbers, low=mebibytes, more=mebibytes, error=st.sampled_from([0, 1, 4]))
    def set_dynamic_range(self, which: int, low: int, more: int, error: int) -> None:
        assert isinstance(self.toolstack, Xapi)
        self.toolstack.squeezed.limit_error_kib = error * MIB
        with suppress(ToolstackError):
            self.toolstack.set_dynamic_range(self.guest(which), low * MIB, (low + more) * MIB)

    @precondition(lambda self: self.guests and isinstance(self.toolstack, Xapi))
    @rule(which=numbers, mib=st.integers(0, 256))
    def soft_reset(self, which: int, mib: int) -> None:
        assert isinstance(self.toolstack, Xapi)
        domain = self.guest(which)
        with suppress(ToolstackError, ValueError):
            self.toolstack.soft_reset(domain, mib * MIB)
            self.books[id(domain)] = Books(domain)

    @precondition(lambda self: isinstance(self.toolstack, (Xapi, Qubes)))
    @rule(mib=mebibytes)
    def make_room(self, mib: int) -> None:
        assert isinstance(self.toolstack, (Xapi, Qubes))
        with suppress(ToolstackError):
            self.toolstack.make_room(mib * MIB)
        if isinstance(self.toolstack, Xapi):
            with suppress(ToolstackError):
                room = self.toolstack.room_to_start(mib * MIB // 2, mib * MIB)
                self.toolstack.squeezed.delete(room.reservation)

    @precondition(lambda self: isinstance(self.toolstack, Xapi))
    @rule()
    def restart_xenopsd(self) -> None:
        assert isinstance(self.toolstack, Xapi)
        self.toolstack.restart_xenopsd()

    @precondition(lambda self: isinstance(self.toolstack, Qubes))
    @rule()
    def balance(self) -> None:
        assert isinstance(self.toolstack, Qubes)
        self.toolstack.qmemman.balance()

    # -- the guest -----------------------------------------------------------------------------

    @precondition(lambda self: self.guests)
    @rule(which=numbers, name=st.sampled_from(FILES), text=odd_text)
    def balloon_file(self, which: int, name: str, text: str) -> None:
        with suppress(OSError):
            self.guest(which).write_file(f"{BALLOON}/{name}", text)

    @precondition(lambda self: self.guests)
    @rule(
        which=numbers,
        block=st.integers(0, 40),
        word=st.sampled_from(["online", "online_movable", "offline", "x"]),
    )
    def memory_block(self, which: int, block: int, word: str) -> None:
        with suppress(OSError):
            self.guest(which).write_file(f"{BLOCKS}/memory{block}/state", word)
        with suppress(OSError):
            self.guest(which).write_file(f"{BLOCKS}/auto_online_blocks", word)

    @precondition(lambda self: self.guests)
    @rule(
        which=numbers,
        field=st.sampled_from(sorted(vars(Workload()))),
        mib=st.one_of(st.integers(0, 60), mebibytes),
    )
    def workload(self, which: int, field: str, mib: int) -> None:
        self.guest(which).change_workload(**{field: mib * MIB})

    @precondition(lambda self: self.guests)
    @rule(which=numbers, pages=st.integers(0, 70000))
    def map_foreign(self, which: int, pages: int) -> None:
        self.guest(which).map_foreign(pages)

    @precondition(lambda self: self.guests)
    @rule(which=numbers, key=st.sampled_from(GUEST_KEYS), text=odd_text)
    def guest_writes(self, which: int, key: str, text: str) -> None:
        with suppress(PermissionError):
            self.guest(which).store.guest_write(key, text)

    @precondition(lambda self: self.guests and isinstance(self.toolstack, Qubes))
    @rule(which=numbers)
    def guest_reports_its_use(self, which: int) -> None:
        report_use(self.guest(which))

    @precondition(lambda self: self.guests)
    @rule(which=numbers, mib=st.integers(0, 256))
    def crash(self, which: int, mib: int) -> None:
        domain = self.guest(which)
        with suppress(ValueError):
            domain.crash(mib * MIB)
            self.books[id(domain)] = Books(domain)

    @precondition(lambda self: self.guests)
    @rule(which=numbers, seconds=st.sampled_from([0.001, 0.5, None]))
    def driver_is_slow_or_stuck(self, which: int, seconds: float | None) -> None:
        driver = self.guest(which).driver
        if seconds is None:
            driver.stop()
        else:
            driver.pace = Pace(seconds, seconds)

    @precondition(lambda self: self.guests)
    @rule(which=numbers, name=st.sampled_from(AGENTS))
    def an_agent_looks(self, which: int, name: str) -> None:
        domain = self.guest(which)
        if domain.alive:
            who = self.agents.setdefault(id(domain), agent(name))
            assert who.turn(domain, "timer") >= 0

    @rule(seconds=st.sampled_from([0.01, 0.7, 7.0, 45.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        before_s = self.clock.now_s
        self.clock.run_until(before_s + seconds)
        assert self.clock.now_s == before_s + seconds

    # -- what holds ----------------------------------------------------------------------------

    @invariant()
    def no_page_is_lost(self) -> None:
        for host in getattr(self, "hosts", ()):
            assert host.accounted_pages() == host.total_pages
            assert host.free_pages >= 0

    @invariant()
    def every_guest_adds_up(self) -> None:
        for domain in getattr(self, "guests", ()):
            self.books[id(domain)].check(domain)
            assert all(isinstance(text, str) for text in domain.files().values())


def test_no_sequence_of_host_and_guest_actions_breaks_the_world() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call] # of this hypothesis
        World,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


ASIDE = {
    "name", "release", "guest_writable", "nodes", "memory_nodes", "boot_target_kib",
    "hotplug_max_kib", "upstream_qemu",
}  # fmt: skip
RULES: dict[str, Callable[..., Any]] = {
    "create": World.create,
    "mem_set": World.ask,
    "mem_max": World.ask,
    "migrate": World.migrate,
    "destroy": World.destroy,
    "fill_dom0_keys": World.fill_dom0_keys,
    "set_dynamic_range": World.set_dynamic_range,
    "make_room": World.make_room,
    "room_to_start": World.make_room,
    "soft_reset": World.soft_reset,
    "restart_xenopsd": World.restart_xenopsd,
    "wait_ballooning": World.migrate,
}


def test_every_action_of_a_toolstack_has_a_rule() -> None:
    actions = {
        name
        for kind in (Libxl, Xapi, Qubes, Xend, IgnoresMaxmem)
        for name in dir(kind)
        if not name.startswith("_")
    }
    assert actions - ASIDE == set(RULES)
