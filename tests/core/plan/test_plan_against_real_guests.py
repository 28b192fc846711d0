# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan, made from memory, maxmem and kernel alone, against what real guests showed."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from agent.core.account.boot_facts import uncounted_kib
from agent.core.facts.snapshot import Snapshot
from agent.core.plan.plan import Plan, plan
from agent.core.plan.request import PlanRequest
from tests import captures
from tests.support import captured

# The map of a PVH dom0 is the host's, which nobody has told the plan; it offers no such type.
BOOTS = tuple(
    name for name in captures.names() if name.endswith("/boot") and not name.startswith("dom0-pvh")
)
DOM0_MEM = (1024, 1536)  # the lab's dom0_mem=1G,max:1536M


class Case(NamedTuple):
    planned: Plan
    real: Snapshot


@pytest.fixture(params=BOOTS)
def case(request: pytest.FixtureRequest) -> Case:
    capture, real = captured.load(request.param), captured.snapshot_of(request.param)
    assert real.domain.domain_type
    assert real.domain.kernel
    dom0 = real.domain.domain_type == "dom0-pv"
    memory_mib, maxmem_mib = (
        DOM0_MEM if dom0 else (int(capture.meta["memory_mib"]), int(capture.meta["maxmem_mib"]))
    )
    planned = plan(
        PlanRequest(
            real.domain.domain_type,
            memory_mib * 1024,
            maxmem_mib * 1024,
            real.domain.kernel,
            e820_host="e820host" in request.param,
            cpus=int(capture.meta.get("vcpus", 1)),
        )
    )
    return Case(planned, real)


def test_the_map_is_the_one_the_booted_kernel_shows(case: Case) -> None:
    assert case.real.firmware_map
    planned, real = case.planned.firmware.regions, case.real.firmware_map.regions
    assert [*planned] == [*map(captured.as_xen_417_has_it, real)]


def test_the_reachable_maximum_is_exact(case: Case) -> None:
    firmware, domain_type = case.real.firmware_map, case.real.domain.domain_type
    assert firmware
    assert case.planned.reachable_max_kib == firmware.ram_kib - uncounted_kib(firmware, domain_type)


def test_current_kb_and_what_the_balloon_holds_are_exact(case: Case) -> None:
    balloon = case.real.balloon
    assert balloon
    assert case.planned.current_kib == balloon.current_kib
    held_kib = 0 if case.planned.holder == "unpopulated-alloc" else case.planned.beyond_kib
    assert balloon.ballooned_kib == held_kib


def test_mem_total_is_met_within_a_thousandth(case: Case) -> None:
    """A hundredth is what is promised."""
    assert case.real.memory
    assert case.planned.mem_total_kib == pytest.approx(case.real.memory.total_kib, rel=0.001)


def test_a_guest_that_ran_was_said_to_boot(case: Case) -> None:
    assert case.planned.boots == "yes"
