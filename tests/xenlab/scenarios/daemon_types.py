# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon as its unit in the other types of guest, in dom0 and on the other kernels."""

from __future__ import annotations

import time
from typing import Final

from tests.xenlab.dom0 import toolstack
from tests.xenlab.dom0.scene import Scene
from tests.xenlab.guest.truth import BALLOON
from tests.xenlab.model import Case, GuestSpec, Scenario
from tests.xenlab.scenarios import steps
from tests.xenlab.scenarios.daemon import (
    CONFIGURATION,
    SETTLE_WITHIN_S,
    UNIT,
    WATCHDOG_S,
    expect_alive,
    killed,
    set_watchdog,
    start_daemon,
    started,
    with_daemon,
)
from tests.xenlab.scenarios.guest_types import DOM0_MIB, HVM_OFFSET_KIB, PVH_OFFSET_KIB

LEFT_ALONE_S: Final = 20.0
"""Ten times what a daemon that acts gives the kernel to take up a target."""
DOM0_TARGET: Final = "/local/domain/0/memory/target"


def _without_target() -> Case:
    """dom0 as it boots, before the first command that wants its keys."""

    def act(scene: Scene) -> None:
        toolstack.run(["xenstore-rm", DOM0_TARGET])
        start_daemon(scene)
        scene.agreed({"current_kib": DOM0_MIB * 1024, "xenstore_target": None})
        expect_alive(scene, restarts=0)

    return Case("no target key", f"active, published, nothing is wrong; {steps.AGREE}", act)


def _left_alone(kib: int) -> Case:
    """The kernel told by hand to aim elsewhere than the host: mended in a guest, not in dom0."""

    def act(scene: Scene) -> None:
        set_watchdog(scene, WATCHDOG_S)  # Nothing tells the daemon, so it looks with its pings.
        done = scene.domain.run(["sh", "-c", f"echo {kib} >{BALLOON}/target_kb"])
        assert done.status == 0, str(done)
        end = time.monotonic() + LEFT_ALONE_S
        while time.monotonic() < end:
            target = scene.truth(rest_within_s=None)["target_kib"]
            assert target == kib, f"somebody wrote target_kb: {target}"
        scene.agreed({"current_kib": kib, "target_kib": kib})
        expect_alive(scene)

    verifies = f"the daemon leaves dom0's balloon alone for {LEFT_ALONE_S:.0f} s; {steps.AGREE}"
    return Case("target_kb written by hand", verifies, act)


def _mended_once_configured() -> Case:
    kib = DOM0_MIB * 1024

    def act(scene: Scene) -> None:
        start_daemon(scene, also="act_in_dom0 = true")
        scene.reaches(kib, SETTLE_WITHIN_S, "the host's target is ignored")
        scene.agreed({"current_kib": kib, "target_kib": kib})
        expect_alive(scene)

    verifies = f"the host's target is put into target_kb, current = {DOM0_MIB} MiB; {steps.AGREE}"
    return Case("act_in_dom0", verifies, act)


def _put_back() -> Case:
    """dom0 outlives its scenario: nothing of it may stay."""
    again = steps.mem_set(DOM0_MIB, " at the end")

    def act(scene: Scene) -> None:
        again.act(scene)
        set_watchdog(scene, None)
        scene.domain.run(["systemctl", "disable", "--now", UNIT])
        CONFIGURATION.unlink()

    return Case(again.name, again.verifies, act)


def _of_type(name: str, summary: str, spec: GuestSpec, offset_kib: int) -> Scenario:
    return Scenario(
        name,
        summary,
        spec,
        (
            started(),
            steps.healthy(),
            with_daemon(steps.mem_set(768, offset_kib=offset_kib)),
            with_daemon(steps.saved_and_restored()),
            with_daemon(steps.mem_set(384, offset_kib=offset_kib)),
            killed(),
        ),
    )


def _of_kernel(suite: str, series: str) -> Scenario:
    return Scenario(
        f"pv-daemon-{suite}",
        f"the daemon on Linux {series}, where growing hot-adds blocks that come online",
        GuestSpec("pv", kernel=suite, systemd=True),
        (
            started(),
            steps.healthy(),
            with_daemon(steps.mem_set(768)),
            with_daemon(steps.mem_set(384)),
            with_daemon(steps.saved_and_restored()),
            with_daemon(steps.mem_set(512)),
        ),
    )


SCENARIOS: Final = (
    _of_type(
        "pvh-daemon",
        "the daemon in a PVH guest, as its unit on real systemd",
        GuestSpec("pvh", systemd=True),
        PVH_OFFSET_KIB,
    ),
    _of_type(
        "hvm-daemon",
        "the daemon in an HVM guest, as its unit on real systemd",
        GuestSpec("hvm", systemd=True),
        HVM_OFFSET_KIB,
    ),
    Scenario(
        "dom0-daemon",
        "the daemon in dom0, as its unit on real systemd: it observes unless told otherwise",
        GuestSpec("dom0", DOM0_MIB, 1536, systemd=True),
        (
            _without_target(),
            with_daemon(steps.mem_set(1280)),
            with_daemon(steps.mem_set(DOM0_MIB)),
            _left_alone(917504),
            _mended_once_configured(),
            killed(),
            _put_back(),
        ),
    ),
    _of_kernel("trixie", "6.12"),
    _of_kernel("sid", "7.x"),
)
