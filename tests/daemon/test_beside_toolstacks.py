# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon beside the toolstacks, over hours of virtual time.

The daemon's loop is the real one, the toolstacks are the models that answer as the real programs
were recorded (tests/recordings).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.core.policy.settings import PolicySettings
from sim_backend.clock import Clock
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.guest.driver import Pace
from sim_backend.guest.memory import Workload
from sim_backend.host.libxl import Libxl
from sim_backend.host.qubes import Qubes, report_use
from sim_backend.host.xapi import Xapi
from sim_backend.hypervisor import Host
from tests.support.virtual_daemon import VirtualDaemon

XEN_KIB = 256 * MIB
FEATURE, UPDATED = "control/feature-balloon", "data/updated"
OFFSET, MARK, TARGET = "memory/memory-offset", "memory/uncooperative", "memory/target"
SLOW = Pace(populate_s=0.25, release_s=0.25)  # 8 MiB a second
FAST = Pace(populate_s=0.002, release_s=0.002)  # a GiB a second, as without emulation
FOLLOW = PolicySettings()


def number(domain: SimulatedDomain, key: str) -> int:
    text = domain.store.read(key)
    assert text is not None, key
    return int(text)


def run(toolstack: Libxl, seconds: float) -> None:
    toolstack.clock.run_until(toolstack.clock.now_s + seconds)


def live(daemon: VirtualDaemon, seconds: float) -> None:
    daemon.run(daemon.domain.clock.now_s + seconds)


# --- XAPI: calibration --------------------------------------------------------------------------


def a_moving_guest(kind: Any, to_mib: int) -> tuple[Xapi, SimulatedDomain]:
    """One that takes half a minute to where its host has asked it to be when its daemon starts."""
    xapi = Xapi(Clock(), Host(XEN_KIB + 4096 * MIB, XEN_KIB))
    domain = xapi.create(GuestConfig(kind, 512 * MIB, 1024 * MIB))
    domain.reservation.max_pages = 1024 * MIB // 4
    domain.driver.pace = SLOW
    domain.store.write("memory/dynamic-min", str(256 * MIB))
    domain.store.write("memory/dynamic-max", str(to_mib * MIB))
    domain.store.write(TARGET, str(to_mib * MIB))
    return xapi, domain


@pytest.mark.parametrize(("kind", "to_mib"), [("pv", 768), ("hvm", 768), ("pvh", 300)])
def test_squeezed_takes_its_measure_of_a_guest_at_rest_and_never_marks_it(
    kind: Any, to_mib: int
) -> None:
    _, domain = a_moving_guest(kind, to_mib)
    daemon = VirtualDaemon(domain, FOLLOW)
    marked: list[str] = []
    domain.store.watch(MARK, marked.append)
    daemon.start()
    live(daemon, 15.0)  # squeezed has looked at least once
    assert not {FEATURE, UPDATED, OFFSET} & domain.store.items().keys()
    assert domain.store.read("control/balloon-active") == "1"
    live(daemon, 105.0)
    target_kib, has_kib = number(domain, TARGET), domain.reservation.pages * 4
    assert target_kib == to_mib * MIB
    assert number(domain, OFFSET) == has_kib - target_kib
    assert abs(number(domain, OFFSET)) < MIB
    assert domain.store.read("control/balloon-active") == "0"
    targets: list[str] = []
    domain.store.watch(TARGET, targets.append)
    live(daemon, 3600.0 if kind == "hvm" else 60.0)
    assert (targets, marked) == ([], [])


def test_a_guest_that_never_comes_to_rest_is_never_announced() -> None:
    _, domain = a_moving_guest("pv", 768)
    domain.driver.stop()
    daemon = VirtualDaemon(domain, FOLLOW)
    daemon.start()
    live(daemon, 300.0)
    assert not {FEATURE, UPDATED, OFFSET} & domain.store.items().keys()


def test_a_host_that_takes_the_guest_in_measures_it_anew_and_at_rest() -> None:
    xapi, domain = a_moving_guest("pv", 560)
    daemon = VirtualDaemon(domain, FOLLOW)
    daemon.start()
    live(daemon, 30.0)
    for key in (FEATURE, UPDATED, OFFSET):  # the new host's xenstore knows nothing of it
        domain.store.remove(key)
    domain.store.write(TARGET, str(400 * MIB))
    xapi.migrate(domain, domain.host)
    live(daemon, 10.0)
    assert not {FEATURE, UPDATED} & domain.store.items().keys()
    live(daemon, 120.0)
    assert {FEATURE, UPDATED} <= domain.store.items().keys()


def test_a_save_is_kept_waiting_from_the_moment_the_host_asks() -> None:
    xapi, daemon, _ = neighbours()
    domain = daemon.domain
    assert xapi.wait_ballooning(domain) == 0.0
    xapi.set_dynamic_range(domain, 400 * MIB, 400 * MIB)
    live(daemon, 0.5)
    assert domain.store.read("control/balloon-active") == "1"
    live(daemon, 60.0)
    assert domain.store.read("control/balloon-active") == "0"


