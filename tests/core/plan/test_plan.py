# SPDX-License-Identifier: GPL-2.0-or-later
"""What `plan` says of guests that nobody has booted yet."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.facts.kernel_regimes import REGIMES
from agent.core.facts.kernel_release import KernelRelease, bits_of, is_own_build
from agent.core.facts.snapshot import DomainType
from agent.core.plan.config import plan_config
from agent.core.plan.limits import plan_limits
from agent.core.plan.plan import Plan, plan
from agent.core.plan.request import MOST_KIB, PlanError, PlanRequest, check_request

MIB = 1024
LINUX_6_1 = KernelRelease(6, 1)
LINUX_6_12 = KernelRelease(6, 12)


def a_plan(
    memory_mib: int,
    maxmem_mib: int,
    domain_type: DomainType = "pv",
    kernel: KernelRelease = LINUX_6_1,
    **more: Any,
) -> Plan:
    return plan(PlanRequest(domain_type, memory_mib * MIB, maxmem_mib * MIB, kernel, **more))


def codes(made: Plan) -> list[str]:
    return [limit.code for limit in plan_limits(made)]


@pytest.mark.parametrize(
    ("kernel", "reach_mib"),
    [((2, 6, 32), 2560), ((3, 0), 2560), ((3, 1), 257), ((3, 2), 2816), ((6, 12), 2816)],
)
def test_how_much_of_maxmem_the_map_keeps_depends_on_the_kernel(
    kernel: tuple[int, ...], reach_mib: int
) -> None:
    made = a_plan(256, 8192, kernel=KernelRelease(*kernel))
    assert made.reachable_max_kib == reach_mib * MIB
    assert "maxmem-unreachable" in codes(made)


@pytest.mark.parametrize(
    ("kernel", "domain_type", "bits", "most_gib"),
    [
        ((4, 2), "pv", 64, 500),
        ((4, 2), "dom0-pv", 64, 500),
        ((4, 3), "pv", 64, 512),
        ((4, 3), "pvh", 64, 1 << 20),
        ((4, 3), "dom0-pv", 64, 1 << 20),
        ((4, 2), "pv", 32, 64),
        ((6, 1), "pvh", 32, 64),
    ],
)
def test_a_kernel_maps_no_more_than_it_was_built_for(
    kernel: tuple[int, ...], domain_type: Any, bits: int, most_gib: int
) -> None:
    request = PlanRequest(domain_type, 1024 * MIB, 1024 * MIB, KernelRelease(*kernel), bits)
    assert request.most_kib == most_gib * 1024 * MIB


@pytest.mark.parametrize(
    ("kernel", "domain_type", "holder"),
    [
        ((5, 17), "pv", "unpopulated-alloc"),
        ((5, 18), "pv", "balloon"),
        ((6, 1), "pv", "balloon"),
        ((6, 12), "pv", "unpopulated-alloc"),
        ((6, 12), "pvh", "balloon"),
    ],
)
def test_who_gets_the_memory_beyond_depends_on_the_kernel(
    kernel: tuple[int, ...], domain_type: Any, holder: str
) -> None:
    assert a_plan(512, 1024, domain_type, KernelRelease(*kernel)).holder == holder


@pytest.mark.parametrize("kernel", [(2, 6, 32), (3, 1), (6, 12)])
def test_what_a_cut_map_advises_fixes_it(kernel: tuple[int, ...]) -> None:
    release = KernelRelease(*kernel)
    cut = plan_limits(a_plan(256, 8192, kernel=release))
    fix = next(limit.fix for limit in cut if limit.code == "maxmem-unreachable")
    memory_mib, maxmem_mib = (int(size) for size in re.findall(r"(\d+)M", fix))
    for fixed in (
        a_plan(memory_mib, 8192, kernel=release),
        a_plan(256, maxmem_mib, kernel=release),
    ):
        assert "maxmem-unreachable" not in codes(fixed)


@pytest.mark.parametrize("domain_type", ["pvh", "hvm"])
def test_the_map_of_pvh_and_hvm_is_never_cut(domain_type: DomainType) -> None:
    made = a_plan(256, 8192, domain_type)
    assert made.host_reachable_max_kib == 8192 * MIB
    assert "maxmem-unreachable" not in codes(made)


def test_an_old_kernel_cannot_get_beyond_its_map() -> None:
    made = a_plan(256, 8192, kernel=KernelRelease(2, 6, 32))
    assert made.hot_add_max_kib is None
    assert plan_limits(made)[0].severity == "warning"


def test_128_mib_with_a_maximum_of_4_gib_is_risky_as_it_was_seen_to_be() -> None:
    """MemTotal was 53592 KiB; the guest came up and could hardly run a program."""
    made = a_plan(128, 4096)
    assert made.boots == "risky"
    assert made.mem_total_kib == pytest.approx(53592, rel=0.01)
    assert codes(made)[0] == "memory-too-small"


def test_a_pvh_guest_whose_page_structures_eat_its_memory_does_not_boot() -> None:
    made = a_plan(256, 16384, "pvh")
    assert made.boots == "no"
    assert plan_limits(made)[0].severity == "critical"
    assert plan_limits(made)[0].fix == "raise memory, or lower maxmem (now 16 GiB)"


def test_a_32_bit_kernel_does_not_fit_a_large_map_into_low_memory() -> None:
    kernel = KernelRelease(4, 19)
    assert a_plan(2048, 16384, kernel=kernel, bits=32).boots == "yes"
    made = a_plan(32768, 131072, kernel=kernel, bits=32)
    assert made.boots == "no"
    assert codes(made)[0] == "low-memory-32bit"
    assert plan_limits(made)[0].fix == "lower maxmem, or take a 64-bit kernel"


def test_a_pv_guest_maps_512_gib_at_most_unless_it_is_told_otherwise() -> None:
    made = a_plan(128 * 1024, 1024 * 1024)
    assert made.reachable_max_kib == 512 * 1024 * MIB
    assert made.hot_add_max_kib == 512 * 1024 * MIB
    limit = next(limit for limit in plan_limits(made) if limit.code == "maxmem-unreachable")
    assert limit.severity == "warning"
    assert "xen_512gb_limit=0" in limit.fix
    large = a_plan(600 * 1024, 600 * 1024)
    assert large.current_kib == 512 * 1024 * MIB
    of_large = next(limit for limit in plan_limits(large) if limit.code == "maxmem-unreachable")
    assert of_large.fix.endswith("or lower memory and maxmem to 524288M")
    assert limit.fix.endswith("or lower maxmem to 524288M")
    assert "maxmem-unreachable" not in codes(a_plan(512 * 1024, 512 * 1024))


@pytest.mark.parametrize(
    ("domain_type", "kernel", "reach_gib"),
    [
        ("dom0-pv", LINUX_6_1, 1024),
        ("pvh", LINUX_6_1, 1024),
        ("dom0-pv", KernelRelease(4, 2), 500),
        ("pv", KernelRelease(4, 2), 500),
        ("pv", KernelRelease(4, 3), 512),
    ],
)
def test_which_kernels_map_more_than_500_gib(
    domain_type: DomainType, kernel: KernelRelease, reach_gib: int
) -> None:
    made = a_plan(1024 * 1024, 1024 * 1024, domain_type, kernel=kernel)
    assert made.reachable_max_kib // (1024 * MIB) in (reach_gib, reach_gib - 1)


def test_32_bits_address_64_gib() -> None:
    made = a_plan(8192, 131072, "dom0-pv", kernel=KernelRelease(4, 19), bits=32)
    assert made.reachable_max_kib == 64 * 1024 * MIB
    with pytest.raises(PlanError, match="take --arch x86_64"):
        a_plan(8192, 131072, "hvm", kernel=LINUX_6_1, bits=32)


def test_a_large_hole_for_devices_moves_memory_beyond_4_gib() -> None:
    """Seen: HVM 640/1024 MiB with mmio_hole=3584 had 523324 KiB of MemTotal."""
    made = a_plan(640, 1024, "hvm", mmio_hole_kib=3584 * MIB)
    assert made.firmware.top == (4 << 30) + (512 << 20)
    assert made.cost_kib("swiotlb") == 66304
    assert made.mem_total_kib == pytest.approx(523324, rel=0.0005)
    assert "mmio_hole = 3584" in plan_config(made.request).xl
    assert not [line for line in plan_config(a_plan(640, 1024, "hvm").request).xl if "hole" in line]


@pytest.mark.parametrize(
    "text", ["6.1", "6.1.0-56-amd64", "6.12.74+deb13-amd64", "6.12.9+bpo-cloud-amd64", "7.2.13"]
)
def test_debians_kernels_were_measured(text: str) -> None:
    assert not is_own_build(text)


@pytest.mark.parametrize(
    "text",
    ["6.12.54-1.qubes.fc41.x86_64", "6.12.13-0-lts", "6.1.119-129.201.amzn2023.x86_64",
     "5.10.0-xilinx-v2021.1", "6.1.66-v8-16k"],
)  # fmt: skip
def test_another_distributions_build_of_the_same_series_was_not(text: str) -> None:
    assert is_own_build(text)
    made = a_plan(512, 1024, own_build=True)
    assert not made.measured
    assert "figures-borrowed" in codes(made)


def test_an_hvm_guest_gets_its_video_memory_twice_and_a_mib_less_than_configured() -> None:
    """The sum of drivers/xen/xen-balloon.c and libxl for memory=1024 maxmem=2048 videoram=8."""
    made = a_plan(1024, 2048, "hvm", videoram_kib=8 * MIB)
    assert made.beyond_kib == 2048 * MIB - (1024 - 8 - 1) * MIB
    assert made.current_kib == (1024 - 2 * 8 - 1) * MIB - 396
    assert made.reachable_max_kib == (2048 - 2 * 8) * MIB - 396
    assert made.host_reachable_max_kib == 2048 * MIB
    limit = next(limit for limit in plan_limits(made) if limit.code == "hvm-below-configured")
    assert limit.evidence["less_kib"] == (2 * 8 + 1) * MIB + 396
    assert limit.summary.startswith("The guest gets 17.4 MiB less than memory")


def test_bounce_buffers_are_counted_where_memory_reaches_beyond_4_gib() -> None:
    assert a_plan(1024, 3840, "pvh").cost_kib("swiotlb") == 0
    assert a_plan(1024, 4096, "pvh").cost_kib("swiotlb") > 64 * MIB
    assert a_plan(1024, 4096, "pv").cost_kib("swiotlb") == 0


def test_growing_in_the_unpopulated_regime_is_by_whole_hot_added_sections() -> None:
    made = a_plan(512, 1000, kernel=LINUX_6_12)
    assert made.grows_by_hot_add
    assert "grows-by-hot-add" in codes(made)
    assert [(t.name, t.current_kib // MIB, t.hot_added_kib // MIB) for t in made.targets][1:] == [
        ("boot", 512, 0),
        ("maxmem", 1000, 512),
    ]


def test_a_series_that_was_not_measured_says_so() -> None:
    assert "figures-borrowed" in codes(a_plan(512, 1024, kernel=KernelRelease(6, 6)))
    assert "figures-borrowed" not in codes(a_plan(512, 1024))
    assert "figures-borrowed" in codes(a_plan(512, 1024, "pvh", kernel=LINUX_6_1, bits=32))


def test_a_missing_max_of_dom0_is_priced_where_the_host_is_known() -> None:
    made = a_plan(1024, 1024, "dom0-pv", host_memory_kib=64 * 1024 * MIB)
    limit = next(limit for limit in plan_limits(made) if limit.code == "dom0-unlimited")
    lost_kib = limit.evidence["lost_kib"]
    assert isinstance(lost_kib, int)
    assert lost_kib > 10 * 1024 * MIB * 84 // 4096  # ten GiB more of map, 84 bytes a page
    all_of_it = a_plan(1024, 1024, "dom0-pv", host_memory_kib=1024 * MIB)
    limit = next(limit for limit in plan_limits(all_of_it) if limit.code == "dom0-unlimited")
    assert "lost_kib" not in limit.evidence


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (PlanRequest("pv", 1024 * MIB, 512 * MIB), "raise maxmem to 1024M or lower memory"),
        (PlanRequest("pv", 512 * MIB + 4, 1024 * MIB), "take 512M or 513M"),
        (PlanRequest("pv", 0, 1024 * MIB), "take 64M or more"),
        (
            PlanRequest("hvm", 1024 * MIB, 1024 * MIB, mmio_hole_kib=128 * MIB),
            "is 128 MiB, and xl takes whole MiB from 256M to 3840M.",
        ),
        (PlanRequest("pv", 1 << 50, 1 << 50), "take less"),
        (PlanRequest("pvh", 512 * MIB, 512 * MIB, KernelRelease(4, 4)), "since 4.11"),
        (PlanRequest("pv", 512 * MIB, 512 * MIB, KernelRelease(6, 1), 32), "since 5.9"),
        (PlanRequest("pv", 512 * MIB, 512 * MIB, KernelRelease(5, 9), 32), "since 5.9"),
        (PlanRequest("pv", 512 * MIB, 512 * MIB, KernelRelease(2, 4, 1)), "no Xen balloon"),
        (PlanRequest("pv", 512 * MIB, 512 * MIB, videoram_kib=8), "leave out --videoram"),
        (PlanRequest("hvm", 512 * MIB, 512 * MIB, e820_host=True), "leave out --e820-host"),
        (PlanRequest("hvm", 8 * MIB, 8 * MIB, videoram_kib=8 * MIB), "raise memory"),
        (PlanRequest("dom0-pv", 64 * MIB, 64 * MIB), "at least 128M"),
        (PlanRequest("pv", 512 * MIB, 512 * MIB, host_memory_kib=1), "leave it out"),
        (PlanRequest("dom0-pv", 512 * MIB, 512 * MIB, host_memory_kib=1), "lower maxmem"),
    ],
)
def test_what_is_no_guest_is_refused_in_a_sentence_with_the_way_out(
    request_: PlanRequest, words: str
) -> None:
    with pytest.raises(PlanError) as refused:
        plan(request_)
    assert words in str(refused.value)
    assert str(refused.value).endswith(".")


def test_the_lines_to_paste_are_those_of_each_toolstack() -> None:
    guest = plan_config(PlanRequest("hvm", 512 * MIB, 1024 * MIB, videoram_kib=8 * MIB, cpus=2))
    assert guest.xl == (
        'type = "hvm"',
        "memory = 512",
        "maxmem = 1024",
        "videoram = 8",
        "vcpus = 2",
    )
    assert guest.xe[0].endswith("dynamic-min=512MiB dynamic-max=1024MiB static-max=1024MiB")
    assert not any("vcpus" in line for line in plan_config(PlanRequest("pv", MIB, MIB)).xl)
    dom0 = plan_config(PlanRequest("dom0-pv", 512 * MIB, 1024 * MIB))
    assert dom0.xen == ("dom0_mem=512M,max:1024M",)
    assert dom0.xl == ()


sizes = st.integers(128, 1 << 17)


@settings(deadline=None)
@given(
    sizes,
    sizes,
    st.sampled_from(["pv", "pvh", "hvm", "dom0-pv"]),
    st.sampled_from([(5, 10), (6, 1), (6, 12), (7, 2), (5, 16), (4, 19)]),
    st.integers(1, 64),
)
def test_every_plan_adds_up(
    one: int, other: int, domain_type: DomainType, kernel: tuple[int, int], cpus: int
) -> None:
    made = a_plan(min(one, other), max(one, other), domain_type, KernelRelease(*kernel), cpus=cpus)
    assert 0 <= sum(part.kib for part in made.costs) - made.overhead_kib + 4 < 8
    assert made.current_kib + made.beyond_kib == made.reachable_max_kib + made.request.videoram_kib
    assert made.current_kib <= made.reachable_max_kib <= made.request.maxmem_kib
    assert all(t.current_kib - t.mem_total_kib == made.overhead_kib for t in made.targets)
    assert [t.current_kib for t in made.targets] == sorted({t.current_kib for t in made.targets})
    plan_limits(made)


@pytest.mark.parametrize("domain_type", ["pv", "pvh", "hvm"])
def test_the_lowest_target_leaves_just_enough(domain_type: DomainType) -> None:
    videoram_kib = 8 * MIB if domain_type == "hvm" else 0
    made = a_plan(1024, 2048, domain_type, videoram_kib=videoram_kib)
    lowest = made.targets[0]
    assert lowest.name == "lowest"
    assert 64 * MIB <= lowest.mem_total_kib < 65 * MIB
    offset_kib = made.target_offset_kib + videoram_kib
    assert lowest.host_target_kib - offset_kib == lowest.current_kib
    assert lowest.current_kib - made.overhead_kib == lowest.mem_total_kib


@pytest.mark.parametrize(
    ("kernel", "memory_mib", "maxmem_mib", "names"),
    [
        (LINUX_6_1, 1024, 1024, ["lowest", "boot"]),
        (LINUX_6_1, 1024, 2048, ["lowest", "boot", "map"]),
        (LINUX_6_1, 128, 128, ["lowest", "boot"]),
        (LINUX_6_1, 64, 64, ["boot"]),
        (LINUX_6_12, 1024, 2048, ["lowest", "boot", "maxmem"]),
        (LINUX_6_12, 256, 8192, ["lowest", "boot", "maxmem"]),
    ],
)
def test_each_target_is_larger_than_the_one_before_it(
    kernel: KernelRelease, memory_mib: int, maxmem_mib: int, names: list[str]
) -> None:
    made = a_plan(memory_mib, maxmem_mib, kernel=kernel)
    assert [target.name for target in made.targets] == names


def test_a_guest_that_boots_with_the_least_it_can_live_in_has_no_lower_target() -> None:
    least_mib = next(mib for mib in range(64, 256) if a_plan(mib, mib).boots == "yes")
    assert [target.name for target in a_plan(least_mib, least_mib).targets] == ["boot"]
    larger = a_plan(least_mib + 2, least_mib + 2)
    assert [target.name for target in larger.targets] == ["lowest", "boot"]


@pytest.mark.parametrize(
    ("memory_mib", "severity"),
    [(1281, None), (1280, None), (1279, "info"), (640, "info"), (639, "warning")],
)
def test_page_structures_are_told_above_5_percent_and_warned_of_above_10(
    memory_mib: int, severity: str | None
) -> None:
    """A map of 4 GiB takes 64 MiB of them."""
    limits = {limit.code: limit.severity for limit in plan_limits(a_plan(memory_mib, 4096))}
    assert limits.get("page-struct-overhead") == severity


def test_only_what_is_populated_on_demand_can_touch_what_it_was_not_given() -> None:
    assert "pod-gap" in codes(a_plan(512, 1024, "pvh"))
    assert "pod-gap" not in codes(a_plan(1024, 1024, "pvh"))
    assert "pod-gap" not in codes(a_plan(512, 1024, "pv"))


def test_a_maximum_of_just_64_gib_is_not_what_ends_the_map_of_32_bits() -> None:
    made = a_plan(1024, 65536, kernel=KernelRelease(4, 19), bits=32)
    limit = next(limit for limit in plan_limits(made) if limit.code == "maxmem-unreachable")
    assert limit.summary.startswith("Linux keeps at most eleven times memory")


@pytest.mark.parametrize(
    "largest",
    [
        PlanRequest("pvh", MOST_KIB, MOST_KIB),
        PlanRequest("hvm", 4096 * MIB, 4096 * MIB, mmio_hole_kib=3840 * MIB),
        PlanRequest("hvm", 4096 * MIB, 4096 * MIB, mmio_hole_kib=256 * MIB),
    ],
)
def test_the_largest_that_can_be_asked_for_is_not_refused(largest: PlanRequest) -> None:
    check_request(largest)


def test_a_single_mib_is_a_guest_that_does_not_boot() -> None:
    assert a_plan(1, 1).boots == "no"


def test_the_last_pv_kernel_of_32_bits_and_the_first_that_boots_as_pvh_are_planned() -> None:
    assert a_plan(512, 512, kernel=KernelRelease(5, 8), bits=32).boots == "yes"
    assert a_plan(512, 512, "pvh", kernel=KernelRelease(4, 11)).boots == "yes"
    assert a_plan(512, 512, kernel=REGIMES[0].since).boots == "yes"
    assert a_plan(128, 128, "dom0-pv").boots == "no"  # and not refused: xl takes 128M


def test_only_a_map_that_unpopulated_alloc_holds_grows_by_hot_adding() -> None:
    assert a_plan(512, 1024, kernel=LINUX_6_12).grows_by_hot_add
    assert not a_plan(512, 512, kernel=LINUX_6_12).grows_by_hot_add
    assert not a_plan(512, 1024, kernel=LINUX_6_1).grows_by_hot_add
    assert not a_plan(512, 1024, kernel=KernelRelease(5, 18)).grows_by_hot_add
    assert a_plan(512, 1024, kernel=KernelRelease(5, 17)).grows_by_hot_add


@pytest.mark.parametrize("kernel", [KernelRelease(4, 4), LINUX_6_1])
def test_a_guest_that_its_video_memory_takes_all_from_does_not_boot(kernel: KernelRelease) -> None:
    made = a_plan(9, 10, "hvm", kernel=kernel, videoram_kib=8 * MIB)
    assert (made.current_kib, made.reachable_max_kib, made.boots) == (0, 0, "no")
    limit = plan_limits(made)[0]
    assert (limit.code, limit.severity) == ("memory-too-small", "critical")


def test_64_gib_are_not_too_much_for_32_bits() -> None:
    assert a_plan(1024, 65536, "hvm", kernel=LINUX_6_1, bits=32).request.maxmem_kib == 65536 * MIB


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("6.1.0-13-686-pae", 32),
        ("3.2.0-4-686", 32),
        ("4.4.0-21-generic-pae", 32),
        ("2.6.32-573.el6.i686", 32),
        ("3.16.6-2-pae", 32),
        ("6.1.0-56-amd64", 64),
        ("5.14.0-427.el9.x86_64", 64),
        ("6.12", 64),
        ("5.10.0-686x", 64),
    ],
)
def test_the_release_tells_how_many_bits_the_kernel_has(text: str, bits: int) -> None:
    assert bits_of(text) == bits
