# SPDX-License-Identifier: GPL-2.0-or-later
"""Toolstacks keep their contracts: permissions, limits, timing, keys."""

from __future__ import annotations

import pytest

from agent.core.facts.snapshot import DomainType
from agent.core.facts.units import PAGE_KIB
from sim_backend.clock import Clock
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.guest.kernel_images import DEBIAN_13, image_of
from sim_backend.host.libxl import Libxl, ToolstackError, simple_guest
from sim_backend.host.libxl_releases import (
    XEN_4_14,
    XEN_4_17,
    XEN_4_20,
    XEN_MASTER,
    LibxlRelease,
)
from sim_backend.host.other_toolstacks import IgnoresMaxmem, Xend
from sim_backend.host.qubes import Qubes
from sim_backend.host.xapi import Xapi
from sim_backend.hypervisor import Host, OutOfPodMemoryError


def under(kind: type[Libxl], config: GuestConfig | None = None) -> tuple[Libxl, SimulatedDomain]:
    toolstack = kind(Clock(), Host())
    return toolstack, toolstack.create(config or GuestConfig())


@pytest.mark.parametrize(
    ("kind", "path", "allowed"),
    [
        (Libxl, "data/balloon/state", True),
        (Libxl, "attr/PVAddons", True),
        (Libxl, "control/shutdown", True),
        (Libxl, "control/feature-balloon", False),
        (Libxl, "memory/target", False),
        (Libxl, "memory/meminfo", False),
        (Libxl, "dataset", False),
        (Xapi, "control/feature-balloon", True),
        (Xapi, "memory/target", False),
        (Qubes, "memory/meminfo", True),
        (Qubes, "memory/target", False),
    ],
)
def test_what_the_guest_may_write_in_xenstore(kind: type[Libxl], path: str, allowed: bool) -> None:
    _, domain = under(kind)
    assert domain.store.guest_may_write(path) == allowed
    if allowed:
        domain.store.guest_write(path, "1")
        assert domain.store.read(path) == "1"
    else:
        with pytest.raises(PermissionError):
            domain.store.guest_write(path, "1")


def test_libxl_limits_a_domain_to_its_target_and_a_mib() -> None:
    toolstack, domain = under(Libxl)
    assert domain.reservation.max_pages * PAGE_KIB == 513 * MIB
    toolstack.mem_set(domain, 768 * MIB)
    assert domain.reservation.max_pages * PAGE_KIB == 769 * MIB
    toolstack.mem_max(domain, 1536 * MIB)
    assert domain.store.read("memory/static-max") == str(1536 * MIB)
    with pytest.raises(ToolstackError):
        toolstack.mem_max(domain, 512 * MIB)


@pytest.mark.parametrize(("release", "written"), [(XEN_4_14, False), (XEN_4_17, True)])
def test_mem_max_tells_the_guest_since_xen_4_17(release: LibxlRelease, written: bool) -> None:
    toolstack, domain = under(Libxl)
    toolstack.release = release
    toolstack.mem_max(domain, 1536 * MIB)
    assert domain.reservation.max_pages * PAGE_KIB == 1537 * MIB
    assert (domain.store.read("memory/static-max") == str(1536 * MIB)) is written


def test_mem_set_is_measured_without_its_video_memory() -> None:
    toolstack, domain = under(
        Libxl, GuestConfig("hvm", 512 * MIB, 1024 * MIB, videoram_kib=8 * MIB)
    )
    toolstack.mem_set(domain, 1032 * MIB)
    assert domain.store.read("memory/target") == str(1024 * MIB)
    with pytest.raises(ToolstackError):
        toolstack.mem_set(domain, 1033 * MIB)


@pytest.mark.parametrize(("release", "more_kib"), [(XEN_4_20, 1), (XEN_MASTER, 0)])
def test_unset_video_memory_is_a_kib_in_the_first_target_until_xen_4_20(
    release: LibxlRelease, more_kib: int
) -> None:
    toolstack = Libxl(Clock(), Host())
    toolstack.release = release
    config = GuestConfig("pvh", 512 * MIB, 1024 * MIB, videoram_kib=-1)
    assert toolstack.boot_target_kib(config) == 512 * MIB + more_kib


@pytest.mark.parametrize(("kind", "allowed"), [("hvm", True), ("pvh", False)])
def test_an_hvm_guest_owns_the_nodes_of_its_sleep(kind: DomainType, allowed: bool) -> None:
    _, domain = under(Libxl, GuestConfig(kind))
    assert domain.store.guest_may_write("control/feature-s3") is allowed


@pytest.mark.parametrize("broken", ["abc", "²", None])
def test_mem_set_fails_while_the_target_key_is_broken(broken: str | None) -> None:
    toolstack, domain = under(Libxl)
    if broken is None:
        domain.store.remove("memory/target")
    else:
        domain.store.write("memory/target", broken)
    with pytest.raises(ToolstackError):
        toolstack.mem_set(domain, 600 * MIB)
    domain.settle()
    assert domain.target_kib == 512 * MIB


