# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases worked out from source code, by kernel regime: what each must read.

Symbols as in docs/simulation.md, in pages: E the E820 RAM, C current, B ballooned, U held by
unpopulated-alloc, P present, N0 the boot allocation; XM and XT are static-max and target.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.facts.units import PAGE_KIB
from sim_backend.clock import Clock
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.guest.kernel_images import image_of
from sim_backend.host.libxl import Libxl, simple_guest
from sim_backend.hypervisor import Host

GIB = 1024 * MIB


def pv(release: str, *, hotplug: bool = True, **changes: object) -> tuple[Libxl, SimulatedDomain]:
    image = image_of(release, hotplug=hotplug)
    config = GuestConfig("pv", GIB, 2 * GIB, image=image)
    return simple_guest(replace(config, **changes))  # type: ignore[arg-type]


def pages(domain: SimulatedDomain) -> tuple[int, int, int]:
    """E, C, B."""
    return (
        domain.blocks.firmware.ram_kib // PAGE_KIB,
        domain.driver.current_pages,
        domain.driver.ballooned_pages,
    )


@pytest.mark.parametrize("release", ["2.6.32", "3.6.0", "4.4.0", "4.19.0", "5.4.0", "5.18.0"])
def test_pv_with_the_extra_memory_in_the_balloon(release: str) -> None:
    _, domain = pv(release)
    assert pages(domain) == (524192, 262144, 262144)
    assert domain.driver.target_offset_pages == 0
    regions = [(hex(r.start), hex(r.end)) for r in domain.blocks.firmware.regions]
    assert regions == [("0x0", "0x9ffff"), ("0xa0000", "0xfffff"), ("0x100000", "0x7fffffff")]


@pytest.mark.parametrize("release", ["5.9.0", "5.10.0", "5.16.0", "6.9.0", "6.12.0", "6.19.0"])
def test_pv_with_the_extra_memory_in_unpopulated_alloc(release: str) -> None:
    _, domain = pv(release)
    assert pages(domain) == (524192, 262144, 0)
    assert domain.boot.unpopulated_pages == 262144


def test_such_a_guest_grows_by_a_new_section_and_e_grows_with_it() -> None:
    toolstack, domain = pv("5.16.0")
    toolstack.mem_set(domain, GIB + 64 * MIB)
    domain.settle()
    assert pages(domain)[0] == 524192 + 32768
    assert len(domain.blocks.reading().offline) == 1


def test_without_hotplug_its_target_snaps_back_to_current() -> None:
    toolstack, domain = pv("5.16.0", hotplug=False)
    toolstack.mem_set(domain, GIB + 64 * MIB)
    domain.settle()
    assert domain.target_kib == domain.current_kib == GIB


@pytest.mark.parametrize(
    ("release", "target_kib"), [("3.2.0", 3 * GIB), ("4.2.0", 3 * GIB), ("4.4.0", 2 * GIB)]
)
def test_before_4_4_without_hotplug_the_target_is_left_unmet(release: str, target_kib: int) -> None:
    _, domain = pv(release, hotplug=False)
    domain.reservation.max_pages = 4 * GIB // PAGE_KIB
    domain.store.write("memory/target", str(3 * GIB))
    domain.settle()
    assert (domain.target_kib, domain.current_kib) == (target_kib, 2 * GIB)


def test_6_15_to_6_18_starts_97_pages_short_and_hot_adds_a_section_for_them() -> None:
    _, domain = pv("6.16.0")
    assert domain.boot.driver.current_pages == 262144 - 97
    assert domain.target_kib == GIB
    assert len(domain.blocks.reading().offline) == 1


@pytest.mark.parametrize(
    ("release", "low_pages"),
    [("2.6.39", 262144), ("3.0.1", 262144), ("3.1.0", 256), ("3.2.0", 262144)],
)
def test_only_linux_3_1_ignores_maxmem(release: str, low_pages: int) -> None:
    """d312ae878b6a took the hypervisor's limit of the boot, target and 1 MiB, for the maximum."""
    _, domain = pv(release)
    assert domain.driver.low_pages == low_pages


@pytest.mark.parametrize(
    ("release", "times"), [("2.6.32", 10), ("3.0.0", 10), ("3.2.0", 11), ("6.1.0", 11)]
)
def test_a_map_far_beyond_memory_is_cut(release: str, times: int) -> None:
    _, domain = pv(release, memory_kib=256 * MIB, maxmem_kib=8 * GIB)
    e820, current, ballooned = pages(domain)
    assert e820 + 96 == times * 65536
    assert ballooned == (times - 1) * current


def test_hvm_with_video_memory_balloons_out_a_mib_and_the_video_memory_more() -> None:
    """B = (XM - XT)/4 exactly, whatever P is; P and the offset as the HVM guest of the lab."""
    _, domain = simple_guest(GuestConfig("hvm", GIB, 2 * GIB, videoram_kib=8 * MIB))
    assert domain.store.read("memory/target") == "1039360"
    assert domain.driver.ballooned_pages == 264448
    assert domain.boot.present_pages == 522240 - 99
    assert domain.driver.target_offset_pages == 524288 - domain.boot.present_pages


def test_hvm_without_overcommitment_still_balloons_out_its_video_memory() -> None:
    _, domain = simple_guest(GuestConfig("hvm", 2 * GIB, 2 * GIB, videoram_kib=8 * MIB))
    assert domain.driver.ballooned_pages == 2048


