# SPDX-License-Identifier: GPL-2.0-or-later
"""The demonstration on a real Xen: two stories, each without the agent and with it.

Played by tests/xenlab/demonstration.py, which draws what was recorded; each case holds what the
demonstration claims.
"""

import time
from typing import Any, Final

from tests.xenlab.dom0.recorder import Recorder
from tests.xenlab.dom0.scene import Scene
from tests.xenlab.model import Case, GuestSpec, Scenario
from tests.xenlab.scenarios.daemon import expect_alive, published, start_daemon
from tests.xenlab.scenarios.pressure import (
    ANSWER_WITHIN_S,
    TOO_LITTLE_MIB,
    WORKING_SET_MIB,
    WORKLOAD,
    working,
    workload_state,
)

KIB: Final = 1024
ASKED_AT_S: Final = 10.0
ENDS_AT_S: Final = 140.0
"""When the workload ends by itself, if it still runs."""
THRASHES_S: Final = 900.0
"""For how long a guest may stand still before the OOM killer acts."""
AFTERWARDS_S: Final = 45.0
"""Long enough to see whether the balloon goes on."""
NOW_AND_THEN_MIB: Final = 10
FLOOR_WITHIN_S: Final = 120.0
GROWN_S: Final = 60.0
GIVEN_MIB: Final = 768
LOOK_S: Final = 2.0


def _started(mode: str) -> Case:
    def act(scene: Scene) -> None:
        start_daemon(scene, mode=mode)
        expect_alive(scene)

    return Case("the agent is started", f"active in mode {mode}", act)


def _floor_is_told() -> Case:
    """The daemon looks again at the latest with its next sign of life to the watchdog."""

    def act(scene: Scene) -> None:
        began = time.monotonic()
        while int(published(scene, "floor_kb") or 0) < WORKING_SET_MIB * KIB:
            assert time.monotonic() - began < FLOOR_WITHIN_S, published(scene, "floor_kb")
            time.sleep(LOOK_S)
        scene.measure("told", f"{int(published(scene, 'floor_kb') or 0) // KIB} MiB")
        scene.measure("after", f"{time.monotonic() - began:.0f} s")

    return Case("the host reads how far it may go", "floor_kb covers the workload", act)


def _ask(scene: Scene, recorder: Recorder, mib: int) -> None:
    recorder.until(ASKED_AT_S)
    recorder.event(f"the host: xl mem-set {mib}")
    done = scene.mem_set(mib)
    assert done.status == 0, f"xl mem-set: {done}"


def _squeezed(*, dies: bool) -> Case:
    def act(scene: Scene) -> None:
        with Recorder(scene) as recorder:
            _ask(scene, recorder, TOO_LITTLE_MIB)
            state = _watched(scene, recorder, ends_at_s=None if dies else ENDS_AT_S)
            time.sleep(AFTERWARDS_S)
        truth = scene.truth()
        kib = truth["current_kib"]
        if dies:
            assert state == ("failed", "oom-kill"), f"the workload: {state}"
            assert kib > TOO_LITTLE_MIB * KIB, f"the host got its memory: {truth}"
        else:
            assert state == ("inactive", "success"), f"the workload: {state}"
            assert published(scene, "floor_kb"), "the host is not told how far it may go"
        scene.measure("in the end", f"{kib // KIB} MiB")

    verifies = (
        "the workload is killed, and the host does not get its memory"
        if dies
        else "nothing is killed, and the host is told how far it may go"
    )
    return Case(f"mem-set {TOO_LITTLE_MIB}", verifies, act)


def _watched(scene: Scene, recorder: Recorder, *, ends_at_s: float | None) -> tuple[str, str]:
    """Follow the workload until it was killed, or has ended by itself; return its last state."""
    never = float("inf")
    end = never if ends_at_s is None else time.monotonic() + ends_at_s - ASKED_AT_S
    killed = True
    while (state := workload_state(scene, patience_s=THRASHES_S))[0] == "active":
        if time.monotonic() >= end:
            recorder.event("the workload ends by itself")
            scene.domain.run(["systemctl", "kill", WORKLOAD], timeout_s=ANSWER_WITHIN_S)
            end, killed = never, False
        time.sleep(LOOK_S)
    if killed:
        recorder.event("the OOM killer has taken the workload")
    return state


def _grown(*, arrives: bool) -> Case:
    def act(scene: Scene) -> None:
        before = scene.truth()["current_kib"]
        with Recorder(scene) as recorder:
            _ask(scene, recorder, GIVEN_MIB)
            recorder.until(GROWN_S)
        truth: dict[str, Any] = scene.truth()
        kib = GIVEN_MIB * KIB if arrives else before
        assert truth["current_kib"] == kib, f"current is not {kib} KiB: {truth}"
        scene.measure("in the end", f"{kib // KIB} MiB, {truth['offline_kib'] // KIB} MiB offline")

    verifies = f"{GIVEN_MIB} MiB are in use" if arrives else "the command is lost, without an error"
    return Case(f"mem-set {GIVEN_MIB}", verifies, act)


WORKING: Final = working(now_and_then_mib=NOW_AND_THEN_MIB)
SQUEEZED: Final = GuestSpec("pv", systemd=True)
BULLSEYE: Final = GuestSpec("pv", kernel="bullseye", systemd=True)
SCENARIOS: Final = (
    Scenario(
        "demo-squeezed-without",
        f"a working set of {WORKING_SET_MIB} MiB, mem-set {TOO_LITTLE_MIB}, without the agent",
        SQUEEZED,
        (WORKING, _squeezed(dies=True)),
    ),
    Scenario(
        "demo-squeezed-with",
        f"a working set of {WORKING_SET_MIB} MiB, mem-set {TOO_LITTLE_MIB}, the agent as guard",
        SQUEEZED,
        (_started("guard"), WORKING, _floor_is_told(), _squeezed(dies=False)),
    ),
    Scenario(
        "demo-grown-without",
        f"Linux 5.10, mem-set {GIVEN_MIB}, without the agent",
        BULLSEYE,
        (_grown(arrives=False),),
    ),
    Scenario(
        "demo-grown-with",
        f"Linux 5.10, mem-set {GIVEN_MIB}, with the agent",
        BULLSEYE,
        (_started("follow"), _grown(arrives=True)),
    ),
)