# --- XAPI: beside a neighbour, and at the end ---------------------------------------------------


def neighbours() -> tuple[Xapi, VirtualDaemon, SimulatedDomain]:
    """Two guests that share what their host has left; one of them has the daemon."""
    xapi = Xapi(Clock(), Host(XEN_KIB + 1460 * MIB, XEN_KIB))
    ours = xapi.create(GuestConfig("pvh", 512 * MIB, 1024 * MIB))
    theirs = xapi.create(GuestConfig("pvh", 512 * MIB, 1024 * MIB))
    daemon = VirtualDaemon(ours, FOLLOW)
    daemon.start()
    live(daemon, 15.0)
    theirs.store.guest_write(FEATURE, "1")
    for domain in (ours, theirs):
        xapi.set_dynamic_range(domain, 256 * MIB, 1024 * MIB)
    live(daemon, 60.0)
    return xapi, daemon, theirs


def test_a_neighbour_that_starts_gets_its_memory_from_both() -> None:
    xapi, daemon, theirs = neighbours()
    before_kib = [number(domain, TARGET) for domain in (daemon.domain, theirs)]
    request = xapi.squeezed.reserve(256 * MIB)
    live(daemon, 60.0)
    assert request.done
    assert request.error is None
    after_kib = [number(domain, TARGET) for domain in (daemon.domain, theirs)]
    assert all(after < before - 100 * MIB for after, before in zip(after_kib, before_kib))
    assert daemon.domain.store.read(MARK) is None


@pytest.mark.parametrize("end", [VirtualDaemon.purge, VirtualDaemon.stop])
def test_after_the_agent_the_hosts_accounts_are_as_with_it(
    end: Callable[[VirtualDaemon], None],
) -> None:
    """Taken back, consent would lay idle for this guest what squeezed had taken from it."""
    xapi, daemon, theirs = neighbours()
    daemon.domain.store.write("memory/initial-reservation", str(1011 * MIB))
    before = [number(domain, TARGET) for domain in (daemon.domain, theirs)], xapi.host.free_kib
    end(daemon)
    run(xapi, 3600.0)
    assert ([number(d, TARGET) for d in (daemon.domain, theirs)], xapi.host.free_kib) == before
    xapi.set_dynamic_range(theirs, 512 * MIB, 1024 * MIB)
    run(xapi, 60.0)
    assert number(theirs, TARGET) > before[0][1]  # the one without an agent still gives
    below = [key for key in daemon.domain.store.items() if key.startswith("data/balloon/")]
    assert (below == []) is (end is VirtualDaemon.purge)


def test_a_restart_changes_nothing_for_the_host() -> None:
    _, daemon, _ = neighbours()
    kept = ("data/meminfo_total", "data/meminfo_free", FEATURE, OFFSET, TARGET)
    before = {key: daemon.domain.store.read(key) for key in kept}
    assert None not in before.values()
    for _ in range(3):
        daemon.stop()
        assert {key: daemon.domain.store.read(key) for key in kept} == before
        daemon.start()
        live(daemon, 30.0)
    assert {key: daemon.domain.store.read(key) for key in kept} == before


def test_a_guest_that_gives_back_by_itself_is_marked_by_squeezed() -> None:
    xapi = Xapi(Clock(), Host(XEN_KIB + 2048 * MIB, XEN_KIB))
    workload = Workload(anon_kib=150 * MIB)
    domain = xapi.create(GuestConfig("pvh", 1024 * MIB, 1024 * MIB, workload=workload))
    xapi.set_dynamic_range(domain, 512 * MIB, 1024 * MIB)
    daemon = VirtualDaemon(domain, PolicySettings(mode="self"))
    daemon.start()
    live(daemon, 600.0)
    assert domain.current_kib < 768 * MIB
    assert domain.store.read(MARK) is not None
    assert abs(number(domain, OFFSET)) < MIB  # and yet it was measured where the host wanted it


# --- Qubes --------------------------------------------------------------------------------------


def a_qube(anon_mib: int, total_mib: int, swap_mib: int = 0) -> tuple[Qubes, SimulatedDomain]:
    """400 MiB of at most 4000: its map alone costs the kernel much, which MemTotal leaves out."""
    qubes = Qubes(Clock(), Host(XEN_KIB + total_mib * MIB, XEN_KIB))
    workload = Workload(anon_kib=anon_mib * MIB)
    config = GuestConfig("pvh", 400 * MIB, 4000 * MIB, workload=workload, swap_kib=swap_mib * MIB)
    domain = qubes.create(config)
    domain.driver.pace = FAST
    return qubes, domain


