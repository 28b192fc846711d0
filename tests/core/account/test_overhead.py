# SPDX-License-Identifier: GPL-2.0-or-later
"""What Linux keeps for itself, in parts that add up."""

from __future__ import annotations

import pytest

from agent.core.account.boot_facts import boot_facts
from agent.core.account.overhead import Overhead, overhead
from agent.core.boot.cost import LINUX_6_1, kernel_cost
from agent.core.facts.snapshot import Snapshot
from tests import captures
from tests.support import captured
from tests.support.snapshots import (
    BLOCK,
    GIB,
    LINUX_2_6_32,
    a_dom0,
    a_pv_guest,
    a_pvh_guest,
    an_hvm_guest,
    guest_map,
)


def of(snapshot: Snapshot) -> Overhead:
    found = overhead(snapshot, boot_facts(snapshot))
    assert found
    return found


def parts(snapshot: Snapshot) -> dict[str, int]:
    return {term.name: term.kib for term in of(snapshot).terms}


@pytest.mark.parametrize("guest", [a_pv_guest(), a_pvh_guest(), an_hvm_guest(), a_dom0()])
def test_the_parts_add_up_to_what_lies_between_current_kb_and_mem_total(guest: Snapshot) -> None:
    found = of(guest)
    assert guest.balloon
    assert guest.memory
    assert found.kib == (guest.balloon.current_kib or 0) - guest.memory.total_kib
    assert sum(term.kib for term in found.terms) == found.kib
    assert [term.name for term in found.terms if term.inferred] == ["kernel"]


def test_only_a_pv_guest_has_a_p2m_and_maps_its_memory_in_small_pages() -> None:
    pv, pvh = parts(a_pv_guest()), parts(a_pvh_guest())
    assert pv["struct-pages"] == pvh["struct-pages"] == GIB // 64
    assert (pv["p2m"], pv["page-tables"]) == (2051, 2083)
    assert "p2m" not in pvh
    assert pvh["page-tables"] == 4


def test_a_kernel_of_32_bits_has_smaller_structures_and_tables() -> None:
    found = parts(a_pv_guest(domain={"kernel_text": "4.19.0-27-686-pae"}))
    assert (found["struct-pages"], found["p2m"]) == (GIB * 40 // 4096, 1025)


def test_memory_that_is_hot_added_costs_nothing_of_what_the_boot_reserved() -> None:
    added = guest_map(GIB, (1 << 32, (1 << 32) + BLOCK - 1))
    assert parts(a_pv_guest(firmware_map=added)) == parts(a_pv_guest())


def test_what_is_set_aside_for_a_crash_kernel_is_named() -> None:
    guest = a_pvh_guest(crash_kernel_kib=32 * 1024)
    assert parts(guest)["crashkernel"] == 32 * 1024
    assert parts(guest)["kernel"] == parts(a_pvh_guest())["kernel"] - 32 * 1024


def test_a_part_that_is_larger_than_what_is_left_is_not_made_up() -> None:
    found = parts(a_pvh_guest(crash_kernel_kib=8 << 20))
    assert "crashkernel" not in found


def test_without_a_map_all_of_it_is_one_part() -> None:
    assert list(parts(a_pv_guest(firmware_map=None))) == ["kernel"]


def test_of_a_domain_of_unknown_kind_all_of_it_is_one_part() -> None:
    assert list(parts(a_pv_guest(domain={"domain_type": None}))) == ["kernel"]


def test_a_kernel_that_tells_no_release_has_parts_too() -> None:
    unnamed = a_pv_guest(domain={"kernel": None, "kernel_text": None})
    assert parts(unnamed)["struct-pages"] == GIB // 64
    assert sum(parts(a_pv_guest(domain={"kernel": LINUX_2_6_32})).values()) == 524288 - 456048


def test_nothing_can_be_said_without_current_kb_and_mem_total() -> None:
    for guest in (a_pv_guest(memory=None), a_pv_guest(balloon=None)):
        assert overhead(guest, boot_facts(guest)) is None


def test_what_moved_between_two_files_is_not_called_kernel() -> None:
    caught = a_pv_guest(balloon={"motion": "moved", "current_kib": 500000})
    assert parts(caught)["kernel"] == LINUX_6_1.pv_kib
    assert parts(caught)["moved-while-reading"] == 500000 - 524288


# Of a PVH dom0 there is one boot on one host, too few to say what is usual.
SETTLED = [
    name for name in captures.names() if "moving" not in name and not name.startswith("dom0-pvh")
]


@pytest.mark.parametrize("name", SETTLED)
def test_what_is_left_for_the_kernel_is_the_same_in_every_state_of_every_guest(name: str) -> None:
    """Within 132 KiB of what was measured once for its series: the parts before it are right."""
    snapshot = captured.snapshot_of(name)
    assert snapshot.domain.kernel
    assert snapshot.domain.domain_type
    kernel = kernel_cost(snapshot.domain.kernel)
    more_cpus = int(captured.load(name).meta.get("vcpus", 1)) - 1
    usual_kib = kernel.base_kib(snapshot.domain.domain_type) + more_cpus * kernel.per_cpu_kib
    assert abs(parts(snapshot)["kernel"] - usual_kib) <= 132


def test_a_part_that_is_all_that_is_left_is_still_named() -> None:
    left_kib = parts(a_pvh_guest())["kernel"]
    found = parts(a_pvh_guest(crash_kernel_kib=left_kib))
    assert (found["crashkernel"], found["kernel"]) == (left_kib, 0)
    assert "crashkernel" not in parts(a_pvh_guest(crash_kernel_kib=left_kib + 4))
