# SPDX-License-Identifier: GPL-2.0-or-later
"""All that is said of a guest, or of one that is planned, as JSON has it: kept in golden_json/.

BALLOON_AGENT_UPDATE_GOLDEN=1 with these tests writes them anew; look at the difference.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from agent.core.facts.units import MIB_KIB
from agent.core.plan.plan import plan
from agent.core.plan.target import advise
from agent.report.plan_json import advice_object, plan_object
from agent.report.status_json import status_object
from tests.cases.test_every_case import NAMES, case
from tests.report.test_plan_screens import REQUESTS
from tests.support.captured import assessed
from tests.support.golden import check_reviewed

GOLDEN: Final = Path(__file__).parent / "golden_json"
CAPTURES: Final = (
    "dom0-pvh-k612/boot",
    "dom0/memset-896",
    "dom0/xl-list-l",
    "hvm-1024-6144/boot",
    "hvm-512-1024/memset-384-still-moving",
    "hvm-512-1024/memset-768",
    "pv-1024-8192-k72/boot",
    "pv-256-256/boot",
    "pv-256-2816/memset-512",
    "pv-256-4096-k612/memset-768",
    "pv-512-1024-e820host-k612/memset-384",
    "pv-512-1024-hotplug/hotplugged-memset-1408",
    "pv-512-1024-hotplug/memmax-1536-memset-1280",
    "pv-512-1024-k510-onlined/memset-768",
    "pv-512-1024-k510/memset-768",
    "pv-512-1024-k612-unaligned/memset-600",
    "pv-512-1024-moving/moving-1024-to-384",
    "pv-512-1024-units/target-garbled",
    "pv-512-1024-units/target-in-mib",
    "pv-512-1024/guest-target_kb-655360",
    "pv-512-1024/xenstore-raw-beyond-maxmem",
    "pv-512-16384/memset-768",
    "pvh-512-1024-down/memset-384",
    "pvh-512-1024-xen414/memset-768",
)

TARGETS: Final = tuple(
    (name, mib)
    for name in (
        "dom0/memset-896",
        "hvm-512-1024/memset-768",
        "pv-256-4096-k612/memset-768",
        "pv-512-1024-k510/memset-768",
        "pv-512-16384/memset-768",
        "pvh-512-1024-down/memset-384",
    )
    for mib in (100, 400, 2000)
)
PLANS: Final = tuple(f"plan {name}" for name in REQUESTS)
ADVICE: Final = tuple(f"{name} to {mib}" for name, mib in TARGETS)


def file_of(name: str) -> Path:
    return GOLDEN / f"{name.replace('/', '--').replace(' ', '-')}.json"


def as_reviewed(name: str, said: dict[str, Any]) -> None:
    text = json.dumps(said, indent=1, ensure_ascii=False) + "\n"
    check_reviewed(file_of(name), text)


@pytest.mark.parametrize("name", CAPTURES)
def test_all_that_is_said_of_a_captured_guest_is_as_reviewed(name: str) -> None:
    as_reviewed(name, status_object(assessed(name)))


@pytest.mark.parametrize("name", NAMES)
def test_all_that_is_said_of_a_reported_guest_is_as_reviewed(name: str) -> None:
    as_reviewed(name, status_object(case(name).diagnosis.assessment))


@pytest.mark.parametrize("name", REQUESTS)
def test_all_that_is_said_of_a_planned_guest_is_as_reviewed(name: str) -> None:
    as_reviewed(f"plan {name}", plan_object(plan(REQUESTS[name])))


@pytest.mark.parametrize(("name", "mib"), TARGETS)
def test_all_that_is_said_of_a_new_target_is_as_reviewed(name: str, mib: int) -> None:
    situation = assessed(name).situation
    advice = advise(situation, mib * MIB_KIB)
    assert advice
    as_reviewed(f"{name} to {mib}", advice_object(advice, situation))


def test_nothing_is_kept_of_a_guest_that_is_gone() -> None:
    names = (*CAPTURES, *NAMES, *PLANS, *ADVICE)
    assert set(GOLDEN.iterdir()) == {file_of(name) for name in names}
