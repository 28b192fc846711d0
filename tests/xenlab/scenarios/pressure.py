# SPDX-License-Identifier: GPL-2.0-or-later
"""A target below what a guest needs: without a guard the OOM killer acts, with one it does not."""

from __future__ import annotations

import time
from typing import Final

from tests.xenlab.dom0.console import GoneError
from tests.xenlab.dom0.scene import Scene
from tests.xenlab.dom0.settings import deadline
from tests.xenlab.model import Case, GuestSpec, Scenario
from tests.xenlab.scenarios.daemon import expect_alive, shown, start_daemon

WORKLOAD: Final = "workload.service"
WORKING_SET_MIB: Final = 270
TOO_LITTLE_MIB: Final = 200
WATCHED_S: Final = 60.0
TAKEN_WITHIN_S: Final = 60.0
KILLED_WITHIN_S: Final = 120.0
ANSWER_WITHIN_S: Final = 60.0
"""A guest that is short of memory takes its time."""
GIVEN_WITHIN_S: Final = 120.0
"""The guard remembers for half a minute what was used."""
LOOK_S: Final = 2.0
NOW_AND_THEN_MIB: Final = 20
PROGRAM: Final = """
import ctypes, mmap, sys, time

MCL_CURRENT, MCL_FUTURE = 1, 2
if ctypes.CDLL(None).mlockall(MCL_CURRENT | MCL_FUTURE):
    sys.exit("mlockall failed")

def take(mib):
    return mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

held = take(int(sys.argv[1]))
while True:
    more = take(int(sys.argv[2]))
    for memory in (held, more):
        for place in range(0, len(memory), mmap.PAGESIZE):
            memory[place] = (memory[place] + 1) % 256
    more.close()
    time.sleep(0.5)
"""
"""What a database or anything that may not wait for a disk does: its memory is locked, program and
all, and each request takes more for a moment, from the kernel and not from what malloc keeps.

Unlocked, the kernel pages the program itself in and out for minutes, and calls that progress: each
time there is something to reclaim, so the OOM killer waits.
"""


def workload_state(scene: Scene) -> tuple[str, str]:
    """Return the unit's state and what it ended with."""
    argv = ["systemctl", "show", "--property", "ActiveState,Result", WORKLOAD]
    done = scene.domain.run(argv, timeout_s=ANSWER_WITHIN_S)
    assert done.status == 0, f"systemd does not tell of the workload: {done}"
    found = dict(row.split("=", 1) for row in done.text.splitlines())
    return found["ActiveState"], found["Result"]


def _taken_mib(scene: Scene) -> int:
    argv = ["systemctl", "show", "--value", "--property", "MemoryCurrent", WORKLOAD]
    taken = scene.domain.run(argv, timeout_s=ANSWER_WITHIN_S).text
    return int(taken) >> 20 if taken.isdigit() else 0


def until_killed(scene: Scene) -> tuple[str, str]:
    """Wait until the workload is no more; return its last state.

    Raises:
        AssertionError: nothing was killed in time, or the guest does not even say so.
    """
    end = deadline(KILLED_WITHIN_S)
    try:
        while (state := workload_state(scene))[0] in ("active", "deactivating"):
            assert time.monotonic() < end, f"nothing was killed within {KILLED_WITHIN_S:.0f} s"
            time.sleep(LOOK_S)
    except GoneError as error:
        raise AssertionError(f"nothing was killed, the guest stands still: {error}") from None
    return state


def working(working_set_mib: int = WORKING_SET_MIB) -> Case:
    """A unit that uses its memory all the time, and more for a moment with each round."""

    def act(scene: Scene) -> None:
        program = ["python3", "-c", PROGRAM, str(working_set_mib), str(NOW_AND_THEN_MIB)]
        argv = ["systemd-run", f"--unit={WORKLOAD}", *program]
        done = scene.domain.run(argv)
        assert done.status == 0, str(done)
        end = deadline(TAKEN_WITHIN_S)
        while (taken_mib := _taken_mib(scene)) < working_set_mib:
            assert time.monotonic() < end, f"it has taken {taken_mib} MiB: {workload_state(scene)}"
            time.sleep(LOOK_S)
        assert workload_state(scene)[0] == "active", workload_state(scene)

    return Case("a workload", f"{working_set_mib} MiB are in use", act)


def _killed_without_a_guard() -> Case:
    def act(scene: Scene) -> None:
        began = time.monotonic()
        scene.mem_set(TOO_LITTLE_MIB)
        state = until_killed(scene)
        assert state == ("failed", "oom-kill"), f"the workload ended otherwise: {state}"
        scene.measure("killed", f"after {time.monotonic() - began:.0f} s")
        truth = scene.truth()
        scene.measure("then", f"{truth['current_kib'] // 1024} MiB")

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
        end = deadline(GIVEN_WITHIN_S)
        while (truth := scene.truth(rest_within_s=None))["current_kib"] >= before:
            assert time.monotonic() < end, f"nothing more is given back: {truth}"
            time.sleep(LOOK_S)
        scene.measure("then", f"{scene.truth()['current_kib'] // 1024} MiB")
        expect_alive(scene)

    return Case("the workload ends", "the host gets what it asked for, as far as it can be", act)


SCENARIOS: Final = (
    Scenario(
        "pv-oom",
        "mem-set below the working set, without the agent",
        GuestSpec("pv", systemd=True),
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
