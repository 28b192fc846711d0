# SPDX-License-Identifier: GPL-2.0-or-later
"""Every KiB of E820 RAM is populated, ballooned or named; what is only left over says so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.account.boot_facts import boot_facts
from agent.core.account.reconcile import Reconciliation, reconcile
from agent.core.facts.memory_map import Region, memory_map
from agent.core.facts.snapshot import BootRecord, MemoryBlocks, Snapshot
from tests.support.snapshots import (
    BLOCK,
    GIB,
    LINUX_2_6_32,
    MIB,
    RAM,
    a_dom0,
    a_pv_guest,
    a_pvh_guest,
    an_hvm_guest,
    an_unpopulated_guest,
    changed,
    guest_map,
)

HALF = 512 * MIB
EIGHT_ADDED = (0x40000000, 0x4FFFFFFF)


def reconciled(snapshot: Snapshot) -> Reconciliation:
    return reconcile(snapshot, boot_facts(snapshot))


def terms(snapshot: Snapshot) -> dict[str, int]:
    """Name -> KiB of a sum that must come out."""
    result = reconciled(snapshot)
    assert result.unexplained_kib == 0
    return {term.name: term.kib for term in result.terms}


def test_a_pv_guest_is_its_map_and_the_isa_window() -> None:
    assert terms(a_pv_guest()) == {
        "e820-ram": 1048192, "isa-hole": 384, "current": -524288, "ballooned": -524288,
    }  # fmt: skip
    assert reconciled(a_pv_guest()).proof == "checked"
    assert reconciled(a_pv_guest()).identity == "pv"


def test_a_pvh_guest_misses_page_zero() -> None:
    assert terms(a_pvh_guest()) == {
        "e820-ram": 1048192, "page-zero": -4, "current": -523900, "ballooned": -524288,
    }  # fmt: skip


def test_an_hvm_guest_misses_page_zero_and_a_part_of_a_page() -> None:
    found = terms(an_hvm_guest())
    assert (found["page-zero"], found["partial-pages"]) == (-4, -3)


def test_dom0_is_its_map_alone() -> None:
    assert set(terms(a_dom0())) == {"e820-ram", "current", "ballooned"}


def test_unpopulated_alloc_is_proved_by_the_boots_log() -> None:
    snapshot = an_unpopulated_guest()
    assert terms(snapshot)["unpopulated-alloc"] == -HALF
    assert reconciled(snapshot).proof == "checked"


def test_without_the_log_unpopulated_alloc_is_only_what_is_left() -> None:
    snapshot = an_unpopulated_guest(boot_log=None)
    assert terms(snapshot)["unpopulated-alloc"] == -HALF
    assert reconciled(snapshot).proof == "inferred"


@pytest.mark.parametrize(("left_kib", "held_kib"), [(4, -4), (0, None), (-4, None)])
def test_a_page_is_the_least_that_unpopulated_alloc_can_hold(
    left_kib: int, held_kib: int | None
) -> None:
    result = reconciled(an_unpopulated_guest(boot_log=None, balloon={"low_kib": HALF - left_kib}))
    term = result.term("unpopulated-alloc")
    assert (term.kib if term else None, result.unexplained_kib) == (held_kib, min(0, left_kib))


def test_with_the_log_a_wrong_count_is_not_hidden_in_unpopulated_alloc() -> None:
    wrong = an_unpopulated_guest(balloon={"low_kib": 4})
    assert reconciled(wrong).unexplained_kib == -4


def test_a_boot_record_proves_what_unpopulated_alloc_got() -> None:
    snapshot = an_unpopulated_guest(boot_log=None, boot_record=BootRecord(524288, 0, 1048192))
    assert reconciled(snapshot).proof == "checked"
    assert terms(snapshot)["unpopulated-alloc"] == -HALF


def test_on_6_1_nothing_is_left_for_unpopulated_alloc() -> None:
    left = a_pv_guest(boot_log=None, balloon={"low_kib": 524288 - 8})
    assert reconciled(left).unexplained_kib == 8


def test_a_kernel_of_unknown_release_may_have_either_holder() -> None:
    assert terms(a_pv_guest(domain={"kernel": None})).get("unpopulated-alloc") is None
    snapshot = an_unpopulated_guest(domain={"kernel": None})
    assert terms(snapshot)["unpopulated-alloc"] == -HALF


def with_offline_blocks(snapshot: Snapshot) -> Snapshot:
    return changed(
        snapshot,
        firmware_map=guest_map(GIB, EIGHT_ADDED),
        blocks=MemoryBlocks(BLOCK, tuple(range(8)), (8, 9), "offline"),
    )


def test_hot_added_blocks_that_are_offline_are_in_no_count_of_the_driver() -> None:
    assert terms(with_offline_blocks(a_pv_guest()))["offline-blocks"] == -262144
    assert terms(with_offline_blocks(an_unpopulated_guest()))["unpopulated-alloc"] == -HALF


def test_a_block_of_the_boots_own_memory_put_offline_by_hand_stays_populated() -> None:
    blocks = MemoryBlocks(BLOCK, (0, 1, 2, 3, 4, 5, 6), (7,), "offline")
    assert "offline-blocks" not in terms(a_pv_guest(blocks=blocks))


def test_a_kernel_before_3_2_still_counts_the_pages_it_released() -> None:
    old = a_pv_guest(
        domain={"kernel": LINUX_2_6_32},
        boot_log={"released_pages": 96},
        balloon={"current_kib": 524288 + 384},
    )
    assert terms(old)["released"] == 384


def test_a_driver_before_4_3_takes_the_highest_address_for_its_pages() -> None:
    old = an_hvm_guest(
        domain={"kernel": LINUX_2_6_32},
        balloon={"current_kib": 522868 + 392, "low_kib": 525312},
    )
    assert terms(old)["holes-counted"] == 388


def test_a_kernel_that_starts_from_present_pages_misses_388_kib_of_a_pv_guest() -> None:
    snapshot = a_pv_guest(balloon={"current_kib": 524288 - 388, "target_kib": 524288 - 388})
    assert terms(snapshot)["phantom-credit"] == -388


def test_memory_cut_by_a_kernel_option_is_named_with_the_option() -> None:
    cut = a_pvh_guest(
        balloon={"low_kib": 524288 - 65536},
        zones={"present_pages": 262047 - 16384},
        kernel_options=("quiet", "mem=960M"),
    )
    assert terms(cut)["kernel-cut"] == -65536
    term = reconciled(cut).term("kernel-cut")
    assert term
    assert "booted with mem=960M" in term.why


def test_dom0_may_have_lent_ballooned_pages_to_backends() -> None:
    lent = a_dom0(balloon={"low_kib": 524288 - 2048})
    assert terms(lent)["lent-for-grants"] == -2048
    assert reconciled(lent).proof == "inferred"


@pytest.mark.parametrize(
    ("target_kib", "low_kib", "moved_kib"),
    [
        (786432, 524288 - 6144, -6144),
        (393216, 524288 + 2048, 2048),
        (524288 + 6144, 524288 - 6144, -6144),
    ],
    ids=["growing", "shrinking", "all the way"],
)
def test_what_moved_between_two_reads_is_named_and_proves_nothing(
    target_kib: int, low_kib: int, moved_kib: int
) -> None:
    snapshot = a_pv_guest(
        balloon={"target_kib": target_kib, "low_kib": low_kib, "read_while_moving": True}
    )
    assert terms(snapshot)["moved-while-reading"] == moved_kib
    assert reconciled(snapshot).proof == "inferred"


@pytest.mark.parametrize(
    "balloon",
    [
        {"target_kib": 786432, "low_kib": 524288 - 6144, "motion": "still"},
        {"target_kib": 786432, "low_kib": 524288 + 6144, "motion": "unknown"},
        {"target_kib": 525312, "low_kib": 524288 - 6144, "motion": "unknown"},
        {"low_kib": 524288 - 6144, "motion": "unknown"},
    ],
    ids=["it stood still", "the wrong way", "more than the way", "on its target"],
)
def test_motion_is_no_excuse_for_what_it_cannot_have_caused(balloon: dict[str, Any]) -> None:
    assert reconciled(a_pv_guest(balloon=balloon)).unexplained_kib != 0


def test_iomem_stands_in_for_a_missing_firmware_map_and_is_named() -> None:
    result = reconciled(a_pv_guest(firmware_map=None))
    assert result.unexplained_kib == 0
    assert result.terms[0].source == "/proc/iomem"


@pytest.mark.parametrize(
    ("snapshot", "word"),
    [
        (a_pv_guest(domain={"domain_type": None}), "PV, PVH or HVM"),
        (a_pv_guest(balloon=None), "CONFIG_XEN_BALLOON"),
        (a_pv_guest(balloon={"current_kib": None}), "current_kb"),
        (a_pv_guest(balloon={"low_kib": None}), "low_kb"),
        (a_pv_guest(firmware_map=None, iomem=None), "/proc/iomem"),
    ],
)
def test_where_the_sum_cannot_be_made_a_sentence_says_why(snapshot: Snapshot, word: str) -> None:
    result = reconciled(snapshot)
    assert (result.identity, result.terms, result.unexplained_kib) == (None, (), None)
    assert result.obstacle
    assert word in result.obstacle


SIZES = st.one_of(st.none(), st.integers(0, 1 << 64))
TYPES = st.sampled_from(["pv", "pvh", "hvm", "dom0-pv", "dom0-pvh", None])
REGIONS = st.builds(
    Region, st.integers(-1, 1 << 65), st.integers(-1, 1 << 65), st.sampled_from([RAM, "Reserved"])
)


@given(
    domain_type=TYPES,
    regions=st.lists(REGIONS, max_size=5),
    current=SIZES, target=SIZES, low=SIZES, high=SIZES,
    released=st.integers(0, 1 << 40),
    offline=st.lists(st.integers(0, 1 << 30), max_size=3),
    log=st.booleans(),
)  # fmt: skip
def test_the_signed_sum_of_the_terms_is_what_is_unexplained(
    *,
    domain_type: Any,
    regions: list[Region],
    current: int | None,
    target: int | None,
    low: int | None,
    high: int | None,
    released: int,
    offline: list[int],
    log: bool,
) -> None:
    base = a_pv_guest() if log else a_pv_guest(boot_log=None)
    snapshot = changed(
        base,
        domain={"domain_type": domain_type},
        firmware_map=memory_map(regions),
        balloon={"current_kib": current, "target_kib": target, "low_kib": low, "high_kib": high,
                 "motion": "unknown"},
        blocks=MemoryBlocks(BLOCK, (), tuple(offline)),
    )  # fmt: skip
    if log:
        snapshot = changed(snapshot, boot_log={"released_pages": released})
    result = reconciled(snapshot)
    if result.unexplained_kib is None:
        assert result.obstacle
        return
    assert sum(term.kib for term in result.terms) == result.unexplained_kib
    assert len({term.name for term in result.terms}) == len(result.terms)
    assert (result.proof == "inferred") == any(term.inferred for term in result.terms)
    assert all(term.source and term.why for term in result.terms)


def test_what_dom0_misses_as_much_of_is_no_phantom() -> None:
    dom0 = a_dom0()
    assert dom0.firmware_map is not None
    pages = dom0.firmware_map.isa_hole_pages + dom0.firmware_map.page_zero_pages
    current_kib = 1048576 - 4 * pages
    missing = a_dom0(balloon={"current_kib": current_kib, "target_kib": current_kib})
    assert terms(missing) == terms(dom0) | {
        "current": -current_kib,
        "lent-for-grants": -4 * pages,
    }