def squeezed_for_another(reports: Callable[[SimulatedDomain], None] | None) -> SimulatedDomain:
    """What becomes of a qube when a large VM starts beside it; None: the daemon reports."""
    qubes, domain = a_qube(anon_mib=150, total_mib=1400)
    daemon = VirtualDaemon(domain, FOLLOW, "qubes")
    if reports is None:
        daemon.start()
    else:
        reports(domain)

    def pass_time(seconds: float) -> None:
        if reports is None:
            live(daemon, seconds)
        else:
            run(qubes, seconds)

    pass_time(60.0)
    assert domain.current_kib > 1000 * MIB  # alone it has nearly everything
    room = qubes.qmemman.ask({domain.domid: 0})  # down to what it prefers
    pass_time(60.0)
    assert room.granted is not None
    return domain


def report_what_is_not_available(domain: SimulatedDomain) -> None:
    """MemTotal less MemAvailable: a figure without the kernel's own memory."""

    def report() -> None:
        memory = domain.memory.reading()
        used_kib = memory.total_kib - memory.available_kib
        domain.store.guest_write("memory/meminfo", str(used_kib))

    domain.clock.every(1.0, report)


def test_a_qube_that_leaves_out_what_the_kernel_needs_is_squeezed_until_programs_are_killed() -> (
    None
):
    qube = squeezed_for_another(report_what_is_not_available)
    assert qube.current_kib < squeezed_for_another(report_use).current_kib - 64 * MIB
    assert qube.memory.oom_kills


def test_a_qube_that_is_squeezed_keeps_what_it_needs_as_with_the_real_writer() -> None:
    real, ours = squeezed_for_another(report_use), squeezed_for_another(None)
    assert ours.current_kib == pytest.approx(real.current_kib, abs=16 * MIB)
    assert ours.memory.oom_kills == real.memory.oom_kills == 0
    assert ours.memory.available_kib > 32 * MIB


def test_a_leak_is_told_in_time_and_fed_as_long_as_the_host_has_anything() -> None:
    qubes, domain = a_qube(anon_mib=100, total_mib=2400)
    daemon = VirtualDaemon(domain, FOLLOW, "qubes")
    daemon.start()
    live(daemon, 30.0)
    qubes.make_room(1800 * MIB)
    live(daemon, 10.0)
    for second in range(10):
        anon_kib = (100 + 40 * (second + 1)) * MIB
        domain.change_workload(anon_kib=anon_kib)
        live(daemon, 1.0)
    live(daemon, 30.0)
    assert domain.memory.oom_kills == 0
    assert domain.alive


def test_a_stop_leaves_the_qube_its_figure_and_a_purge_leaves_it_in_peace() -> None:
    qubes, domain = a_qube(anon_mib=100, total_mib=2400)
    daemon = VirtualDaemon(domain, FOLLOW, "qubes")
    daemon.start()
    live(daemon, 30.0)
    said = domain.store.read("memory/meminfo")
    for _ in range(2):
        daemon.stop()
        assert domain.store.read("memory/meminfo") == said
        daemon.start()
        live(daemon, 30.0)
        assert domain.store.read("memory/meminfo") == said
    daemon.purge()
    run(qubes, 5.0)
    assert domain.store.read("memory/meminfo") == "stopped"
    assert qubes.qmemman.states[domain.domid].preferred_kib is None
    target_kib = number(domain, TARGET)
    qubes.qmemman.balance()
    run(qubes, 600.0)
    assert number(domain, TARGET) == target_kib


def test_what_a_qube_gives_back_by_itself_nobody_else_gets() -> None:
    qubes, domain = a_qube(anon_mib=100, total_mib=2400)
    settings = PolicySettings(mode="self")
    daemon = VirtualDaemon(domain, settings, "qubes")
    daemon.start()
    live(daemon, 20.0)
    qubes.qmemman.refresh()
    before_kib = qubes.qmemman.free_kib()
    live(daemon, 600.0)
    assert domain.current_kib < number(domain, TARGET) - 256 * MIB
    qubes.qmemman.refresh()
    assert qubes.host.free_kib > 256 * MIB
    assert qubes.qmemman.free_kib() == pytest.approx(before_kib, abs=16 * MIB)


def test_beside_qubes_own_writer_the_daemon_reports_nothing() -> None:
    qubes, domain = a_qube(anon_mib=100, total_mib=2400)
    report_use(domain)
    run(qubes, 5.0)
    daemon = VirtualDaemon(domain, FOLLOW, "qubes")
    daemon.start()
    for mib in (100, 300, 150, 400):
        domain.change_workload(anon_kib=mib * MIB)
        live(daemon, 20.0)
    assert daemon.daemon._reporter.publisher.sent.get("memory/meminfo") is None
    said = [text for _, text in daemon.lines.lines if "memory/meminfo is left alone" in text]
    assert len(said) == 1
    woken = daemon.sleep.count
    live(daemon, 60.0)
    assert daemon.sleep.count - woken < 10  # and it looks no more
