# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels out of the ordinary: huge balloon units, no balloon driver at all, a PVH dom0's map."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.boot.map import UNUSABLE
from agent.core.facts.memory_map import SYSTEM_RAM, Region
from agent.core.facts.snapshot import Origin
from agent.core.facts.units import PAGE_KIB
from agent.gather import gather
from agent.sources.system_root import SystemRoot
from agent.sources.xenstore.key_store import CapturedKeys
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.dom0_map import pvh_dom0_map
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.guest.files import BALLOON
from sim_backend.guest.kernel_images import DEBIAN_12, DEBIAN_13, image_of
from sim_backend.host.libxl import Libxl, simple_guest
from sim_backend.stories.agents import AGENTS, agent
from tests.support.simulated_capture import write_capture

HUGE_CMDLINE = "console=hvc0 balloon_hugepages ro"


def huge(memory_mib: int = 512) -> tuple[Libxl, SimulatedDomain]:
    image = image_of("2.6.32-5-xen-amd64", hotplug=False)
    config = GuestConfig(memory_kib=memory_mib * MIB, image=image, cmdline=HUGE_CMDLINE)
    return simple_guest(config)


def counters_kib(domain: SimulatedDomain) -> tuple[int, int, int]:
    driver = domain.driver
    return (
        driver.target_pages * PAGE_KIB,
        driver.current_pages * PAGE_KIB,
        driver.ballooned_pages * PAGE_KIB,
    )


def test_balloon_hugepages_cuts_every_target_to_2_mib() -> None:
    toolstack, domain = huge()
    toolstack.mem_set(domain, 701 * MIB)
    domain.settle()
    assert counters_kib(domain) == (700 * MIB, 700 * MIB, 324 * MIB)
    domain.write_file(f"{BALLOON}/target_kb", str(300 * MIB + 4))
    domain.settle()
    assert counters_kib(domain) == (300 * MIB, 300 * MIB, 724 * MIB)
    assert "with page order 9" in domain.files()["kernel.log"]


def test_balloon_hugepages_starts_from_whole_units_only() -> None:
    """current is nr_pages shifted right by 9, the balloon begins at nr_pages in steps of 512."""
    _, domain = huge(511)
    assert domain.boot.driver.current_pages * PAGE_KIB == 510 * MIB
    assert domain.boot.driver.low_pages * PAGE_KIB == 514 * MIB


def test_a_limit_between_two_huge_units_stops_before_it_and_is_tried_each_second() -> None:
    toolstack, domain = huge()
    toolstack.mem_set(domain, 600 * MIB)
    domain.settle()
    domain.store.write("memory/target", str(800 * MIB))
    domain.clock.run_until(domain.clock.now_s + 1.0)
    before = domain.clock.events_run
    domain.clock.run_until(domain.clock.now_s + 19.0)
    assert domain.current_kib == 600 * MIB  # the limit is 601 MiB
    assert domain.clock.events_run - before == 19


@pytest.mark.parametrize("release", ["2.6.39", "6.1.0"])
def test_later_kernels_do_not_know_the_option(release: str) -> None:
    toolstack, domain = simple_guest(GuestConfig(image=image_of(release), cmdline=HUGE_CMDLINE))
    toolstack.mem_set(domain, 701 * MIB)
    domain.settle()
    assert domain.current_kib == 701 * MIB


WITHOUT_DRIVER = DEBIAN_12._replace(balloon=False)


def test_without_a_driver_nothing_moves_and_no_file_is_there() -> None:
    toolstack, domain = simple_guest(GuestConfig(image=WITHOUT_DRIVER))
    before = domain.memory.managed_kib, domain.reservation.pages
    toolstack.mem_set(domain, 300 * MIB)
    domain.settle()
    assert (domain.memory.managed_kib, domain.reservation.pages) == before
    assert not [path for path in domain.files() if path.startswith(BALLOON)]
    assert "Initialising balloon driver" not in domain.files()["kernel.log"]
    assert domain.snapshot().balloon is None
    with pytest.raises(OSError, match="target_kb"):
        domain.set_target_kib(300 * MIB)
    with pytest.raises(OSError, match="target_kb"):
        domain.write_file(f"{BALLOON}/target_kb", "1")


def test_a_pvh_guest_without_a_driver_dies_when_it_uses_what_xen_does_not_hold() -> None:
    """It sees all of maxmem and never gives the difference back (PoD)."""
    _, domain = simple_guest(GuestConfig("pvh", image=WITHOUT_DRIVER))
    assert domain.memory.managed_kib > 900 * MIB
    domain.change_workload(anon_kib=300 * MIB)
    assert domain.alive
    domain.change_workload(anon_kib=600 * MIB)
    assert not domain.alive


@pytest.mark.parametrize("name", AGENTS)
def test_no_agent_minds_a_guest_without_a_driver(name: str) -> None:
    _, domain = simple_guest(GuestConfig(image=WITHOUT_DRIVER))
    agent(name).turn(domain, "timer")
    assert domain.target_writes == []


def pvh_dom0(release: str) -> SimulatedDomain:
    config = GuestConfig("dom0-pvh", 1024 * MIB, 4096 * MIB, image=image_of(release))
    toolstack, domain = simple_guest(config)
    assert domain.blocks.firmware.oddities == ()
    toolstack.fill_dom0_keys(domain)
    domain.settle()
    return domain


