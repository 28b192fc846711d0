# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds in every whole run of the daemon, whatever goes wrong and when.

I1  no target is written that takes the guest below its floor, or above static-max.
I2  at most one target is written per cooldown.
I3  every turn ends in a report; what goes wrong never leaves it.
I4  what is kept and what is sent is bounded, whatever the peers do.
I5  a turn ends within its deadline, and the watchdog's ping needs a good one.
I7  mode observe writes nothing to the kernel.
I8  the journal gets a bounded number of lines, and xenstore a bounded number of writes.
(I6, the same situation gives the same decision: tests/core/policy/test_policy_invariants.py.)
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from agent.core.policy.settings import MODES, PolicySettings
from agent.daemon.key_table import KEYS
from agent.daemon.link import REQUEST_S
from agent.daemon.record import KEPT
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.guest.kernel_images import DEBIAN_11, DEBIAN_12, DEBIAN_13
from sim_backend.host.libxl import Libxl, simple_guest
from sim_backend.hypervisor import Host
from tests.support.virtual_daemon import PING_S, VirtualDaemon

MIB = 1024
LASTS_S = 300.0
MOST_LINES_A_MINUTE = 60
MOST_WRITES_A_MINUTE = 600
GARBAGE = ("", "abc", "-1", "0x80000", "1e6", " 524288", "9" * 40, "0", "1", str(2**64 - 1), "\0")
XEN = "sys/devices/system/xen_memory/xen_memory0"
NONSENSE = st.sampled_from([b"", b"x" * 100, b"-5\n", b"\xff\xfe", b"MemTotal: many\n"])

FAULTS: dict[str, st.SearchStrategy[Any]] = {
    "host-asks": st.integers(100, 1100),
    "host-writes-garbage": st.sampled_from(GARBAGE),
    "host-removes-target": st.none(),
    "host-storms": st.integers(50, 2000),
    "static-max": st.sampled_from([*GARBAGE, str(768 * MIB), str(1024 * MIB)]),
    "xenstored-silent": st.booleans(),
    "xenstored-closes": st.none(),
    "xenstored-refuses": st.sampled_from(["EACCES", "EQUOTA", None]),
    "writes-denied": st.booleans(),
    "writes-fail": st.sampled_from([errno.EIO, errno.ENODEV, None]),
    "pressure-vanishes": st.booleans(),
    "files-garbled": NONSENSE,
    "no-memory-for-a-look": st.booleans(),
    "run-is-full": st.booleans(),
    "machine-slept": st.floats(2.0, 3600.0),
    "clock-stands-still": st.none(),
    "resumed-elsewhere": st.none(),
    "host-is-full": st.booleans(),
    "workload": st.integers(0, 700),
    "by-hand": st.integers(0, 2000),
    "daemon-restarts": st.none(),
}
schedules = st.lists(
    st.tuples(
        st.floats(0, LASTS_S - 60),
        st.sampled_from(sorted(FAULTS)).flatmap(
            lambda kind: st.tuples(st.just(kind), FAULTS[kind])
        ),
    ),
    max_size=20,
)
policy_fields: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(MODES),
        "floor_kib": st.none() | st.integers(100, 600).map(lambda mib: mib * MIB),
        "cooldown_s": st.sampled_from([0.5, 1.0, 5.0]),
        "self_interval_s": st.sampled_from([1.0, 10.0]),
        "self_calm_s": st.sampled_from([5.0, 60.0]),
    }
)
guests = st.fixed_dictionaries(
    {
        "domain_type": st.sampled_from(["pv", "pvh", "hvm"]),
        "image": st.sampled_from([DEBIAN_11, DEBIAN_12, DEBIAN_13]),
    }
)


