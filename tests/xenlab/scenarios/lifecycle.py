# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to a whole guest: it runs real systemd, it is saved and restored."""

from __future__ import annotations

from typing import Final

from tests.xenlab.dom0.scene import Scene
from tests.xenlab.model import Case, GuestSpec, Scenario
from tests.xenlab.scenarios import steps


def _systemd_is_up() -> Case:
    def act(scene: Scene) -> None:
        waited = scene.domain.run(["systemctl", "is-system-running", "--wait"], timeout_s=240)
        failed = scene.domain.run(["systemctl", "list-units", "--failed", "--plain", "--no-legend"])
        assert waited.text in {"running", "degraded"}, str(waited)
        scene.agreed()
        assert b"balloon-agent" not in failed.out, str(failed)

    return Case("systemd is up", f"the boot is finished; {steps.AGREE}", act)


SCENARIOS: Final = (
    Scenario(
        "pv-systemd",
        "a PV guest with real systemd, saved and restored",
        GuestSpec("pv", 384, 512, systemd=True),
        (
            _systemd_is_up(),
            steps.mem_set(448),
            steps.saved_and_restored(),
            steps.mem_set(320),
            steps.mem_set(512),
        ),
    ),
)