def start_kib(domain: SimulatedDomain) -> int:
    return domain.boot.driver.current_pages * PAGE_KIB


def test_until_6_8_a_pvh_dom0_finds_the_hosts_other_ram_unusable() -> None:
    domain = pvh_dom0("6.1.0")
    kinds = {region.kind for region in domain.blocks.firmware.regions}
    assert UNUSABLE in kinds
    assert domain.boot.unpopulated_pages == 0
    assert 0 <= 1024 * MIB - start_kib(domain) < MIB


def test_6_9_calls_it_ram_and_counts_it_so_the_first_target_costs_dom0_as_much_memory() -> None:
    """The mistake that 87af633689ce fixes: dom0 has 1 GiB, believes in 4, and gives 3 away."""
    domain = pvh_dom0("6.9.0")
    kinds = {region.kind for region in domain.blocks.firmware.regions}
    assert UNUSABLE not in kinds
    beyond_kib = domain.boot.unpopulated_pages * PAGE_KIB
    assert 2900 * MIB < beyond_kib <= 3072 * MIB
    assert start_kib(domain) - beyond_kib == pytest.approx(1024 * MIB, abs=MIB)
    assert domain.driver.target_pages < domain.driver.current_pages
    assert domain.reservation.pages * PAGE_KIB < 300 * MIB


@pytest.mark.parametrize("release", ["6.15.0", "6.19.0", "7.0.0"])
def test_since_6_15_it_is_ram_in_the_map_and_not_counted(release: str) -> None:
    domain = pvh_dom0(release)
    assert domain.boot.unpopulated_pages * PAGE_KIB > 2900 * MIB
    assert start_kib(domain) == pytest.approx(1024 * MIB, abs=MIB)
    assert domain.current_kib == domain.target_kib == pytest.approx(1024 * MIB, abs=MIB)


def test_at_most_ten_times_dom0s_own_ram_is_called_ram() -> None:
    given = (Region(0, 0xFFFFF, SYSTEM_RAM),)
    host = (Region(0, 0x3FFFFFF, SYSTEM_RAM), Region(0x4000000, 0x4000FFF, "Reserved"))
    regions, retyped = pvh_dom0_map(given, host, retyped=True)
    assert retyped == 10 * 256
    assert regions == (
        Region(0, 0xAFFFFF, SYSTEM_RAM),
        Region(0xB00000, 0x3FFFFFF, UNUSABLE),
        host[1],
    )
    untouched, none = pvh_dom0_map(given, host, retyped=False)
    assert (none, untouched[1]) == (0, Region(0x100000, 0x3FFFFFF, UNUSABLE))


def test_the_image_of_a_real_build_has_a_driver() -> None:
    assert DEBIAN_12.balloon
    assert DEBIAN_13.balloon


def test_a_guest_without_a_driver_reads_the_same_through_its_files(tmp_path: Path) -> None:
    _, domain = simple_guest(GuestConfig(image=WITHOUT_DRIVER))
    write_capture(domain, tmp_path)
    root = SystemRoot(str(tmp_path))
    read = gather(root, CapturedKeys(root), Origin("capture", "here"))
    inside = domain.snapshot()
    assert read._replace(origin=inside.origin, sources={}) == inside._replace(sources={})
    assert dict(sorted(read.sources.items())) == dict(sorted(inside.sources.items()))


def test_since_5_9_foreign_pages_are_mapped_over_address_space_and_cost_no_memory() -> None:
    """Seen in dom0 once it had served a guest: 128 MiB of "Xen scratch" above its RAM."""
    _, domain = simple_guest(GuestConfig("dom0-pv", 1024 * MIB, 1536 * MIB))
    before = domain.current_kib, domain.memory.managed_kib
    assert domain.map_foreign(100) == 100
    assert domain.blocks.scratch_pages == 32768
    domain.map_foreign(32768)
    assert domain.blocks.scratch_pages == 2 * 32768
    assert (domain.current_kib, domain.memory.managed_kib) == before
    assert "Xen scratch" in domain.files()["proc/iomem"]


def test_a_crash_kernel_has_mapped_no_foreign_page_yet() -> None:
    _, domain = simple_guest(GuestConfig("pvh", 1024 * MIB, 1024 * MIB))
    domain.map_foreign(40000)
    domain.crash(256 * MIB)
    domain.map_foreign(100)
    assert domain.blocks.scratch_pages == 32768


@pytest.mark.parametrize(
    ("maxmem_mib", "current_below_kib", "ballooned_kib"),
    [(1536, 0, 512 * MIB - 4000), (1024, 4000, 0)],
)
def test_before_5_9_they_are_ballooned_out_and_the_target_stays(
    maxmem_mib: int, current_below_kib: int, ballooned_kib: int
) -> None:
    """The balloon's pages are lent first; when there are none, current is below the target."""
    config = GuestConfig("dom0-pv", 1024 * MIB, maxmem_mib * MIB, image=image_of("4.19.0"))
    _, domain = simple_guest(config)
    assert domain.map_foreign(1000) == 1000
    domain.settle()
    assert counters_kib(domain) == (1024 * MIB, 1024 * MIB - current_below_kib, ballooned_kib)