def test_the_fudge_of_an_hvm_guest_is_gone_after_the_first_mem_set() -> None:
    toolstack, domain = under(Libxl, GuestConfig("hvm", 512 * MIB, 1024 * MIB))
    assert domain.store.read("memory/target") == str(511 * MIB)
    toolstack.mem_set(domain, 512 * MIB)
    assert domain.store.read("memory/target") == str(512 * MIB)


@pytest.mark.parametrize("kind", ["pv", "pvh"])
def test_a_host_without_memory_builds_no_domain(kind: DomainType) -> None:
    toolstack = Libxl(Clock(), Host(memory_kib=1024 * MIB))
    toolstack.create(GuestConfig())
    with pytest.raises(ValueError, match="free"):
        toolstack.create(GuestConfig(kind))
    assert toolstack.host.accounted_pages() == toolstack.host.total_pages


def test_a_destroyed_domain_gives_everything_back() -> None:
    toolstack, domain = under(Libxl)
    before_kib = toolstack.host.free_kib
    toolstack.destroy(domain)
    assert toolstack.host.free_kib == before_kib + 512 * MIB
    assert not domain.alive


def test_touching_what_xen_does_not_hold_ends_a_domain_populated_on_demand() -> None:
    host = Host()
    reservation = host.create(1, pages=1000, max_pages=1256, on_demand_pages=500)
    reservation.touch(1000)
    with pytest.raises(OutOfPodMemoryError):
        reservation.touch(1001)


def a_guest_without_a_driver(host: Host) -> tuple[Libxl, SimulatedDomain]:
    """It believes in 1024 MiB, and Xen holds 512 for it."""
    toolstack = Libxl(Clock(), host)
    image = DEBIAN_13._replace(balloon=False)
    domain = toolstack.create(GuestConfig("pvh", 512 * MIB, 1024 * MIB, image=image))
    assert domain.reservation.on_demand_pages > 0
    return toolstack, domain


def test_a_mem_set_backs_what_a_guest_has_on_demand_and_saves_one_without_a_driver() -> None:
    toolstack, domain = a_guest_without_a_driver(Host())
    toolstack.mem_set(domain, 256 * MIB)  # takes nothing away
    assert domain.reservation.pages * PAGE_KIB >= 512 * MIB
    toolstack.mem_set(domain, 1024 * MIB)
    assert domain.reservation.on_demand_pages == 0
    domain.change_workload(anon_kib=800 * MIB)
    assert domain.alive


def test_a_mem_set_that_the_host_cannot_back_fails_and_tells_the_guest_nothing() -> None:
    toolstack, domain = a_guest_without_a_driver(Host(900 * MIB, 256 * MIB))
    before = domain.store.read("memory/target")
    with pytest.raises(ToolstackError, match="the host has no memory"):
        toolstack.mem_set(domain, 1024 * MIB)
    assert domain.store.read("memory/target") == before


def test_squeezed_learns_the_offset_once() -> None:
    _, domain = under(Xapi, GuestConfig("pvh", 512 * MIB, 1024 * MIB))
    assert domain.store.read("memory/memory-offset") is None
    domain.store.guest_write("control/feature-balloon", "0")  # it is the existence that counts
    domain.clock.run_until(domain.clock.now_s + 10.0)
    offset_kib = domain.reservation.pages * PAGE_KIB - 512 * MIB
    assert domain.store.read("memory/memory-offset") == str(offset_kib) == "64"


def test_a_guest_without_feature_balloon_is_left_alone_by_squeezed() -> None:
    toolstack, domain = under(Xapi)
    assert isinstance(toolstack, Xapi)
    toolstack.squeezed.limit_error_kib = MIB
    toolstack.mem_set(domain, 768 * MIB)
    domain.clock.run_until(domain.clock.now_s + 60.0)
    assert domain.store.read("memory/uncooperative") is None


def test_qmemman_prefers_1_3_times_what_the_guest_uses_and_gives_what_is_free() -> None:
    """Nobody else is there, so it has its maximum; memory/target is 16 MiB below what is given."""
    toolstack, domain = under(Qubes, GuestConfig("pvh", 400 * MIB, 4000 * MIB))
    assert isinstance(toolstack, Qubes)
    assert toolstack.qmemman.states[domain.domid].preferred_kib is None
    toolstack.qmemman.balance()
    assert domain.store.read("memory/target") == str(400 * MIB)
    domain.store.guest_write("memory/meminfo", str(500 * MIB))
    assert toolstack.qmemman.states[domain.domid].preferred_kib == 650 * MIB
    assert domain.store.read("memory/target") == str((4000 - 16) * MIB)
    assert domain.store.read("memory/static-max") == str(4000 * MIB)


