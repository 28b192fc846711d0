# SPDX-License-Identifier: GPL-2.0-or-later
"""The screens of `plan` as people see them, kept in tests/report/golden_plan/ to be looked at.

BALLOON_AGENT_UPDATE_GOLDEN=1 with these tests writes them anew; look at the difference.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from agent.core.account.situation import understand
from agent.core.facts.kernel_release import KernelRelease
from agent.core.plan.plan import plan
from agent.core.plan.request import PlanRequest
from agent.core.plan.target import advise
from agent.report.plan_json import advice_object, plan_object
from agent.report.plan_text import advice_lines, plan_lines
from agent.report.styled import Line, plain
from tests.support.captured import assessed
from tests.support.golden import check_reviewed
from tests.support.snapshots import a_pv_guest, an_hvm_guest

GOLDEN: Final = Path(__file__).parent / "golden_plan"
MIB: Final = 1024
GIB: Final = 1024 * MIB
LINUX_6_1: Final = KernelRelease(6, 1)

REQUESTS: Final = {
    "pv": PlanRequest("pv", 512 * MIB, GIB, LINUX_6_1),
    "pv-clamped": PlanRequest("pv", 256 * MIB, 8 * GIB, LINUX_6_1),
    "pv-unpopulated": PlanRequest("pv", 512 * MIB, 2 * GIB),
    "pv-risky": PlanRequest("pv", 128 * MIB, 4 * GIB, LINUX_6_1),
    "pvh-no": PlanRequest("pvh", 256 * MIB, 16 * GIB, LINUX_6_1),
    "hvm": PlanRequest("hvm", GIB, 2 * GIB, LINUX_6_1, videoram_kib=8 * MIB),
    "dom0": PlanRequest("dom0-pv", 2 * GIB, 4 * GIB, host_memory_kib=64 * GIB),
    "i386": PlanRequest("pv", 2 * GIB, 16 * GIB, KernelRelease(4, 19), bits=32),
}
TARGETS: Final = {
    "down": ("pv-512-1024/memset-768", 384 * MIB),
    "too-far-down": ("pv-512-1024/memset-768", 128 * MIB),
    "up-offline": ("pv-512-1024-k510/boot", 768 * MIB),
}
TERMINALS: Final = {
    "80": (80, False),
    "40": (40, False),
    "80-ascii": (80, True),
    "40-ascii": (40, True),
}


def planned(name: str) -> Callable[[int], list[Line]]:
    made = plan(REQUESTS[name])
    return lambda width: plan_lines(made, width)


def advised(name: str) -> Callable[[int], list[Line]]:
    capture, target_kib = TARGETS[name]
    situation = assessed(capture).situation
    advice = advise(situation, target_kib)
    assert advice
    return lambda width: advice_lines(advice, situation, width)


SCREENS: Final = {f"plan-{name}": (planned, name) for name in REQUESTS} | {
    f"target-{name}": (advised, name) for name in TARGETS
}


@pytest.mark.parametrize("terminal", TERMINALS)
@pytest.mark.parametrize("screen", SCREENS)
def test_a_plan_looks_as_reviewed(screen: str, terminal: str) -> None:
    width, ascii_only = TERMINALS[terminal]
    make, name = SCREENS[screen]
    shown = plain(make(name)(width), ascii_only=ascii_only)
    check_reviewed(GOLDEN / f"{screen}-{terminal}.txt", shown)


@pytest.mark.parametrize("width", [40, 53, 72, 100])
@pytest.mark.parametrize("screen", SCREENS)
def test_no_line_of_a_plan_is_wider_than_the_terminal_but_one_to_paste(
    screen: str, width: int
) -> None:
    make, name = SCREENS[screen]
    wide = [row for row in plain(make(name)(width)).splitlines() if len(row) > width]
    assert all(row.lstrip().startswith(("xe ", "dom0_mem", "On the host")) for row in wide)


def test_the_json_of_a_plan_has_the_keys_scripts_go_by() -> None:
    found = json.loads(json.dumps(plan_object(plan(REQUESTS["pv-clamped"]))))
    assert found["reachable_max_kib"] == 11 * 256 * MIB
    assert found["map_kib"] == 11 * 256 * MIB - 384
    assert found["page_struct_kib"] == 11 * 256 * MIB // 64
    assert found["boots"] == "yes"
    assert found["limits"][0]["code"] == "maxmem-unreachable"
    assert found["config"]["xl.cfg"] == ['type = "pv"', "memory = 256", "maxmem = 8192"]
    assert found["targets"][1]["mem_total_kib"] == found["mem_total_at_boot_kib"]


@pytest.mark.parametrize("name", REQUESTS)
def test_the_waterfall_of_a_plan_adds_up(name: str) -> None:
    found: dict[str, Any] = plan_object(plan(REQUESTS[name]))
    size_kib = found["waterfall"]["levels"][0]["kib"]
    for level in found["waterfall"]["levels"]:
        size_kib += sum(step["kib"] for step in level["steps"])
        assert size_kib == level["kib"]
    assert size_kib == found["mem_total_at_boot_kib"]


@pytest.mark.parametrize(
    ("toolstack", "line"),
    [
        ("libxl", "xl mem-set DOMAIN 384"),
        ("xend", "xm mem-set 5 384"),
        ("xapi", "set its memory to 384 MiB (393216 KiB), by what sets its target there"),
        ("qubes", "set its memory to 384 MiB (393216 KiB), by what sets its target there"),
        (None, "ask whoever runs the host to set its memory to 384 MiB (393216 KiB)"),
    ],
)
def test_a_size_is_set_by_what_runs_on_the_host(toolstack: str | None, line: str) -> None:
    situation = understand(a_pv_guest(domain={"toolstack": toolstack}))
    advice = advise(situation, 384 * MIB)
    assert advice
    assert f"On the host  {line}" in plain(advice_lines(advice, situation, 80))


def test_a_size_below_what_the_host_counts_for_itself_leaves_no_less_than_nothing() -> None:
    situation = understand(an_hvm_guest())
    advice = advise(situation, 100)
    assert advice
    assert "Then      0 KiB (0 KiB)" in plain(advice_lines(advice, situation, 80))


def test_the_json_of_an_advice_says_how_far_is_safe() -> None:
    situation = assessed("pv-512-1024/memset-768").situation
    advice = advise(situation, 384 * MIB)
    assert advice
    found = json.loads(json.dumps(advice_object(advice, situation)))
    assert found["answer"] == "yes"
    assert found["safe_from_kib"] <= 384 * MIB <= found["safe_to_kib"] == GIB
    assert found["source"]["kind"] == "capture"
