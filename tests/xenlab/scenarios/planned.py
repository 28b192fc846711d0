# SPDX-License-Identifier: GPL-2.0-or-later
"""What `plan` says of a guest on paper, beside what the guest is once it has booted."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.xenlab.dom0.scene import VERDICT_STATUSES, Scene
from tests.xenlab.model import Case, GuestSpec, Scenario
from tests.xenlab.scenarios import steps

MEM_TOTAL_WITHIN: Final = 0.001
"""As a share; docs/plan.md found at most 0.0002 with guests that have the lab's tiny init."""


def _planned(scene: Scene) -> dict[str, Any]:
    guest = scene.scenario.guest
    arguments = ["--memory", f"{guest.memory_mib}M", "--maxmem", f"{guest.maxmem_mib}M"]
    arguments += ["--type", guest.kind, "--kernel", scene.truth()["kernel"]]
    if guest.kind == "hvm":
        # The lab's guests have no screen unless they say so.
        said = dict(line.split(" = ") for line in guest.config)
        arguments += ["--videoram", said.get("videoram", "0")]
    if "e820_host = 1" in guest.config:
        arguments.append("--e820-host")
    done = scene.agent("plan", "--json", *arguments)
    assert done.status in VERDICT_STATUSES, f"balloon-agent plan: {done}"
    found: dict[str, Any] = json.loads(done.out)
    return found


def as_planned() -> Case:
    """The guest as it booted, before anything moved its balloon."""

    def act(scene: Scene) -> None:
        plan, truth = _planned(scene), scene.truth()
        planned, real = plan["mem_total_at_boot_kib"], truth["mem_total_kib"]
        scene.measure("MemTotal planned", f"{planned} KiB")
        scene.measure("MemTotal found", f"{real} KiB ({(planned - real) / real:+.3%})")
        assert plan["map_kib"] == truth["ram_kib"], (plan["map_kib"], truth)
        assert plan["current_at_boot_kib"] == truth["current_kib"], (plan, truth)
        assert abs(planned - real) <= MEM_TOTAL_WITHIN * real, f"MemTotal {real}, not {planned}"

    share = f"{MEM_TOTAL_WITHIN:.1%}"
    verifies = f"`plan` told the E820 RAM and current_kb exactly, MemTotal within {share}"
    return Case("as planned", verifies, act)


def planned_maximum() -> Case:
    """As far as the plan says that this guest can go without hot-adding, and no further."""

    def act(scene: Scene) -> None:
        plan = _planned(scene)
        done = scene.mem_set(plan["host_reachable_max_kib"] // steps.KIB)
        assert done.status == 0, f"xl mem-set: {done}"
        scene.measure("reached", f"{plan['reachable_max_kib']} KiB")
        scene.agreed({"current_kib": plan["reachable_max_kib"], "ballooned_kib": 0})

    verifies = f"current = `plan`'s reachable_max_kib, the balloon is empty; {steps.AGREE}"
    return Case("planned maximum", verifies, act)


SCENARIOS: Final = (
    Scenario(
        "pv-11-times",
        "a PV guest with maxmem 11 times memory, the most that Linux maps",
        GuestSpec("pv", 192, 2112),
        (
            steps.booted(current_kib=196608),
            as_planned(),
            planned_maximum(),
        ),
    ),
    Scenario(
        "pv-32-times",
        "a PV guest with maxmem 32 times memory, most of it beyond reach",
        GuestSpec("pv", 192, 6144),
        (
            steps.booted(current_kib=196608),
            as_planned(),
            planned_maximum(),
            steps.mem_set(192),
        ),
    ),
    Scenario(
        "hvm-16-gib",
        "an HVM guest with maxmem 16 times memory, most of it populated on demand only",
        GuestSpec("hvm", 1024, 16384, command_line=steps.PAGES_UNTOUCHED),
        (steps.booted(current_kib=1047156), as_planned()),
    ),
)
