# SPDX-License-Identifier: GPL-2.0-or-later
"""Mode self: what was given back is there again when a program takes much of it at once."""

from __future__ import annotations

import time
from typing import Final

from tests.xenlab.dom0.scene import Scene
from tests.xenlab.dom0.settings import deadline
from tests.xenlab.model import Case, GuestSpec, Scenario
from tests.xenlab.scenarios.daemon import expect_alive, start_daemon

ALLOWED_MIB: Final = 1024
GIVEN_BACK_MIB: Final = 600
SUDDEN_MIB: Final = 500
GIVES_BACK_WITHIN_S: Final = 180.0
WATCHED_S: Final = 30.0
ANSWER_WITHIN_S: Final = 300.0
UNIT: Final = "sudden.service"
SETTINGS: Final = """
[self]
interval = "2s"
calm = "5s"
"""
STILL_FOR: Final = 5  # looks, two seconds apart
# As fast as a program can take memory, but in pieces: in one piece the kernel refuses what is more
# than MemTotal (mm/util.c, __vm_enough_memory), and asks nobody for more.
PROGRAM: Final = f"""
import time
held = [b"x" * (4 << 20) for _ in range({SUDDEN_MIB} // 4)]
time.sleep(3600)
"""


def _given_back() -> Case:
    def act(scene: Scene) -> None:
        path = "/etc/balloon-agent/config.d/self.toml"
        script = f"mkdir -p /etc/balloon-agent/config.d && cat >{path} <<'END'\n{SETTINGS}END\n"
        done = scene.domain.run(["sh", "-ec", script])
        assert done.status == 0, str(done)
        start_daemon(scene, mode="self")
        end = deadline(GIVES_BACK_WITHIN_S)
        sizes: list[int] = []
        while len(sizes) < STILL_FOR or len(set(sizes[-STILL_FOR:])) > 1:
            sizes.append(scene.truth()["current_kib"])
            assert time.monotonic() < end, f"still on its way, at {sizes[-1]} KiB"
            time.sleep(2)
        assert sizes[-1] <= GIVEN_BACK_MIB * 1024, f"settled at {sizes[-1]} KiB"
        expect_alive(scene)
        scene.measure("came down to", f"{sizes[-1] // 1024} MiB")

    return Case("the unit in mode self", f"the guest sinks below {GIVEN_BACK_MIB} MiB", act)


def _told(scene: Scene) -> str:
    """What the daemon and the program had to say."""
    words = ["journalctl", "--no-pager", "--output=short-monotonic", "--lines=20"]
    return scene.domain.run([*words, "--unit", "balloon-agent", "--unit", UNIT]).text


def _taken_back() -> Case:
    def act(scene: Scene) -> None:
        argv = ["systemd-run", f"--unit={UNIT}", "python3", "-c", PROGRAM]
        done = scene.domain.run(argv)
        assert done.status == 0, str(done)
        time.sleep(WATCHED_S)
        shown = scene.domain.run(
            ["systemctl", "show", "--value", "--property=ActiveState,Result", UNIT],
            timeout_s=ANSWER_WITHIN_S,
        )
        log = scene.domain.run(["dmesg"], timeout_s=ANSWER_WITHIN_S).out
        assert b"Out of memory" not in log, f"the OOM killer acted\n{_told(scene)}"
        assert set(shown.text.split()) == {"active", "success"}, f"{shown.text}\n{_told(scene)}"
        scene.measure("went up to", f"{scene.truth()['current_kib'] // 1024} MiB")
        expect_alive(scene)

    verifies = "it gets them, nothing is killed"
    return Case(f"a program takes {SUDDEN_MIB} MiB at once", verifies, act)


SCENARIOS: Final = (
    Scenario(
        "pv-self",
        "a guest in mode self that suddenly needs what it had given back",
        GuestSpec("pv", memory_mib=ALLOWED_MIB, maxmem_mib=ALLOWED_MIB, systemd=True),
        (_given_back(), _taken_back()),
    ),
)