def test_xend_has_its_own_name_for_static_max() -> None:
    _, domain = under(Xend, GuestConfig("hvm", 512 * MIB, 1024 * MIB))
    assert domain.store.read("memory/static-max") is None
    assert domain.driver.target_offset_pages > 0
    assert domain.target_kib == 512 * MIB - domain.driver.target_offset_pages * PAGE_KIB


def test_a_toolstack_that_forgets_maxmem_builds_a_small_map() -> None:
    _, domain = under(IgnoresMaxmem)
    assert domain.store.read("memory/static-max") == str(1024 * MIB)
    assert domain.blocks.firmware.ram_kib == 512 * MIB - 384


def test_mem_set_below_the_video_memory_is_refused_as_too_much_and_changes_nothing() -> None:
    toolstack, domain = under(Libxl)
    domain.store.write("memory/videoram", str(8 * MIB))
    had = domain.store.read("memory/target"), domain.reservation.max_pages
    for memory_kib in (-5 * MIB, 8 * MIB - 1):
        with pytest.raises(ToolstackError, match="less than or equal to memory_static_max"):
            toolstack.mem_set(domain, memory_kib)
    assert (domain.store.read("memory/target"), domain.reservation.max_pages) == had
    toolstack.mem_set(domain, 8 * MIB)
    assert domain.store.read("memory/target") == "0"


def test_a_migrated_domain_keeps_its_memory_and_its_limit() -> None:
    toolstack, domain = under(Libxl)
    toolstack.mem_set(domain, 768 * MIB)
    domain.settle()
    here, there = domain.host, Host()
    free_kib = there.free_kib
    toolstack.migrate(domain, there)
    assert there.free_kib == free_kib - 768 * MIB
    assert here.accounted_pages() == here.total_pages
    assert domain.reservation.max_pages * PAGE_KIB == 769 * MIB
    assert domain.store.read("domid") == str(domain.domid) != "1"
    domain.settle()
    assert domain.current_kib == 768 * MIB


def test_a_domain_goes_on_at_its_source_where_the_destination_has_no_room() -> None:
    toolstack, domain = under(Libxl)
    here, reservation = domain.host, domain.reservation
    with pytest.raises(ToolstackError, match="the host has no 524288 KiB free"):
        toolstack.migrate(domain, Host(512 * MIB))
    assert toolstack.domains == {1: domain}
    assert here.reservations == {1: reservation}
    toolstack.mem_set(domain, 768 * MIB)
    domain.settle()
    assert domain.current_kib == 768 * MIB


def test_a_domain_saved_and_restored_on_its_own_host_only_changes_its_domid() -> None:
    toolstack, domain = under(Libxl, GuestConfig("pvh", 512 * MIB, 1024 * MIB))
    before = domain.snapshot()
    free_kib = domain.host.free_kib
    toolstack.migrate(domain, domain.host)
    domain.settle()
    after = domain.snapshot()
    assert domain.host.free_kib == free_kib
    assert after.balloon == before.balloon
    assert after.host == before.host
    assert after.domain == before.domain._replace(domid=2)


def test_a_crash_kernel_of_an_old_linux_grabs_for_the_whole_target() -> None:
    """No constant is subtracted: it hot-adds memory until it has what the host asked for."""
    _, domain = simple_guest(GuestConfig("hvm", 512 * MIB, 512 * MIB, image=image_of("4.9.0")))
    domain.crash(128 * MIB)
    domain.settle()
    assert domain.target_kib == 512 * MIB
    assert domain.blocks.hot_added


def test_a_crash_kernel_gives_its_memory_away_when_the_domain_was_ballooned() -> None:
    """The constant is static-max less its own little memory, so the target falls below zero."""
    _, domain = simple_guest(GuestConfig("pvh", 512 * MIB, 1024 * MIB))
    domain.crash(128 * MIB)
    before_kib = domain.current_kib
    domain.settle()
    assert domain.current_kib < before_kib
    assert domain.driver.credit < 0


def test_without_a_target_key_a_crash_kernel_keeps_its_memory() -> None:
    """Which is why xenopsd removes the key before it lets a domain crash into kdump."""
    _, domain = simple_guest(GuestConfig("pvh", 512 * MIB, 1024 * MIB))
    domain.store.remove("memory/target")
    domain.crash(128 * MIB)
    domain.settle()
    assert domain.current_kib == domain.target_kib == 128 * MIB


def test_hot_added_memory_of_linux_6_12_comes_online_by_itself() -> None:
    toolstack, domain = under(Libxl, GuestConfig(image=DEBIAN_13))
    toolstack.mem_set(domain, 600 * MIB)
    domain.settle()
    assert domain.current_kib == 600 * MIB
    assert domain.driver.ballooned_pages * PAGE_KIB == (640 - 600) * MIB
    assert [hex(region.start) for region in domain.blocks.hot_added] == ["0x100000000"]
