# SPDX-License-Identifier: GPL-2.0-or-later
"""A host that asks again and again for more than a guest in mode guard can give.

squeezed asks each second, qmemman ten times a second, an administrator when nothing seems to
happen. Each ask costs the guest what its driver gives away before the guard has been at it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

from tests.xenlab.dom0 import toolstack
from tests.xenlab.dom0.scene import Scene
from tests.xenlab.guest.xenbus import XenBus
from tests.xenlab.model import Case, GuestSpec, Scenario
from tests.xenlab.scenarios.daemon import expect_alive, published, start_daemon
from tests.xenlab.scenarios.pressure import (
    ANSWER_WITHIN_S,
    TOO_LITTLE_MIB,
    working,
    workload_state,
)

ROOM_MIB: Final = 512
FITS_MIB: Final = 250
"""31 asks cost 62 MiB at least, a batch of the driver each; beside 270 the guest was then 18 MiB
below its floor of 463, and what that workload takes now and then killed it half a minute later."""
ROOM_WITHIN_S: Final = 120.0
AFTERWARDS_S: Final = 20.0
Ask = tuple[float, int]
"""Seconds since the first, and the MiB that are asked for."""


def _each_7_s() -> Iterator[Ask]:
    return ((7.0 * number, TOO_LITTLE_MIB) for number in range(10))


def _steps() -> Iterator[Ask]:
    return ((1.0 * number, ROOM_MIB - 10 * (number + 1)) for number in range(31))


def _storm() -> Iterator[Ask]:
    return ((0.1 * number, TOO_LITTLE_MIB + number % 2) for number in range(25))


def _by_xl(scene: Scene, mib: int) -> None:
    scene.mem_set(mib)


def _by_key(scene: Scene, mib: int) -> None:
    """As a balancer does, which has its connection open: xl itself takes longer than 0.1 s."""
    with XenBus() as bus:
        bus.write(f"/local/domain/{scene.domain.domid}/memory/target", str(mib * 1024))


def _survives(
    name: str, clause: str, asks: Callable[[], Iterator[Ask]], ask: Callable[[Scene, int], None]
) -> Case:
    def act(scene: Scene) -> None:
        scene.mem_set(ROOM_MIB)
        scene.reaches(ROOM_MIB * 1024, ROOM_WITHIN_S, "the guest has no room to begin with")
        began, count = time.monotonic(), 0
        for when_s, mib in asks():
            time.sleep(max(0.0, began + when_s - time.monotonic()))
            ask(scene, mib)
            count += 1
        took_s = time.monotonic() - began
        lowest_mib = toolstack.listed_mib(scene.domain.domid)
        end = time.monotonic() + AFTERWARDS_S
        while time.monotonic() < end:
            lowest_mib = min(lowest_mib, toolstack.listed_mib(scene.domain.domid))
            time.sleep(1)
        scene.measure("asked", f"{count} times in {took_s:.1f} s")
        scene.measure("lowest seen", f"{lowest_mib} MiB")
        scene.measure("an ask cost", f"{(ROOM_MIB - lowest_mib) / count:.1f} MiB")
        scene.measure("floor published", f"{int(published(scene, 'floor_kb') or 0) // 1024} MiB")
        state, result = workload_state(scene)
        log = scene.domain.run(["dmesg"], timeout_s=ANSWER_WITHIN_S).out
        assert b"Out of memory" not in log, "the OOM killer acted"
        assert state == "active", f"the workload is gone: {result}"
        expect_alive(scene)

    return Case(name, f"{clause}: the workload lives, nothing was killed", act)


def _guarded() -> Case:
    def act(scene: Scene) -> None:
        start_daemon(scene, mode="guard")
        expect_alive(scene)

    return Case("the guard is started", "active in mode guard", act)


SCENARIOS: Final = (
    Scenario(
        "pv-guard-asked-again",
        "mem-set below the working set, again and again, with the agent in mode guard",
        GuestSpec("pv", systemd=True),
        (
            _guarded(),
            working(FITS_MIB),
            _survives(
                "25 asks 0.1 s apart", f"memory/target = {TOO_LITTLE_MIB} MiB", _storm, _by_key
            ),
            _survives("10 MiB less each second", "31 times `xl mem-set`", _steps, _by_xl),
            _survives(
                "again each 7 s", f"10 times `xl mem-set {TOO_LITTLE_MIB}`", _each_7_s, _by_xl
            ),
        ),
    ),
)
