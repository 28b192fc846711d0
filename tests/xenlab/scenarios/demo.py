# SPDX-License-Identifier: GPL-2.0-or-later
"""The demonstration on a real Xen: two stories, each without the agent and with it.

Played by tests/xenlab/demonstration.py, which draws what was recorded; each case holds what the
demonstration claims.
"""

from __future__ import annotations

import time
from typing import Any, Final

from tests.xenlab.dom0.recorder import Recorder
from tests.xenlab.dom0.scene import Scene
from tests.xenlab.model import Case, GuestSpec, Scenario
from tests.xenlab.scenarios.daemon import expect_alive, published, start_daemon
from tests.xenlab.scenarios.pressure import (
    ANSWER_WITHIN_S,
    LOOK_S,
    TOO_LITTLE_MIB,
    WORKING_SET_MIB,
    WORKLOAD,
    until_killed,
    working,
    workload_state,
)

KIB: Final = 1024
ASKED_AT_S: Final = 10.0
ENDS_AT_S: Final = 140.0
"""When the workload ends by itself, if it still runs."""
AFTERWARDS_S: Final = 60.0
"""Long enough to see whether the balloon goes on, also for a guard that remembers what was used."""
FLOOR_WITHIN_S: Final = 120.0
GROWN_S: Final = 60.0
GIVEN_MIB: Final = 768


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
            state = _killed(scene, recorder) if dies else _ended(scene, recorder)
            time.sleep(AFTERWARDS_S)
        kib = scene.truth()["current_kib"]
        if dies:
            assert state == ("failed", "oom-kill"), f"the workload: {state}"
        else:
            assert state == ("inactive", "success"), f"the workload: {state}"
            assert published(scene, "floor_kb"), "the host is not told how far it may go"
        scene.measure("in the end", f"{kib // KIB} MiB")

    verifies = (
        "the OOM killer takes the workload"
        if dies
        else "nothing is killed, and the host is told how far it may go"
    )
    return Case(f"mem-set {TOO_LITTLE_MIB}", verifies, act)


def _killed(scene: Scene, recorder: Recorder) -> tuple[str, str]:
    state = until_killed(scene)
    recorder.event("the OOM killer has taken the workload")
    return state


def _ended(scene: Scene, recorder: Recorder) -> tuple[str, str]:
    """Follow the workload until it is told to end; return its last state."""
    end = time.monotonic() + ENDS_AT_S - ASKED_AT_S
    while time.monotonic() < end:
        state = workload_state(scene)
        assert state[0] == "active", f"the workload did not last: {state}"
        time.sleep(LOOK_S)
    recorder.event("the workload ends by itself")
    scene.domain.run(["systemctl", "kill", WORKLOAD], timeout_s=ANSWER_WITHIN_S)
    state = workload_state(scene)
    end = time.monotonic() + ANSWER_WITHIN_S
    while state[0] == "active" and time.monotonic() < end:
        time.sleep(LOOK_S)
        state = workload_state(scene)
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


WORKING: Final = working()
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