@pytest.mark.parametrize(("release", "uncounted"), [("3.11.0", 1), ("3.13.0", 99)])
def test_until_3_12_an_hvm_driver_counts_the_holes_of_its_map(release: str, uncounted: int) -> None:
    """max_pfn is the end of RAM; get_num_physpages() is what the zones hold."""
    _, domain = simple_guest(GuestConfig("hvm", GIB, GIB, image=image_of(release)))
    assert GIB // PAGE_KIB - domain.boot.driver.current_pages == uncounted


def test_hvm_up_to_4_12_has_no_offset() -> None:
    image = image_of("4.9.0")
    _, domain = simple_guest(GuestConfig("hvm", GIB, 2 * GIB, videoram_kib=8 * MIB, image=image))
    assert domain.driver.target_offset_pages == 0
    assert domain.driver.target_pages == 1039360 // 4 == 259840


def test_pvh_of_qubes_with_400_and_4000_mib() -> None:
    """Seen in users' hypervisor logs: PoD entries 921600."""
    _, domain = simple_guest(GuestConfig("pvh", 400 * MIB, 4000 * MIB))
    assert domain.driver.ballooned_pages == 921600


def test_dom0_has_no_host_target_until_a_toolstack_writes_one() -> None:
    config = GuestConfig("dom0-pv", 4 * GIB, 8 * GIB)
    toolstack, domain = simple_guest(config)
    assert domain.store.read("memory/target") is None
    assert domain.current_kib == domain.target_kib == 4 * GIB
    toolstack.fill_dom0_keys(domain)
    domain.settle()
    assert domain.store.read("memory/static-max") == str(8 * GIB)
    assert domain.driver.target_offset_pages == 0
    assert domain.target_kib == 4 * GIB


@pytest.mark.parametrize(
    ("release", "overstated"), [("2.6.32", 1000), ("3.1.0", 1000), ("3.2.0", 0)]
)
def test_released_pages_stay_in_current_before_3_2(release: str, overstated: int) -> None:
    _, domain = pv(release, released_pages=1000)
    e820, current, ballooned = pages(domain)
    assert e820 + 96 + overstated == current + ballooned
    assert domain.reservation.pages == current - overstated


@pytest.mark.parametrize("release", ["2.6.32", "3.6.0", "4.4.0", "5.4.0"])
def test_an_old_driver_never_gives_up(release: str) -> None:
    toolstack, domain = pv(release)
    toolstack.mem_set(domain, GIB)
    domain.store.write("memory/target", str(2 * GIB))
    domain.clock.run_until(domain.clock.now_s + 600.0)
    assert domain.driver.state == "again"
    assert "gave-up" not in {happening.kind for happening in domain.happenings}
    assert domain.driver.schedule_delay_s == (1 if release == "2.6.32" else 32)
    domain.reservation.max_pages = 2 * GIB // PAGE_KIB
    domain.clock.run_until(domain.clock.now_s + 40.0)
    assert domain.current_kib == 2 * GIB


def test_a_driver_that_gave_up_tries_again_after_an_hour() -> None:
    toolstack, domain = pv("6.1.0")
    toolstack.mem_set(domain, GIB)
    domain.store.write("memory/target", str(2 * GIB))
    domain.clock.run_until(domain.clock.now_s + 60.0)
    assert domain.driver.state == "cancelled"
    domain.reservation.max_pages = 2 * GIB // PAGE_KIB
    domain.clock.run_until(domain.clock.now_s + 3500.0)
    assert domain.current_kib < 2 * GIB
    domain.clock.run_until(domain.clock.now_s + 200.0)
    assert domain.current_kib == 2 * GIB


def test_the_same_target_wakes_nobody_and_another_page_does() -> None:
    """balloon_thread_cond(): a thread that gave up sleeps on while the credit is what it was."""
    toolstack, domain = pv("6.1.0")
    toolstack.mem_set(domain, GIB)
    domain.store.write("memory/target", str(2 * GIB))
    domain.clock.run_until(domain.clock.now_s + 60.0)
    domain.reservation.max_pages = 2 * GIB // PAGE_KIB
    domain.set_target_kib(2 * GIB)
    domain.clock.run_until(domain.clock.now_s + 60.0)
    assert domain.driver.state == "cancelled"
    domain.set_target_kib(2 * GIB - PAGE_KIB)
    domain.clock.run_until(domain.clock.now_s + 60.0)
    assert domain.current_kib == 2 * GIB - PAGE_KIB


def test_too_many_page_structures_for_32_bits_do_not_boot() -> None:
    config = GuestConfig("pv", 512 * MIB, 5632 * MIB, bits=32, image=image_of("3.6.0"))
    assert simple_guest(config)[1].boot.verdict.boots == "yes"
    tiny = GuestConfig("pv", 32 * MIB, 704 * MIB, bits=32, image=image_of("3.6.0"))
    domain = Libxl(Clock(), Host()).create(tiny, settle=False)
    assert domain.boot.verdict.boots == "no"
    assert not domain.alive


def test_a_32_bit_balloon_lies_mostly_in_high_memory() -> None:
    config = GuestConfig("pv", 512 * MIB, 4096 * MIB, bits=32, image=image_of("3.6.0"))
    _, domain = simple_guest(config)
    assert domain.driver.low_pages * PAGE_KIB == (727 - 512) * MIB
    assert domain.driver.high_pages * PAGE_KIB == (4096 - 727) * MIB