class Run:
    """A daemon, its guest, and a plan of what goes wrong."""

    def __init__(self, policy: PolicySettings, profile: str = "auto", **guest: Any) -> None:
        self.toolstack: Libxl
        self.toolstack, domain = simple_guest(**guest)
        self.policy = policy
        self.virtual = VirtualDaemon(domain, policy, profile)
        self.began_s = domain.clock.now_s
        self.afresh_s: list[float] = []
        self.misled = False

    def at(self, when_s: float, action: Callable[[], Any]) -> None:
        self.virtual.domain.clock.at(self.began_s + when_s, action)

    def plan(self, when_s: float, kind: str, value: Any) -> None:
        happens: Callable[[Any], None] = getattr(self, "_" + kind.replace("-", "_"))
        self.at(when_s, lambda: happens(value) if self.domain.alive else None)

    @property
    def domain(self) -> SimulatedDomain:
        return self.virtual.domain

    def _host_asks(self, mib: int) -> None:
        self.domain.store.write("memory/target", str(mib * MIB))

    def _host_writes_garbage(self, text: str) -> None:
        self.domain.store.write("memory/target", text)

    def _host_removes_target(self, _: None) -> None:
        self.domain.store.remove("memory/target")

    def _host_storms(self, events: int) -> None:
        for number in range(events):
            self.domain.store.write("memory/target", str((500 + number % 2) * MIB))

    def _static_max(self, text: str) -> None:
        self.domain.store.write("memory/static-max", text)

    def _xenstored_silent(self, silent: bool) -> None:
        self.virtual.session.silent = silent

    def _xenstored_closes(self, _: None) -> None:
        self.virtual.session.hang_up()

    def _xenstored_refuses(self, name: str | None) -> None:
        self.virtual.session.refusal = name

    def _writes_denied(self, denied: bool) -> None:
        self.virtual.root.refusal = errno.EPERM if denied else None

    def _writes_fail(self, number: int | None) -> None:
        self.virtual.root.refusal = number

    def _pressure_vanishes(self, gone: bool) -> None:
        missing = self.virtual.root.missing
        (missing.add if gone else missing.discard)("proc/pressure/memory")
        self.virtual.sleep.has_pressure_trigger = not gone

    def _files_garbled(self, content: bytes) -> None:
        self.misled = True
        self.virtual.root.garbage = {"proc/meminfo": content, f"{XEN}/retry_count": content}

    def _no_memory_for_a_look(self, none: bool) -> None:
        self.virtual.root.breaks = none

    def _run_is_full(self, full: bool) -> None:
        self.virtual.files.full = full

    def _machine_slept(self, for_s: float) -> None:
        self.virtual.sleep_gap_s += for_s
        self.afresh_s.append(self.domain.clock.now_s)

    def _clock_stands_still(self, _: None) -> None:
        for _look in range(5):
            if self.virtual.runs:
                self.virtual.daemon.turn({"timer"})

    def _resumed_elsewhere(self, _: None) -> None:
        self.toolstack.migrate(self.domain, Host())
        self.afresh_s.append(self.domain.clock.now_s)

    def _host_is_full(self, full: bool) -> None:
        host = self.domain.host
        (host.take_for_another if full else host.return_from_another)(1 << 40)

    def _workload(self, mib: int) -> None:
        self.domain.change_workload(anon_kib=mib * MIB)

    def _by_hand(self, mib: int) -> None:
        self.domain.driver.set_target_pages(mib * 256)

    def _daemon_restarts(self, _: None) -> None:
        self.virtual.restart()
        self.afresh_s.append(self.domain.clock.now_s)

    def play(self) -> None:
        self.virtual.start()
        self.virtual.run(self.began_s + LASTS_S)


def decisions_of(run: Run) -> list[dict[str, Any]]:
    return run.virtual.daemon._reporter.log.as_objects()


def check_writes(run: Run) -> None:
    writes = run.virtual.root.writes
    had_kib = 0
    for write in writes:
        had_kib = max(write.current_kib, had_kib)
        protects = write.aimed_kib < write.target_kib <= had_kib
        if not run.misled:  # it judges by what the kernel's files say
            assert write.target_kib >= write.lowest_kib or protects
        # A maximum that was lowered in this moment is not heard yet; a step down is a step to it.
        nearer = write.target_kib < write.aimed_kib
        most_kib = write.static_max_kib
        assert most_kib is None or write.target_kib <= most_kib or protects or nearer
        assert write.target_kib % 4 == 0
        had_kib = write.target_kib
    for earlier, later in zip(writes, writes[1:]):
        protects = later.aimed_kib < later.target_kib <= max(later.current_kib, earlier.target_kib)
        assert protects or later.when_s - earlier.when_s >= run.policy.cooldown_s - 1e-6
    if run.policy.mode == "observe":
        assert run.virtual.root.all_writes == 0


