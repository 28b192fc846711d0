# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that is Debian 11 altogether: its user space, its systemd, its Python, its kernel."""

from __future__ import annotations

import time
from typing import Final

from tests.xenlab.dom0.scene import Scene
from tests.xenlab.model import Case, GuestSpec, Scenario
from tests.xenlab.scenarios import steps
from tests.xenlab.scenarios.daemon import (
    UNIT,
    grown_beyond_the_map,
    killed,
    shown,
    started,
    with_daemon,
)

DEBS: Final = "/lab/debs"
DEBIAN: Final = "11"
SYSTEMD: Final = "systemd 247"


def _is_debian_11() -> Case:
    def act(scene: Scene) -> None:
        release = scene.domain.run(["sh", "-c", ". /etc/os-release; echo $VERSION_ID"]).text
        systemd = scene.domain.run(["systemctl", "--version"]).text.split(" (")[0]
        python = scene.domain.run(["python3", "--version"]).text
        scene.measure("found", f"Debian {release}, {systemd}, {python}")
        assert (release, systemd) == (DEBIAN, SYSTEMD)
        scene.agreed({"current_kib": 512 * 1024, "ballooned_kib": 0})

    return Case("its own user space", f"Debian {DEBIAN}, {SYSTEMD}; {steps.AGREE}", act)


def _named_in_the_journal() -> Case:
    def act(scene: Scene) -> None:
        log = scene.domain.run(["journalctl", "--boot", "--no-pager", "--unit", UNIT]).text
        assert "balloon-agent[" in log, log[-800:]
        assert shown(scene, "NRestarts") is not None

    return Case("the journal", "names the program, not its Python", act)


def _installed() -> Case:
    def act(scene: Scene) -> None:
        began = time.monotonic()
        done = scene.domain.run(["sh", "-ec", f"dpkg --install {DEBS}/*.deb"], timeout_s=300)
        assert done.status == 0, str(done)
        scene.measure("dpkg --install", f"{time.monotonic() - began:.0f} s")
        version = scene.agent("--version")
        assert version.status == 0, str(version)
        scene.measure("version", version.text)
        enabled = shown(scene, "UnitFileState")
        assert enabled == "enabled", f"the unit is {enabled}"

    return Case("dpkg --install", "the package with its libraries inside; the unit is enabled", act)


SCENARIOS: Final = (
    Scenario(
        "pv-debian11",
        "a PV guest that is Debian 11, with the daemon: it has what the host gives",
        GuestSpec("pv", kernel="bullseye", user_space="bullseye", systemd=True, debs=True),
        (
            _installed(),
            _is_debian_11(),
            steps.blocks_left_offline(768, current_kib=524288, offline_kib=262144),
            started(),
            grown_beyond_the_map(768),
            with_daemon(steps.mem_set(384)),
            _named_in_the_journal(),
            killed(),
        ),
    ),
)
