# SPDX-License-Identifier: GPL-2.0-or-later
"""A target below what a guest needs: without a guard the OOM killer acts, with one it does not."""

import time
from typing import Final

from tests.xenlab.dom0.scene import Scene
from tests.xenlab.model import Case, GuestSpec, Scenario
from tests.xenlab.scenarios.daemon import expect_alive, shown, start_daemon

WORKLOAD: Final = "workload.service"
WORKING_SET_MIB: Final = 300
TOO_LITTLE_MIB: Final = 200
WATCHED_S: Final = 90.0
ANSWER_WITHIN_S: Final = 300.0
"""A guest that thrashes takes its time."""
PROGRAM: Final = """
import sys, time
held = bytearray(int(sys.argv[1]) << 20)
while True:
    more = bytearray(int(sys.argv[2]) << 20)
    for memory in (held, more):
        for place in range(0, len(memory), 4096):
            memory[place] = (memory[place] + 1) % 256
    del memory, more
    time.sleep(0.5)
"""


def workload_state(scene: Scene, patience_s: float = ANSWER_WITHIN_S) -> tuple[str, str]:
    """Return the unit's state and what it ended with."""
    names = ["ActiveState", "Result"]
    argv = ["systemctl", "show", "--property", ",".join(names), WORKLOAD]
    rows = scene.domain.run(argv, timeout_s=patience_s).text.splitlines()
    found = dict(row.split("=", 1) for row in rows)
    return found["ActiveState"], found["Result"]


def working(*, now_and_then_mib: int = 0) -> Case:
    """A unit that uses its memory all the time, and more for a moment twice a second."""

    def act(scene: Scene) -> None:
        program = ["python3", "-c", PROGRAM, str(WORKING_SET_MIB), str(now_and_then_mib)]
        argv = ["systemd-run", f"--unit={WORKLOAD}", *program]
        done = scene.domain.run(argv)
        assert done.status == 0, str(done)
        time.sleep(20)  # It touches every page once.
        state, _ = workload_state(scene)
        assert state == "active", state

    return Case("a workload", f"{WORKING_SET_MIB} MiB are in use", act)


def _killed_without_a_guard() -> Case:
    def act(scene: Scene) -> None:
        scene.mem_set(TOO_LITTLE_MIB)
        end = time.monotonic() + WATCHED_S
        while (state := workload_state(scene))[0] == "active":
            assert time.monotonic() < end, f"the workload survived: {scene.truth()}"
            time.sleep(3)
        assert state[1] == "oom-kill", f"the workload ended otherwise: {state}"

    return Case(f"mem-set {TOO_LITTLE_MIB}", "the OOM killer takes the workload", act)


def _guarded() -> Case:
    def act(scene: Scene) -> None:
        start_daemon(scene, mode="guard")
        expect_alive(scene)

    return Case("the guard is started", "active in mode guard", act)


def _survives_with_a_guard() -> Case:
    def act(scene: Scene) -> None:
        scene.mem_set(TOO_LITTLE_MIB)
        end = time.monotonic() + WATCHED_S
        while time.monotonic() < end:
            state, result = workload_state(scene)
            assert state == "active", f"the workload is gone: {result}"
            time.sleep(5)
        log = scene.domain.run(["dmesg"], timeout_s=ANSWER_WITHIN_S).out
        assert b"Out of memory" not in log, "the OOM killer acted"
        truth = scene.truth()
        scene.measure("stopped at", f"{truth['current_kib'] // 1024} MiB")
        assert shown(scene, "ActiveState") == "active"
        status = scene.status()
        assert status["reconciliation"]["unexplained_kib"] == 0, status["reconciliation"]

    verifies = f"{WATCHED_S:.0f} s later the workload lives and nothing was killed"
    return Case(f"mem-set {TOO_LITTLE_MIB}", verifies, act)


def _given_once_there_is_room() -> Case:
    def act(scene: Scene) -> None:
        before = scene.truth()["current_kib"]
        scene.domain.run(["systemctl", "stop", WORKLOAD], timeout_s=ANSWER_WITHIN_S)
        end = time.monotonic() + WATCHED_S
        while scene.truth()["current_kib"] >= before:
            assert time.monotonic() < end, f"nothing more is given back: {scene.truth()}"
        scene.measure("then", f"{scene.truth()['current_kib'] // 1024} MiB")
        expect_alive(scene)

    return Case("the workload ends", "the host gets what it asked for, as far as it can be", act)


SCENARIOS: Final = (
    Scenario(
        "pv-oom",
        "mem-set below the working set, without the agent",
        GuestSpec("pv", systemd=True),
        # Not quick: a guest that thrashes may take minutes until the kernel kills something.
        (working(), _killed_without_a_guard()),
    ),
    Scenario(
        "pv-guard",
        "mem-set below the working set, with the agent in mode guard",
        GuestSpec("pv", systemd=True),
        (_guarded(), working(), _survives_with_a_guard(), _given_once_there_is_room()),
        quick=True,
    ),
)
