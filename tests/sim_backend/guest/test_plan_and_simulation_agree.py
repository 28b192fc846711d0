# SPDX-License-Identifier: GPL-2.0-or-later
"""What `plan` promises is what a simulated guest of that shape then has."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.facts.snapshot import DomainType, Snapshot
from agent.core.plan.plan import plan
from agent.core.plan.request import PlanRequest
from sim_backend.guest.boot import boot
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.host.libxl import simple_guest
from tests.sim_backend.guests import MEASURED

TYPES = st.sampled_from(["pv", "pvh", "hvm", "dom0-pv"])
SIZES = st.integers(160, 40000)


@given(TYPES, SIZES, SIZES, st.sampled_from(sorted(MEASURED)), st.booleans())
@settings(max_examples=60)
def test_map_cost_and_verdict_are_the_same(
    domain_type: DomainType, one: int, other: int, series: str, e820_host: bool
) -> None:
    memory_kib, maxmem_kib = min(one, other) * MIB, max(one, other) * MIB
    image = MEASURED[series]
    e820_host = e820_host and domain_type == "pv"
    guest = boot(GuestConfig(domain_type, memory_kib, maxmem_kib, image=image, e820_host=e820_host))
    made = plan(
        PlanRequest(domain_type, memory_kib, maxmem_kib, image.release, e820_host=e820_host)
    )
    assert made.firmware == guest.map
    assert made.overhead_kib == guest.overhead_kib
    if made.request.is_pv:
        assert (made.mem_total_kib, made.boots) == (guest.mem_total_kib, guest.verdict.boots)
        assert made.current_kib == guest.driver.current_pages * 4
        held_pages = guest.driver.low_pages + guest.driver.high_pages
        held = guest.unpopulated_pages if made.grows_by_hot_add else held_pages
        assert made.beyond_kib == held * 4


@pytest.mark.parametrize("domain_type", ["pv", "pvh", "hvm"])
@pytest.mark.parametrize("videoram_mib", [0, 8])
def test_a_settled_guest_has_what_was_planned_and_can_be_raised_as_far(
    domain_type: DomainType, videoram_mib: int
) -> None:
    videoram_kib = videoram_mib * MIB if domain_type == "hvm" else 0
    made = plan(
        PlanRequest(
            domain_type, 512 * MIB, 1024 * MIB, MEASURED["6.1"].release, videoram_kib=videoram_kib
        )
    )
    toolstack, domain = simple_guest(
        GuestConfig(domain_type, 512 * MIB, 1024 * MIB, videoram_kib=videoram_kib)
    )
    assert balloon_of(domain.snapshot()) == (made.current_kib, made.mem_total_kib)
    toolstack.mem_set(domain, made.host_reachable_max_kib)
    domain.settle()
    most = made.targets[-1]
    assert balloon_of(domain.snapshot()) == (made.reachable_max_kib, most.mem_total_kib)


def balloon_of(snapshot: Snapshot) -> tuple[int | None, int]:
    assert snapshot.balloon
    assert snapshot.memory
    return snapshot.balloon.current_kib, snapshot.memory.total_kib
