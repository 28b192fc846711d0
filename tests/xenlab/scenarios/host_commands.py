# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent guests` and `balloon-agent mem-set` in dom0, with three guests at once.

One has the daemon in mode follow on Linux 5.10 and a workload, which `balloon-agent mem-set` leaves
alive and `xl mem-set` kills; one is PVH with the daemon, and one has no agent.
"""

from __future__ import annotations

import json
from typing import Any, Final

from tests.xenlab.dom0 import toolstack
from tests.xenlab.dom0.guest import Guest
from tests.xenlab.dom0.judge import LISTED_TOLERANCE_KIB
from tests.xenlab.dom0.scene import Scene
from tests.xenlab.model import Case, GuestSpec, Scenario
from tests.xenlab.scenarios.daemon import expect_alive, start_daemon
from tests.xenlab.scenarios.pressure import (
    ANSWER_WITHIN_S,
    TOO_LITTLE_MIB,
    WORKLOAD,
    until_killed,
    working,
    workload_state,
)

BUSY: Final = "busy-pv"
IDLE: Final = "idle-pvh"
SILENT: Final = "silent-pv"
GUESTS: Final = {
    BUSY: GuestSpec("pv", kernel="bullseye", systemd=True),
    IDLE: GuestSpec("pvh", systemd=True),
    SILENT: GuestSpec("pv", 256, 512),
}
REACHED, STOPPED_SHORT = 0, 1
STEPS_WITHIN_S: Final = 300.0
MORE_MIB: Final = 640
OFFLINE_MIB: Final = 900
"""Beyond the blocks that are online at `MORE_MIB`."""


def _on(scene: Scene, name: str) -> Scene:
    """The stage with another guest on it."""
    return Scene(scene.scenario, scene.others[name], scene.folder)


def _up() -> Case:
    def act(scene: Scene) -> None:
        for name, spec in GUESTS.items():
            guest = Guest(name, spec)
            scene.others[name] = guest
            guest.boot()
            if name != SILENT:
                guest.install_agent()
                start_daemon(_on(scene, name))
                expect_alive(_on(scene, name))

    return Case("three guests", "up; two with the daemon in mode follow", act)


def _rows(scene: Scene) -> dict[str, dict[str, Any]]:
    done = scene.agent("guests", "--json")
    assert done.status in {0, 1}, f"balloon-agent guests: {done}"
    return {row["name"]: row for row in json.loads(done.out)["guests"]}


def _agree() -> Case:
    def act(scene: Scene) -> None:
        rows = _rows(scene)
        assert {*GUESTS} <= {*rows}, sorted(rows)
        for name in (BUSY, IDLE):
            there, row = _on(scene, name), rows[name]
            truth, status = there.truth(), there.status()
            assert row["actual_kib"] == truth["current_kib"], (row, truth)
            assert row["target_kib"] == int(truth["xenstore_target"]), (row, truth)
            assert row["state"] == status["balloon"]["state"], (row, status["balloon"])
            listed_kib = toolstack.listed_mib(there.domain.domid) * 1024
            assert abs(listed_kib - row["actual_kib"]) <= LISTED_TOLERANCE_KIB, (row, listed_kib)
        silent = rows[SILENT]
        assert silent["actual_kib"] is None, silent
        assert silent["agent"] is None, silent
        assert silent["target_kib"] == 256 * 1024, silent
        shown = scene.agent("guests")
        assert shown.status in {0, 1}, shown
        for name in GUESTS:
            assert name in shown.text, shown.text
        scene.measure("guests", shown.text.splitlines()[0])

    verifies = "has, target and state are those of `xl list` and of each guest's own status"
    return Case("guests", verifies, act)


def _at_work() -> Case:
    """The workload in the guest that will be asked for too much."""
    inner = working()
    return Case(inner.name, inner.verifies, lambda scene: inner.act(_on(scene, BUSY)))


def _stops_at_what_it_needs() -> Case:
    def act(scene: Scene) -> None:
        argv = ["balloon-agent", "mem-set", BUSY, f"{TOO_LITTLE_MIB}"]
        done = scene.domain.run(argv, timeout_s=STEPS_WITHIN_S)
        there = _on(scene, BUSY)
        scene.measure("said", done.text.splitlines()[-1] if done.text else str(done))
        assert done.status == STOPPED_SHORT, str(done)
        assert "stopped at" in done.text.lower(), str(done)
        state, result = workload_state(there)
        assert state == "active", f"the workload is gone: {result}"
        log = there.domain.run(["dmesg"], timeout_s=ANSWER_WITHIN_S).out
        assert b"Out of memory" not in log, "the OOM killer acted"
        expect_alive(there)

    verifies = "stopped where the guest needs the rest, in mode follow; nothing was killed"
    return Case(f"balloon-agent mem-set {TOO_LITTLE_MIB}", verifies, act)


def _kills_without_steps() -> Case:
    def act(scene: Scene) -> None:
        there = _on(scene, BUSY)
        there.mem_set(TOO_LITTLE_MIB)
        state = until_killed(there)
        assert state == ("failed", "oom-kill"), f"the workload ended otherwise: {state}"
        expect_alive(there)

    verifies = "the same guest, the same mode, and xl's own: the OOM killer takes the workload"
    return Case(f"xl mem-set {TOO_LITTLE_MIB}", verifies, act)


def _goes_up() -> Case:
    def act(scene: Scene) -> None:
        there = _on(scene, BUSY)
        there.domain.run(["systemctl", "stop", WORKLOAD], timeout_s=ANSWER_WITHIN_S)
        argv = ["balloon-agent", "mem-set", BUSY, f"{MORE_MIB}"]
        done = scene.domain.run(argv, timeout_s=STEPS_WITHIN_S)
        scene.measure("said", done.text.splitlines()[-1] if done.text else str(done))
        assert done.status == REACHED, str(done)
        there.agreed({"current_kib": MORE_MIB * 1024})

    verifies = "reached on Linux 5.10, whose blocks the daemon puts online"
    return Case(f"balloon-agent mem-set {MORE_MIB}", verifies, act)


def _stuck() -> Case:
    def act(scene: Scene) -> None:
        start_daemon(_on(scene, BUSY), mode="observe")
        argv = ["balloon-agent", "mem-set", BUSY, f"{OFFLINE_MIB}"]
        done = scene.domain.run(argv, timeout_s=STEPS_WITHIN_S)
        scene.measure("said", done.text.splitlines()[-1] if done.text else str(done))
        assert done.status == STOPPED_SHORT, str(done)
        assert "stopped at" in done.text, str(done)
        assert "hotplug-offline" in done.text, str(done)
        (row,) = (row for name, row in _rows(scene).items() if name == BUSY)
        assert row["finding"] == "hotplug-offline", row

    verifies = "stopped short, with the guest's finding: in mode observe its blocks stay offline"
    return Case(f"balloon-agent mem-set {OFFLINE_MIB}", verifies, act)


SCENARIOS: Final = (
    Scenario(
        "dom0-guests",
        "the commands for dom0, with three guests at once",
        GuestSpec("dom0", 1024, 1536, systemd=True),
        (
            _up(),
            _agree(),
            _at_work(),
            _stops_at_what_it_needs(),
            _kills_without_steps(),
            _goes_up(),
            _stuck(),
        ),
        beside=tuple(GUESTS.values()),
    ),
)
