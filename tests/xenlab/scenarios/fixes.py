# SPDX-License-Identifier: GPL-2.0-or-later
"""What the doctor prints is pasted, in dom0 and in the guest, and the finding must go.

A case breaks something, takes the commands of the finding that it expects, as they are, runs them
where the finding says, and looks again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Final

from tests.xenlab.dom0 import toolstack
from tests.xenlab.dom0.scene import VERDICT_STATUSES, Scene
from tests.xenlab.dom0.settings import deadline
from tests.xenlab.model import Case, GuestSpec, Scenario
from tests.xenlab.scenarios import steps

GONE_WITHIN_S: Final = 90.0
GRAVITY: Final = ("info", "warning", "critical")
BEYOND_KIB: Final = 2097152


def _findings(scene: Scene) -> dict[str, dict[str, Any]]:
    done = scene.agent("doctor", "--json")
    assert done.status in VERDICT_STATUSES, f"balloon-agent doctor: {done}"
    return {finding["code"]: finding for finding in json.loads(done.out)["findings"]}


def _gravest(findings: dict[str, dict[str, Any]]) -> int:
    return max((GRAVITY.index(found["severity"]) for found in findings.values()), default=0)


def _paste(scene: Scene, finding: dict[str, Any]) -> list[str]:
    """Run the commands of a finding that help at once; return them."""
    pasted = []
    for fix in finding["fixes"]:
        if fix["effect"] != "now":
            continue
        for command in fix["commands"]:
            argv = ["sh", "-ec", command]
            done = scene.domain.run(argv) if fix["where"] == "guest" else toolstack.run(argv)
            assert done.status == 0, f"{fix['where']}: {command}: {done}"
            pasted.append(f"{fix['where']}: {command}")
    return pasted


def _cured(name: str, wrong: Callable[[Scene], object], code: str) -> Case:
    def act(scene: Scene) -> None:
        before = scene.truth()["current_kib"]
        wrong(scene)
        scene.truth()
        found = _findings(scene)
        assert code in found, f"the doctor does not find {code}: {sorted(found)}"
        pasted = _paste(scene, found[code])
        assert pasted, f"there is nothing to paste: {found[code]}"
        scene.measure("pasted", "; ".join(pasted))
        end = deadline(GONE_WITHIN_S)
        while code in (now := _findings(scene)):
            assert time.monotonic() < end, f"it is still there: {now[code]}"
            time.sleep(2)
        assert _gravest(now) <= _gravest(found), f"graver than before: {now}"
        truth = scene.truth()
        assert truth["current_kib"] >= before, f"the guest lost memory by it: {truth}"

    return Case(name, f"`{code}` is found; what it prints is pasted; it is gone", act)


def _beyond(scene: Scene) -> None:
    scene.write_target(str(BEYOND_KIB))


def _garbage(scene: Scene) -> None:
    scene.write_target("abc")


def _elsewhere(scene: Scene) -> None:
    """The kernel told by hand to aim below the host's target."""
    balloon = "/sys/devices/system/xen_memory/xen_memory0"
    scene.domain.run(["sh", "-c", f"echo {500 * steps.KIB} >{balloon}/target_kb"])


def _grown(scene: Scene) -> None:
    scene.mem_set(768)


SCENARIOS: Final = (
    Scenario(
        "pv-fixes",
        "a PV guest whose target is wrong in several ways, mended with what the doctor prints",
        GuestSpec("pv"),
        (
            _cured("the host's target is garbage", _garbage, "host-target-garbage"),
            _cured("the kernel aims elsewhere", _elsewhere, "target-overridden"),
            _cured("a target beyond static-max", _beyond, "target-beyond-static-max"),
        ),
    ),
    Scenario(
        "pv-fixes-bullseye",
        "a PV guest with Linux 5.10, whose added memory stays offline until that is mended",
        GuestSpec("pv", kernel="bullseye"),
        (_cured("xl mem-set upwards", _grown, "hotplug-offline"),),
    ),
)
