# SPDX-License-Identifier: GPL-2.0-or-later
"""Each rule finds its own case, stays silent in the case next to it, and says what helps."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import pytest

from agent.core.account.situation import understand
from agent.core.facts.bounds import LARGEST_KIB
from agent.core.facts.kernel_release import KernelRelease
from agent.core.facts.memory_map import Region, memory_map
from agent.core.facts.snapshot import BootRecord, MemoryBlocks, Snapshot
from agent.core.findings.assessment import OF_A_SNAPSHOT, why_unknown
from agent.core.findings.finding import Finding, Fix
from agent.core.findings.registry import CHECKS
from agent.core.findings.units_trap import misread_host_target
from tests.support.judged import assess
from tests.support.snapshots import (
    BLOCK,
    CALM,
    GIB,
    LINUX_3_2,
    LINUX_3_13,
    LINUX_4_4,
    LINUX_6_12,
    MIB,
    RAM,
    STALLED,
    a_dom0,
    a_pv_guest,
    a_pvh_guest,
    an_hvm_guest,
    an_unpopulated_guest,
    changed,
    guest_map,
    ram_map,
)


def full_hvm(beyond_kib: int) -> Snapshot:
    """An HVM guest before 4.13 that has all of its map and is asked for more."""
    target_kib = 1048180 + beyond_kib
    numbers = {"current_kib": 1048180, "target_kib": target_kib, "low_kib": 0, "retry_count": 9}
    return an_hvm_guest(
        domain={"kernel": KernelRelease(4, 4)},
        balloon=numbers,
        host={"target_kib": target_kib, "static_max_kib": 2 * GIB},
    )


def old_hvm(kernel: KernelRelease) -> Snapshot:
    """An HVM guest with 256 MiB of hole below 4 GiB, all of which lie in the balloon."""
    firmware = memory_map(
        [
            Region(0x1000, 0x9FFFF, RAM),
            Region(0x100000, 0xEFFFFFFF, RAM),
            Region(0x100000000, 0x20FFFFFFF, RAM),
        ]
    )
    numbers = {"current_kib": 8 * GIB, "target_kib": 8 * GIB, "low_kib": 256 * MIB}
    return an_hvm_guest(
        domain={"kernel": kernel},
        firmware_map=firmware,
        balloon=numbers,
        host={"target_kib": 8 * GIB, "static_max_kib": 8 * GIB},
        boot_log=None,
    )


def old_hvm_that_may_have(most_kib: int, video_kib: int | None) -> Snapshot:
    host = {"static_max_kib": most_kib, "videoram_kib": video_kib}
    return an_hvm_guest(domain={"kernel": LINUX_4_4}, host=host)


class Case(NamedTuple):
    """A finding, a snapshot that has it, and one next to it that has not."""

    code: str
    severity: str
    found_in: Snapshot
    not_in: Snapshot


def off_target(target_kib: int, **more: Any) -> Snapshot:
    host = {"target_kib": target_kib, "static_max_kib": 1048576}
    balloon = {"target_kib": target_kib, "motion": "still"}
    return a_pv_guest(balloon=balloon | more, host=host)


def with_offline_blocks(snapshot: Snapshot, target_kib: int = 524288) -> Snapshot:
    return changed(
        snapshot,
        firmware_map=guest_map(GIB, (0x40000000, 0x4FFFFFFF)),
        blocks=MemoryBlocks(BLOCK, tuple(range(8)), (8, 9), "offline"),
        balloon={"target_kib": target_kib},
        host={"target_kib": target_kib},
    )


def of_size(maxmem_kib: int) -> Snapshot:
    """A PV guest of 512 MiB with a larger map."""
    pages = (maxmem_kib - 388) // 4
    return a_pv_guest(
        firmware_map=guest_map(maxmem_kib),
        zones={"present_pages": pages},
        balloon={"low_kib": maxmem_kib - 524288},
        host={"static_max_kib": maxmem_kib},
        boot_log={"physical_kib": maxmem_kib - 388},
    )


@pytest.mark.parametrize(
    ("map_kib", "target_kib", "finds"),
    [
        (32 * GIB, 32 * MIB - 1, True),
        (24 << 30, 20 << 20, True),
        (32 * GIB, 256 * MIB, False),  # a 128th: as little as the structures of 32 bits take
        (32 * GIB, 33 * MIB, True),  # too little, and as MiB too much
        (24 << 30, 200 << 20, False),
    ],
)
def test_a_large_guest_is_not_meant_to_have_less_than_its_page_structures_take(
    map_kib: int, target_kib: int, *, finds: bool
) -> None:
    """Its size in MiB is more than the least that any Linux lives in, taken for KiB."""
    guest = of_size(map_kib)
    asked = changed(guest, host={"target_kib": target_kib}, balloon={"target_kib": target_kib})
    found = findings(asked).get("units-trap")
    assert (found is not None and found.severity == "critical") is finds


def of_32_bits(maxmem_kib: int) -> Snapshot:
    guest = of_size(maxmem_kib)
    return guest._replace(domain=guest.domain._replace(kernel_text="4.19.0-27-686-pae"))


def phantom(kernel: KernelRelease) -> Snapshot:
    """A full guest whose driver misses 97 pages."""
    numbers = {"current_kib": 524288 - 388, "target_kib": 524288, "motion": "still"}
    return an_unpopulated_guest(domain={"kernel": kernel}, balloon=numbers)


def short(available_kib: int, **changes: Any) -> Snapshot:
    return a_pv_guest(memory={"available_kib": available_kib}, **changes)


HIDDEN: Final = {"iomem": "hidden"}
ODD: Final = memory_map([*guest_map().in_order_read, Region(9, 8, RAM)])
A_PAGE_OFF: Final = {"memory_offset_kib": 480, "uncooperative": True}
FULL: Final = {"current_kib": 1048576, "target_kib": 1048576, "low_kib": 0}

OF_5_PERCENT: Final = {"current_kib": 327680, "target_kib": 327680}  # 16 MiB of structs
WITH_VIDEO: Final = {"videoram_kib": 8 * MIB}
BOTH_ALIKE: Final = {"low_kib": 0, "target_kib": 524288}

# At the figure from which a rule speaks, and next to it.
EDGES: Final = (
    Case(
        "pressure-after-deflate", "warning",
        short(10 * MIB, pressure=None, host={"static_max_kib": 524288 + 8 * MIB}),
        short(10 * MIB, pressure=None, host={"static_max_kib": 524288 + 8 * MIB - 4}),
    ),
    Case(
        "page-struct-overhead", "info",
        a_pv_guest(balloon={"current_kib": 327676, "target_kib": 327676}),
        a_pv_guest(balloon=OF_5_PERCENT),
    ),
    Case(
        "page-struct-overhead", "info",
        a_pv_guest(balloon={"current_kib": 4, "target_kib": 4}),
        a_pv_guest(balloon={"current_kib": 0, "target_kib": 0}),
    ),
    Case(
        "maxmem-unreachable", "info",
        a_pv_guest(host={"static_max_kib": GIB + MIB + 4}),
        a_pv_guest(host={"static_max_kib": GIB + MIB}),
    ),
    Case(
        "maxmem-unreachable", "info",
        a_pv_guest(domain={"kernel": LINUX_4_4}, host={"static_max_kib": GIB + MIB + 4}),
        a_pv_guest(domain={"kernel": LINUX_4_4}, host={"static_max_kib": GIB + MIB}),
    ),
    *(
        Case(  # a host counts what such a kernel does not: 32 MiB, or the video memory
            "maxmem-unreachable", "info",
            old_hvm_that_may_have(1048180 + slack_kib + MIB + 4, video_kib),
            old_hvm_that_may_have(1048180 + slack_kib + MIB, video_kib),
        )
        for slack_kib, video_kib in ((32 * MIB, None), (32 * MIB, 8 * MIB), (64 * MIB, 64 * MIB))
    ),
    Case(
        "pod-gap", "critical",
        a_pvh_guest(balloon=None, host={"target_kib": GIB - 2 * MIB - 4}),
        a_pvh_guest(balloon=None, host={"target_kib": GIB - 2 * MIB}),
    ),
    Case(
        "pod-gap", "critical",
        an_hvm_guest(balloon=None, host={"target_kib": GIB - 10 * MIB - 4} | WITH_VIDEO),
        an_hvm_guest(balloon=None, host={"target_kib": GIB - 10 * MIB} | WITH_VIDEO),
    ),
    Case(
        "pod-gap", "critical",
        a_pvh_guest(balloon=None, memory={"total_kib": GIB, "free_kib": 524288}),
        a_pvh_guest(balloon=None, memory={"total_kib": GIB, "free_kib": 524284}),
    ),
    Case(
        "host-limits-contradict", "warning",
        a_pv_guest(host={"dynamic_min_kib": 524288 + MIB + 1, "dynamic_max_kib": 524288}),
        a_pv_guest(host={"dynamic_min_kib": 524288 + MIB, "dynamic_max_kib": 524288}),
    ),
    Case(
        "host-limits-contradict", "warning",
        a_pv_guest(host={"dynamic_max_kib": GIB + MIB + 1}),
        a_pv_guest(host={"dynamic_max_kib": GIB + MIB}),
    ),
    Case(
        "target-snapped", "warning",
        a_pv_guest(balloon=BOTH_ALIKE, host={"target_kib": 524292}, hotplug_unpopulated=None),
        a_pv_guest(balloon=BOTH_ALIKE, hotplug_unpopulated=None),
    ),
    Case(
        "hole-given-away", "info",
        changed(old_hvm(LINUX_3_2), balloon={"low_kib": MIB + 4}),
        changed(old_hvm(LINUX_3_2), balloon={"low_kib": MIB}),
    ),
    Case(
        "phantom-credit", "warning",
        phantom(KernelRelease(6, 15)), phantom(KernelRelease(6, 14, 99)),
    ),
    Case(
        "phantom-credit", "warning",
        phantom(KernelRelease(6, 18, 99)), phantom(KernelRelease(6, 19)),
    ),
    Case(
        "units-trap", "critical",
        a_pv_guest(balloon={"target_kib": 24 * MIB - 4}),
        a_pv_guest(balloon={"target_kib": 24 * MIB}),
    ),
    Case(
        "units-trap", "critical",
        a_pv_guest(balloon={"target_kib": 4}, host={"target_kib": 24 * MIB}),
        a_pv_guest(balloon={"target_kib": 4}, host={"target_kib": 24 * MIB - 4}),
    ),
)  # fmt: skip

CASES: Final = (
    Case("no-driver", "warning", a_pv_guest(balloon=None), a_pv_guest()),
    Case("target-cancelled", "warning", off_target(786432), off_target(786432, retry_count=2)),
    Case("target-retrying", "warning", off_target(786432, retry_count=2), off_target(786432)),
    Case(
        "target-beyond-static-max", "warning",
        a_pv_guest(host={"target_kib": 1048580}), a_pv_guest(host={"target_kib": 1048579}),
    ),
    Case(
        "hotplug-offline", "warning",
        with_offline_blocks(a_pv_guest(balloon={"low_kib": 524288}), 786432),
        a_pv_guest(balloon={"target_kib": 786432}),
    ),
    Case("hotplug-offline", "info", with_offline_blocks(a_pv_guest()), a_pv_guest()),
    Case(
        "target-overridden", "warning",
        a_pvh_guest(host={"target_kib": 524292}), a_pvh_guest(host={"target_kib": 524291}),
    ),
    Case(
        "host-target-garbage", "warning",
        a_pv_guest(host={"target_kib": None, "target_text": "'abc'"}),
        a_pv_guest(host={"target_kib": None}),
    ),
    *(
        Case(
            "memory-offset-spoilt", "warning",
            spoilt._replace(domain=spoilt.domain._replace(toolstack="xapi")),
            right._replace(domain=right.domain._replace(toolstack="xapi")),
        )
        for spoilt, right in (
            (a_pv_guest(host={"memory_offset_kib": -159744}),
             a_pv_guest(host={"memory_offset_kib": 0})),
            (a_pvh_guest(host={"memory_offset_kib": 229376}),
             a_pvh_guest(host={"memory_offset_kib": -388})),
            (a_pv_guest(host={"memory_offset_kib": 480, "uncooperative": True}),
             a_pv_guest(host={"memory_offset_kib": 480})),
            (a_pv_guest(host={**A_PAGE_OFF, "target_kib": 524292}),
             a_pv_guest(host={**A_PAGE_OFF, "target_kib": 524296})),
        )
    ),
    Case(
        "marked-uncooperative", "warning",
        a_pv_guest(host={"uncooperative": True}), a_pv_guest(),
    ),
    Case(
        "static-max-moved", "info",
        a_pv_guest(boot_record=BootRecord(524288, 524288, 1048192, 524288, 1048576),
                   host={"static_max_kib": 2 * GIB}),
        a_pv_guest(boot_record=BootRecord(524288, 524288, 1048192, 524288, 1048576)),
    ),
    Case(
        "static-max-moved", "info",
        a_pvh_guest(host={"static_max_kib": 2 * GIB}), a_pvh_guest(host={"static_max_kib": None}),
    ),
    Case(
        "videoram-minus-one", "info",
        a_pv_guest(host={"videoram_kib": -1}), a_pv_guest(host={"videoram_kib": None}),
    ),
    Case("hvm-below-configured", "info", an_hvm_guest(), a_pvh_guest()),
    Case(
        "dom0-grant-gap", "info",
        a_dom0(balloon={"current_kib": 1048576 - 2048, "low_kib": 0}),
        a_dom0(balloon={"current_kib": 1048576 - 2048}),
    ),
    Case(
        "target-snapped", "warning",
        an_unpopulated_guest(host={"target_kib": 786432}, hotplug_unpopulated=None),
        an_unpopulated_guest(host={"target_kib": 786432}),
    ),
    Case("phantom-credit", "warning", phantom(KernelRelease(6, 17)), phantom(LINUX_6_12)),
    Case(
        "units-trap", "info",
        a_pv_guest(balloon={"target_bytes": 131072}),
        a_pv_guest(balloon={"target_bytes": 131072, "motion": "unknown"}),
    ),
    Case(
        "host-limits-contradict", "warning",
        a_pv_guest(host={"dynamic_min_kib": 786432, "dynamic_max_kib": 524288}),
        a_pv_guest(host={"dynamic_min_kib": 524288, "dynamic_max_kib": 524288}),
    ),
    Case(
        "pod-gap", "critical",
        an_hvm_guest(balloon=None), an_hvm_guest(balloon=None, host={"target_kib": 1048576}),
    ),
    Case("unexplained", "warning", a_pv_guest(balloon={"low_kib": 524280}), a_pv_guest()),
    Case("unexplained", "warning", a_pv_guest(balloon={"low_kib": 524292}), a_pv_guest()),
    Case("maxmem-unreachable", "info", a_pv_guest(host={"static_max_kib": 2 * GIB}), a_pv_guest()),
    Case(
        "maxmem-unreachable", "warning",
        a_pv_guest(host={"static_max_kib": 2 * GIB}, hotplug_unpopulated=None),
        a_pv_guest(host={"static_max_kib": 2 * GIB}, boot_log=None),
    ),
    Case("page-struct-overhead", "info", of_size(4 * GIB // 2), of_size(3 * GIB // 2)),
    Case("page-struct-overhead", "info", of_size(4 * GIB), of_size(GIB)),
    Case("page-struct-overhead", "info", of_32_bits(4 * GIB), of_32_bits(4 * GIB // 2)),
    Case("pressure-after-deflate", "warning", short(13 * MIB), short(14 * MIB)),
    Case(
        "pressure-after-deflate", "critical",
        short(40 * MIB, pressure=STALLED), short(40 * MIB, pressure=STALLED, balloon=FULL),
    ),
    Case(
        "pressure-after-deflate", "critical",
        short(40 * MIB, pressure=STALLED), short(300 * MIB, pressure=STALLED),
    ),
    Case("memory-short", "warning", short(13 * MIB, balloon=FULL), short(13 * MIB)),
    Case(
        "memory-short", "critical",
        short(40 * MIB, pressure=STALLED, balloon=FULL), short(40 * MIB, balloon=FULL),
    ),
    Case(
        "not-seen-moving", "warning",
        off_target(786432, motion="unknown"), off_target(786432, motion="moved"),
    ),
    Case("hvm-aims-beyond", "info", full_hvm(396), full_hvm(256 * MIB)),
    Case("hole-given-away", "info", old_hvm(LINUX_3_2), old_hvm(LINUX_3_13)),
    Case("map-odd", "info", a_pv_guest(firmware_map=ODD), a_pv_guest()),
    Case("iomem-hidden", "info", a_pv_guest(sources=HIDDEN), a_pv_guest(sources={"iomem": "ok"})),
    Case(
        "kdump-kernel", "info",
        a_pv_guest(kernel_options=("elfcorehdr=867704K",)),
        a_pv_guest(kernel_options=("crashkernel=128M",)),
    ),
)  # fmt: skip


def findings(snapshot: Snapshot) -> dict[str, Finding]:
    return {finding.code: finding for finding in assess(snapshot).findings}


@pytest.mark.parametrize("case", CASES, ids=[f"{case.code}-{case.severity}" for case in CASES])
def test_a_rule_finds_its_case_and_not_the_one_next_to_it(case: Case) -> None:
    found = findings(case.found_in)
    assert case.code in found
    assert found[case.code].severity == case.severity
    assert case.code not in findings(case.not_in)


@pytest.mark.parametrize("case", EDGES, ids=lambda case: f"{case.code}-{case.severity}")
def test_a_rule_begins_to_speak_at_its_figure_and_not_a_page_before(case: Case) -> None:
    assert findings(case.found_in)[case.code].severity == case.severity
    assert case.code not in findings(case.not_in)


def test_every_check_has_its_case() -> None:
    of_a_snapshot = {module.__name__ for module in OF_A_SNAPSHOT}
    assert {case.code for case in CASES} == {
        check.code for check in CHECKS.values() if check.rule.__module__ in of_a_snapshot
    }


@pytest.mark.parametrize("case", CASES, ids=[f"{case.code}-{case.severity}" for case in CASES])
def test_a_finding_shows_its_evidence_and_ends_in_something_to_do(case: Case) -> None:
    finding = findings(case.found_in)[case.code]
    assert finding.summary.endswith(".")
    assert finding.cause.endswith(".")
    assert finding.evidence
    assert finding.fix
    assert "\n" not in finding.summary + finding.fix
    assert all(isinstance(value, (int, float, str)) for value in finding.evidence.values())


@pytest.mark.parametrize(
    "guest", [a_pv_guest(), a_pvh_guest(), a_dom0(), an_unpopulated_guest()], ids=str
)
def test_an_ordinary_guest_has_nothing_wrong(guest: Snapshot) -> None:
    assert assess(guest).findings == ()
    assert assess(guest).verdict == "ok"


@pytest.mark.parametrize(("many", "named"), [(1, 1), (3, 3), (4, 3)])
def test_of_an_odd_map_three_places_are_named_and_all_are_counted(many: int, named: int) -> None:
    odd = memory_map([*guest_map().in_order_read, *[Region(9, 8, RAM)] * many])
    finding = findings(a_pv_guest(firmware_map=odd))["map-odd"]
    assert len(finding.evidence) == named
    assert f"odd in {many} place" in finding.summary


def test_the_way_back_to_the_hosts_target_is_a_command_with_the_kernels_own_number() -> None:
    finding = findings(a_pvh_guest(host={"target_kib": 786432}))["target-overridden"]
    assert finding.fix.startswith(
        "echo 786044 > /sys/devices/system/xen_memory/xen_memory0/target_kb"
    )


def test_one_look_at_a_stopped_balloon_admits_that_it_may_be_moving() -> None:
    watched, once = off_target(786432), off_target(786432, motion="unknown")
    assert set(findings(watched)) == {"target-cancelled"}
    assert set(findings(once)) == {"not-seen-moving"}


def test_a_refused_way_down_is_the_guests_own_lack_of_free_memory() -> None:
    finding = findings(off_target(393216, retry_count=2))["target-retrying"]
    assert "no free memory to give back" in finding.summary


def test_a_calm_guest_with_little_available_is_short_whatever_the_pressure_says() -> None:
    assert findings(short(10 * MIB, pressure=CALM))["pressure-after-deflate"]
    assert findings(short(10 * MIB, pressure=None))["pressure-after-deflate"]


@pytest.mark.parametrize(
    ("balloon", "snapped"),
    [
        ({"low_kib": 0}, True),
        ({}, False),  # it holds what is asked for: somebody wrote another target
        ({"low_kib": 0, "target_kib": 655360, "retry_count": 2}, False),  # it goes on trying
    ],
)
def test_a_target_fell_back_only_where_the_balloon_is_empty_and_at_rest(
    balloon: dict[str, Any], snapped: bool
) -> None:
    guest = a_pv_guest(balloon=balloon, host={"target_kib": 786432}, hotplug_unpopulated=None)
    assert ("target-snapped" in findings(guest)) is snapped
    assert ("target-overridden" in findings(guest)) is not snapped


ON_ITS_WAY: Final = {
    "balloon": {"target_kib": 786432, "retry_count": 2},
    "host": {"target_kib": 786432},
}


@pytest.mark.parametrize(
    ("changes", "kib"),
    [
        ({}, 524288 + 131072),
        ({"host": {"static_max_kib": 524288 + 16 * MIB}}, 524288 + 16 * MIB),
        (ON_ITS_WAY, 786432),
    ],
    ids=["a quarter more", "all that it may have", "what the host asks for already"],
)
def test_a_guest_that_is_short_is_given_a_step_and_no_less_than_it_is_meant_to_have(
    changes: dict[str, Any], kib: int
) -> None:
    finding = findings(short(10 * MIB, pressure=None, **changes))["pressure-after-deflate"]
    assert finding.fixes[0].commands == (f"xl mem-set 5 {kib}k",)


def test_how_short_it_is_is_told_as_a_share_of_memtotal() -> None:
    guest = short(10 * MIB, pressure=None)
    assert guest.memory
    percent = round(10 * MIB / guest.memory.total_kib * 100, 1)
    assert findings(guest)["pressure-after-deflate"].evidence["available_percent"] == percent > 1


@pytest.mark.parametrize(("more_kib", "overridden"), [(0, False), (4, True)])
def test_what_was_given_back_of_the_hole_is_no_target_of_somebody_else(
    more_kib: int, overridden: bool
) -> None:
    guest = old_hvm(KernelRelease(3, 2))
    target_kib = 8 * GIB + understand(guest).hole_kib + more_kib
    aims = changed(guest, balloon={"target_kib": target_kib, "retry_count": 2})
    assert ("target-overridden" in findings(aims)) is overridden


def test_an_average_that_only_decays_is_no_shortage() -> None:
    assert not findings(a_pv_guest(pressure=STALLED))


def aims_at(host_kib: int, kernel_kib: int = 524288) -> Snapshot:
    return a_pv_guest(
        host={"target_kib": host_kib, "static_max_kib": 1048576},
        balloon={"target_kib": kernel_kib, "motion": "still"},
    )


@pytest.mark.parametrize(
    ("number", "severity", "meant_kib"),
    [
        (768, "critical", 768 * MIB),
        (1, "critical", GIB),
        (768 * MIB * 1024, "warning", 768 * MIB),
        (23 * MIB, None, 0),  # 23 GiB, where 1 GiB is the most
        (64 * MIB, None, 0),
        (2 * GIB, None, 0),  # as bytes next to nothing: somebody wants too much
        (0, None, 0),
    ],
)
def test_the_unit_that_was_meant_is_named_where_only_one_makes_sense(
    number: int, severity: str | None, meant_kib: int
) -> None:
    found = {f.code: f for f in assess(aims_at(number)).findings}
    trap = found.get("units-trap")
    assert (trap.severity if trap else None) == severity
    if trap:
        assert trap.evidence["meant_kib"] == meant_kib
        assert trap.fix == f"xl mem-set 5 {meant_kib}k  # on the host"
        assert f"memory/target takes KiB, and {number} looks like" in trap.summary
        assert "target-beyond-static-max" not in found


@pytest.mark.parametrize("lacking", ["low_kib", "target_kib"])
def test_less_than_the_guest_uses_is_not_what_was_meant_whatever_could_not_be_read(
    lacking: str,
) -> None:
    trap = findings(changed(aims_at(100), balloon={lacking: None}))["units-trap"]
    assert trap.fixes[0].commands == ("xl mem-set 5 524288k",)


def test_a_number_written_in_the_guest_in_another_unit_is_one_finding() -> None:
    found = {f.code: f for f in assess(aims_at(524288, kernel_kib=512)).findings}
    assert found["units-trap"].severity == "critical"
    assert found["units-trap"].fix.startswith("echo 524288 > ")
    assert "target-overridden" not in found
    assert "units-trap" not in {f.code for f in assess(aims_at(524288, 131072)).findings}


def test_a_target_file_that_is_not_in_bytes_is_worth_knowing() -> None:
    found = assess(a_pv_guest(balloon={"target_bytes": 131072, "motion": "still"})).findings
    assert [f.severity for f in found if f.code == "units-trap"] == ["info"]


@pytest.mark.parametrize(("target_kib", "target_bytes"), [(-4, -4096), (LARGEST_KIB, 0)])
def test_a_target_below_zero_or_beyond_measure_is_the_same_in_both(
    target_kib: int, target_bytes: int
) -> None:
    balloon = {"target_kib": target_kib, "target_bytes": target_bytes, "motion": "still"}
    found = assess(a_pv_guest(balloon=balloon, host={"target_kib": None})).findings
    assert "units-trap" not in {f.code for f in found}


def test_where_no_map_can_be_read_static_max_is_not_said_to_have_moved() -> None:
    seen = a_pvh_guest(host={"static_max_kib": 2 * GIB}, firmware_map=None, iomem=None)
    assert "static-max-moved" not in {f.code for f in assess(seen).findings}


def test_a_driver_that_gave_up_downwards_is_not_sent_for_more() -> None:
    snapshot = off_target(262144)
    fix = next(f.fix for f in assess(snapshot).findings if f.code == "target-cancelled")
    assert fix.startswith("xl mem-set 5 524288k  # on the host")


@pytest.mark.parametrize(
    ("number", "most_kib", "meant"),
    [
        (0, GIB, None),
        (23, GIB, None),
        (24, GIB, (24 * MIB, "MiB")),
        (1024, GIB, (GIB, "MiB")),
        (1025, GIB, None),
        (1, GIB, (GIB, "GiB")),
        (24 * MIB - 1, 32 * GIB, ((24 * MIB - 1) * MIB, "MiB")),
        (24 * MIB, 32 * GIB, None),
        (128 * GIB - 1, GIB, None),
        (128 * GIB, GIB, (128 * MIB, "bytes")),
        (MIB * GIB, GIB, (GIB, "bytes")),
        (MIB * (GIB + 4), GIB, None),
        (MIB * 24 * MIB, 128 * MIB, (24 * MIB, "bytes")),
        (MIB * 24 * MIB - 4, 128 * MIB, None),
    ],
)
def test_a_number_is_in_another_unit_from_24_mib_up_to_all_the_guest_may_have(
    number: int, most_kib: int, meant: tuple[int, str] | None
) -> None:
    guest = a_pv_guest(host={"target_kib": number, "static_max_kib": most_kib})
    misread = misread_host_target(understand(guest))
    assert (misread and (misread.meant_kib, misread.unit)) == meant


@pytest.mark.parametrize(
    ("above_kib", "meant"), [(-4, False), (0, True), (128 * MIB, True), (128 * MIB + 4, False)]
)
def test_where_a_guest_rests_was_meant_whatever_its_maximum(above_kib: int, meant: bool) -> None:
    numbers = {"current_kib": 25 * GIB, "target_kib": 25 * GIB}
    host = {"target_kib": 25 * GIB + above_kib, "static_max_kib": 192 * MIB}
    situation = understand(a_pv_guest(balloon=numbers, host=host))
    assert (misread_host_target(situation) is None) is meant


@pytest.mark.parametrize("below_kib", [0, 4])
def test_nobody_is_sent_below_what_the_guest_uses(below_kib: int) -> None:
    floor_kib = understand(a_pv_guest()).headroom.floor_kib
    assert floor_kib
    size_kib = floor_kib - below_kib
    fits = not below_kib

    def first(code: str, **host: Any) -> Fix:
        return findings(a_pv_guest(host=host))[code].fixes[0]

    meant = first("units-trap", target_kib=size_kib * 1024)
    assert meant.commands == (f"xl mem-set 5 {size_kib if fits else 524288}k",)
    within = first("target-beyond-static-max", target_kib=GIB, static_max_kib=size_kib)
    assert within.commands == ((f"xl mem-set 5 {size_kib}k",) if fits else ())
    garbled = a_pv_guest(
        balloon={"target_kib": size_kib}, host={"target_kib": None, "target_text": "'x'"}
    )
    again = findings(garbled)["host-target-garbage"].fixes[0].commands[0]
    assert again.endswith(f"/memory/target {size_kib if fits else 524288}")


@pytest.mark.parametrize(
    ("balloon", "words"),
    [
        (FULL, "the balloon holds nothing that could help."),
        ({}, "the 512 MiB in the balloon are beyond what the host allows."),
        (None, "the balloon holds nothing that could help."),
    ],
)
def test_a_guest_that_is_short_is_told_what_its_balloon_holds(balloon: Any, words: str) -> None:
    guest = short(13 * MIB, balloon=balloon, host={"static_max_kib": 512 * MIB})
    assert findings(guest)["memory-short"].cause.endswith(words)


@pytest.mark.parametrize(
    ("hotplug_unpopulated", "for_good"), [(None, True), (False, True), (True, False)]
)
def test_what_lies_with_unpopulated_alloc_is_there_for_good_unless_it_may_be_added(
    hotplug_unpopulated: bool | None, for_good: bool
) -> None:
    guest = changed(
        an_unpopulated_guest(),
        host={"static_max_kib": 2 * GIB},
        hotplug_unpopulated=hotplug_unpopulated,
    )
    assert findings(guest)["maxmem-unreachable"].cause.endswith("for good.") is for_good


def test_only_pv_kernels_of_four_releases_count_pages_that_are_not_there() -> None:
    lacks = {"current_kib": 523900, "target_kib": 524288, "low_kib": 0}
    for guest, told in ((a_pv_guest, True), (a_pvh_guest, False)):
        for release, counts in (
            ((6, 14), False),
            ((6, 15), True),
            ((6, 18), True),
            ((6, 19), False),
        ):
            kernel = {"kernel": KernelRelease(*release)}
            found = findings(guest(domain=kernel, balloon=lacks, host={"target_kib": 524288}))
            assert ("phantom-credit" in found) is (told and counts), (release, found)


def test_the_first_of_two_cures_is_the_one_in_a_line() -> None:
    fixes = (Fix("guest", ("true",)), Fix("host", ("false",)))
    assert Finding("", {}, "", fixes=fixes).fix == "true"


def test_where_nobody_can_tell_what_is_in_use_the_guest_keeps_what_it_has() -> None:
    guest = a_pv_guest(memory=None, balloon={"target_kib": 30000}, host={"target_kib": 20000})
    fix = findings(guest)["target-overridden"].fixes[0]
    assert fix.commands == ("xl mem-set 5 524288k",)


@pytest.mark.parametrize(
    ("digits", "severity"), [(24 * MIB - 1, "critical"), (24 * MIB, "warning")]
)
def test_what_the_kernel_reads_of_garbage_kills_below_24_mib(digits: int, severity: str) -> None:
    guest = a_pv_guest(host={"target_kib": None, "target_text": f"'{digits}x'"})
    assert findings(guest)["host-target-garbage"].severity == severity


@pytest.mark.parametrize(("more_kib", "severity"), [(-4, "info"), (0, "info"), (4, "warning")])
def test_a_crash_kernel_outgrows_its_memory_only_beyond_its_map(
    more_kib: int, severity: str
) -> None:
    guest = a_pv_guest(kernel_options=("elfcorehdr=867704K",))
    assert guest.firmware_map
    aims = changed(guest, balloon={"target_kib": guest.firmware_map.ram_kib + more_kib})
    assert findings(aims)["kdump-kernel"].severity == severity


@pytest.mark.parametrize(("target_kib", "less"), [(-4, True), (0, False)])
def test_a_target_of_nothing_is_not_less_than_nothing(target_kib: int, less: bool) -> None:
    guest = a_pv_guest(balloon={"target_kib": target_kib})
    assert ("a target below nothing" in assess(guest).headline) is less
    crashed = changed(guest, kernel_options=("elfcorehdr=867704K",))
    assert ("less than nothing" in findings(crashed)["kdump-kernel"].cause) is less


@pytest.mark.parametrize(
    ("ram_kib", "clamped"), [(989996, False), (990000, True), (1110000, True), (1110004, False)]
)
def test_linuxs_limit_is_named_where_the_map_is_as_large_as_that_makes_it(
    ram_kib: int, clamped: bool
) -> None:
    guest = a_pv_guest(
        firmware_map=ram_map((0, ram_kib * 1024 - 1)),
        boot_record=BootRecord(100000, ram_kib - 100000, ram_kib),
        host={"static_max_kib": 2 * GIB},
    )
    cause = findings(guest)["maxmem-unreachable"].cause
    assert cause.startswith("Linux keeps at most 11 times") is clamped


def test_blocks_put_offline_by_hand_are_not_what_a_larger_target_needs() -> None:
    by_hand = a_pv_guest(
        blocks={"offline": (3,)},
        memory={"total_kib": 456048 - 131072},
        balloon={"target_kib": 786432},
        host={"target_kib": 786432},
    )
    finding = findings(by_hand)["hotplug-offline"]
    assert (finding.severity, finding.evidence["offline_kib"]) == ("info", 131072)
    assert "was put offline" in finding.summary


def test_a_wrong_measure_of_squeezeds_is_shown_beside_the_sizes_that_it_spoils() -> None:
    host = {"memory_offset_kib": -159744, "target_kib": 524288, "dynamic_max_kib": 786432}
    guest = a_pv_guest(domain={"toolstack": "xapi"}, host=host)
    shown = {
        "memory/memory-offset_kib": -159744,
        "memory/uncooperative": "absent",
        "memory/target_kib": 524288,
        "memory/dynamic-max_kib": 786432,
        "current_kib": 524288,
    }
    assert findings(guest)["memory-offset-spoilt"].evidence == shown
    assert "its limit stays 156 MiB below what the host promises" in (
        findings(guest)["memory-offset-spoilt"].summary
    )
    unread = changed(guest, balloon={"current_kib": None})
    del shown["current_kib"]
    assert findings(unread)["memory-offset-spoilt"].evidence == shown


OFFSET_KIB: Final = 786432 - 524288


@pytest.mark.parametrize(
    ("balloon", "offset_kib", "lacks"),
    [
        ({}, OFFSET_KIB, True),
        ({}, OFFSET_KIB - 4, False),
        ({}, 0, False),
        ({}, None, False),
        ({"low_kib": 0}, OFFSET_KIB, False),  # nobody asked the hypervisor
    ],
)
def test_what_xapis_limit_leaves_out_is_told_by_its_size(
    balloon: dict[str, Any], offset_kib: int | None, lacks: bool
) -> None:
    retrying = {"target_kib": 786432, "retry_count": 2, **balloon}
    guest = a_pv_guest(
        balloon=retrying, host={"target_kib": 786432, "memory_offset_kib": offset_kib}
    )
    finding = findings(guest)["target-retrying"]
    assert ("What is missing (256 MiB) is exactly" in finding.cause) is lacks
    assert ("squeezed that adds memory-offset" in finding.fix) is lacks


@pytest.mark.parametrize(
    ("changes", "waits"),
    [
        ({}, "It may be moving, or the kernel has given up."),
        ({"balloon": {"low_kib": 0}}, "It waits for memory to be hot-added"),
        ({"balloon": {"low_kib": 0}, "hotplug_unpopulated": None}, "Its balloon is empty"),
    ],
)
def test_what_is_off_its_target_and_not_seen_to_move_says_what_it_may_wait_for(
    changes: dict[str, Any], waits: str
) -> None:
    unseen = off_target(786432, motion="unknown")
    assert waits in findings(changed(unseen, **changes))["not-seen-moving"].summary


def test_a_target_off_by_what_a_driver_miscounts_was_written_by_nobody() -> None:
    numbers = {"current_kib": 524288 - 388, "target_kib": 524288 - 388}
    for kernel, overridden in ((KernelRelease(6, 17), False), (LINUX_6_12, True)):
        guest = an_unpopulated_guest(domain={"kernel": kernel}, balloon=numbers)
        assert ("target-overridden" in findings(guest)) is overridden
    dom0 = a_dom0(domain={"domain_type": "dom0-pvh"}, host={"target_kib": 786432})
    assert "target-overridden" not in findings(dom0)
    assert "target-overridden" in findings(changed(dom0, domain={"domain_type": "dom0-pv"}))


def test_only_a_squeezed_crash_kernel_has_something_to_paste() -> None:
    guest = a_pv_guest(kernel_options=("elfcorehdr=867704K",))
    assert findings(guest)["kdump-kernel"].fixes == ()
    squeezed = changed(guest, balloon={"target_kib": 4})
    assert findings(squeezed)["kdump-kernel"].fixes[0].commands
    assert "may grow" not in assess(guest).headline
    assert "it may grow to" in assess(a_pv_guest()).headline
    assert "may grow" not in assess(full_hvm(396)).headline


@pytest.mark.parametrize(
    ("sources", "why"),
    [
        ({}, ""),
        ({"xenstore": "denied"}, ""),
        ({"xenstore": "malformed: no answer"}, "what the host asks for is not known: no answer"),
    ],
)
def test_why_nothing_can_be_said_is_told_of_a_host_that_does_not_answer(
    sources: dict[str, str], why: str
) -> None:
    assert why_unknown(understand(a_pv_guest(sources=sources))) == why
    assert why_unknown(understand(a_pv_guest(sources=sources, balloon=None))) == ""


@pytest.mark.parametrize(
    ("fix", "sets_size"),
    [
        (Fix("guest", ("echo 4 > /sys/devices/system/xen_memory/xen_memory0/target_kb",)), True),
        (Fix("host", ("xl mem-set 5 524288k",)), True),
        (Fix("host", effect="next-boot", note="maxmem= larger"), True),
        (Fix("host", effect="next-boot", note="videoram=0"), False),
        (Fix("guest", effect="next-boot", note="another kernel"), False),
        (Fix("host", note="see whether squeezed runs"), False),
        (Fix("guest", ("systemctl restart balloon-agent.service",)), False),
    ],
)
def test_which_cures_set_how_much_memory_there_is(fix: Fix, sets_size: bool) -> None:
    assert fix.sets_size is sets_size


@pytest.mark.parametrize(
    ("target_kib", "told"),
    [
        (524292, "a target 4 KiB above that"),
        (524284, "a target 4 KiB below that"),
        (786432, "768 MiB"),
    ],
)
def test_a_target_that_reads_like_what_the_guest_has_is_told_by_what_lies_between(
    target_kib: int, told: str
) -> None:
    assert told in assess(off_target(target_kib)).headline
    settled = a_pv_guest(balloon={"current_kib": target_kib, "target_kib": target_kib})
    assert "a target" not in assess(settled).headline


@pytest.mark.parametrize(
    ("kernel_kib", "size_kib"), [(786432, 786432), (2 * GIB, GIB), (150 * MIB, 172032)]
)
def test_a_host_that_asks_for_less_than_is_used_is_asked_for_what_the_guest_aims_at(
    kernel_kib: int, size_kib: int
) -> None:
    """No more than the guest may have and no less than it needs."""
    fix = findings(aims_at(100 * MIB, kernel_kib=kernel_kib))["target-overridden"].fixes[0]
    assert fix.commands == (f"xl mem-set 5 {size_kib}k",)