def check_bounds(run: Run) -> None:
    virtual = run.virtual
    reporter = virtual.daemon._reporter
    assert len(reporter.log.as_objects()) <= KEPT
    assert len(reporter.publisher.sent) <= len(KEYS)
    assert len(virtual.lines._said) <= 256
    assert virtual.session.largest <= 64
    assert virtual.files.largest <= 64 * 1024
    assert virtual.session.written <= MOST_WRITES_A_MINUTE * LASTS_S / 60
    minutes = [int(when_s // 60) for when_s, _ in virtual.lines.lines]
    assert max((minutes.count(minute) for minute in minutes), default=0) <= MOST_LINES_A_MINUTE


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink a run takes for ever
)
@given(guest=guests, fields=policy_fields, schedule=schedules)
def test_the_promises_hold_in_every_run_of_the_daemon(
    guest: dict[str, Any],
    fields: dict[str, Any],
    schedule: list[tuple[float, tuple[str, Any]]],
) -> None:
    run = Run(PolicySettings(**fields), **guest)
    for when_s, (kind, value) in schedule:
        run.plan(when_s, kind, value)
    run.play()

    check_writes(run)
    check_bounds(run)
    # A request may be answered late once for each time that xenstored fell silent.
    silences = sum(1 for _, fault in schedule if fault == ("xenstored-silent", True))
    assert run.virtual.longest_turn_s <= (1 + silences) * REQUEST_S + 0.1
    kinds = {kind for _, (kind, _) in schedule}
    if "no-memory-for-a-look" not in kinds:
        assert run.virtual.daemon._failed_turns == 0


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_each_fault_alone_is_over_when_it_is_over(kind: str) -> None:
    """A minute after it the daemon serves as before."""
    undone = {
        "xenstored-silent": False, "xenstored-refuses": None, "writes-denied": False,
        "writes-fail": None, "pressure-vanishes": False, "no-memory-for-a-look": False,
        "run-is-full": False, "host-is-full": False,
    }  # fmt: skip
    values: dict[str, Any] = {
        "host-asks": 400, "host-writes-garbage": "abc", "host-storms": 500,
        "static-max": str(1024 * MIB), "xenstored-refuses": "EQUOTA", "writes-fail": errno.EIO,
        "files-garbled": b"", "machine-slept": 60.0, "workload": 100, "by-hand": 300,
    }  # fmt: skip
    run = Run(PolicySettings(), domain_type="pv")
    run.plan(10.0, kind, values.get(kind, True))
    if kind in undone:
        run.plan(40.0, kind, undone[kind])
    if kind == "files-garbled":
        run.at(40.0, run.virtual.root.garbage.clear)
    run.plan(200.0, "host-asks", 450)
    run.play()

    store = run.virtual.domain.store
    assert store.read("data/balloon/host_target_kb") == str(450 * MIB)
    assert store.read("data/balloon/actual_kb") == str(450 * MIB)
    assert run.virtual.manager.pings[-1] > run.began_s + LASTS_S - 2 * PING_S


def test_a_look_that_fails_all_the_time_feeds_no_watchdog() -> None:
    run = Run(PolicySettings())
    run.plan(10.0, "no-memory-for-a-look", True)
    run.play()
    assert run.virtual.manager.pings == []
    assert run.virtual.daemon._failed_turns > 10


def test_a_limit_that_is_raised_while_it_runs_is_noticed_at_once() -> None:
    run = Run(PolicySettings())
    run.plan(5.0, "static-max", str(768 * MIB))
    run.plan(10.0, "host-asks", 1000)
    run.plan(200.0, "static-max", str(1024 * MIB))
    run.play()

    rules = [(entry["monotonic_s"] - run.began_s, entry["rule"]) for entry in decisions_of(run)]
    assert [rule for when_s, rule in rules if when_s < 199][-1] == "beyond-static-max"
    assert next(when_s for when_s, _ in rules if when_s > 199) < 200.1
    assert rules[-1][1] != "beyond-static-max"


@pytest.mark.parametrize(("profile", "every_s"), [("qubes", 90.0), ("xapi", 60.0)])
def test_what_a_profile_publishes_below_memory_or_data_wakes_nobody(
    profile: str, every_s: float
) -> None:
    run = Run(PolicySettings(), profile)
    run.domain.store.guest_writable |= {"memory/meminfo", "control"}
    run.domain.store.write("memory/meminfo", "")
    for second in range(0, 240, 20):
        run.plan(float(second), "workload", second)
    run.play()

    store = run.domain.store
    key = "memory/meminfo" if profile == "qubes" else "data/meminfo_free"
    assert (store.read(key) or "").isdigit()
    assert (store.read("control/feature-balloon") == "1") is (profile == "xapi")
    assert run.virtual.daemon._turns < LASTS_S / every_s * 1.5 + 20
