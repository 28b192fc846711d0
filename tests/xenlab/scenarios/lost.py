# SPDX-License-Identifier: GPL-2.0-or-later
"""xenstored killed under a guest, whose kernel waits for its answers for good.

Another one knows neither the guest nor where its ring is, and dom0 cannot use it either: the guest
can only be ended. Until then its daemon has to live with it.
"""

from __future__ import annotations

import json
import time
from typing import Any, Final

from tests.xenlab.dom0 import toolstack
from tests.xenlab.dom0.scene import VERDICT_STATUSES, Scene
from tests.xenlab.dom0.settings import deadline
from tests.xenlab.model import Case, GuestSpec, Scenario
from tests.xenlab.scenarios import steps
from tests.xenlab.scenarios.daemon import (
    STATUS_FILE,
    UNIT,
    replaced_xenstored,
    set_watchdog,
    shown,
    silent_xenstored,
    started,
    with_daemon,
)

WATCHDOG_S: Final = 20
"""The daemon asks the host whenever it is due to ping."""
NOTICED_WITHIN_S: Final = 60.0
WATCHED_S: Final = 30.0
BUSY_S: Final = 3.0
"""Processor time, on an emulated machine, beyond which the daemon is busy rather than waiting."""
STOPPED_WITHIN_S: Final = 30.0
HOST_WITHIN_S: Final = 15.0
CHECK_UNKNOWN: Final = 3
"""What a monitoring plugin ends with: it has an exit status of its own for what is not known."""


def _condition(scene: Scene) -> dict[str, Any]:
    """What the daemon says of itself."""
    found: dict[str, Any] = json.loads(scene.domain.run(["cat", STATUS_FILE]).out)["daemon"]
    return found


def _used_s(scene: Scene) -> float:
    return int(shown(scene, "CPUUsageNSec")) / 1e9


def _expect_silence(scene: Scene) -> None:
    """Judge that the daemon goes on, and says in its status that nobody answers."""
    end = deadline(NOTICED_WITHIN_S)
    while "no answer" not in (said := _condition(scene)["xenstore"]):
        assert time.monotonic() < end, f"the daemon still says: {said}"
        time.sleep(1)
    assert shown(scene, "ActiveState") == "active"
    assert shown(scene, "NRestarts") == "0", "the unit was restarted"


def _killed() -> Case:
    def act(scene: Scene) -> None:
        set_watchdog(scene, WATCHDOG_S)
        began = time.monotonic()
        toolstack.must(["kill", "-KILL", toolstack.xenstored_pid()])
        _expect_silence(scene)
        scene.measure("noticed", f"after {time.monotonic() - began:.0f} s")
        used_s = _used_s(scene)
        time.sleep(WATCHED_S)
        used_s = _used_s(scene) - used_s
        scene.measure("processor time", f"{used_s:.1f} s in {WATCHED_S:.0f} s")
        assert used_s < BUSY_S, f"the daemon used {used_s:.1f} s"
        _expect_silence(scene)
        log = scene.domain.run(["journalctl", "--boot", "--no-pager", "--unit", UNIT]).text
        assert log.count("xenstore is lost") == 1, log
        assert "Traceback" not in log, log

    verifies = (
        "the daemon notices with its next ping, says so once and in its status, and goes on at rest"
    )
    return Case("xenstored is killed", verifies, act)


def _commands() -> Case:
    def act(scene: Scene) -> None:
        for command in ("status", "doctor", "check", "explain"):
            began = time.monotonic()
            done = scene.agent(command)
            scene.measure(command, f"{time.monotonic() - began:.0f} s")
            fine = {CHECK_UNKNOWN} if command == "check" else VERDICT_STATUSES
            assert done.status in fine, f"{command}: {done}"
            assert b"Traceback" not in done.out + done.err, str(done)
            if command == "status":
                assert "no answer" in " ".join(done.text.split()), done.text
            if command in {"status", "doctor", "check"}:
                assert done.status, f"{command} calls a host well that does not answer: {done}"

    verifies = (
        "each ends by itself; status says that there is no answer; status, doctor and check end "
        "with another status than 0"
    )
    return Case("the commands while nobody answers", verifies, act)


def _another() -> Case:
    """What an administrator might try, to no avail."""

    def act(scene: Scene) -> None:
        program = toolstack.XENSTORED_PROGRAM
        done = toolstack.run([program, "--pid-file", "/run/xenstored.pid"], HOST_WITHIN_S)
        assert done.status == 0, f"{program}: {done}"
        command = ["xl", "mem-set", str(scene.domain.domid), "400"]
        told = toolstack.run(command, HOST_WITHIN_S)
        scene.measure("xl mem-set", f"exit status {told.status}")
        assert told.status != 0, "xl mem-set works again"
        time.sleep(WATCHED_S)
        _expect_silence(scene)
        for verb, state in (("stop", "inactive"), ("start", "active")):
            began = time.monotonic()
            done = scene.domain.run(["systemctl", verb, UNIT], timeout_s=STOPPED_WITHIN_S)
            assert done.status == 0, f"systemctl {verb}: {done}"
            scene.measure(verb, f"{time.monotonic() - began:.0f} s")
            assert shown(scene, "ActiveState") == state
        assert shown(scene, "Result") == "success"
        _expect_silence(scene)

    verifies = (
        "neither xl nor the guest finds the new one; the daemon stays up, stops and starts as ever"
    )
    return Case("another xenstored", verifies, act)


SCENARIOS: Final = (
    Scenario(
        "pv-xenstored-killed",
        "xenstored killed in dom0, with the daemon in a PV guest",
        GuestSpec("pv", systemd=True),
        (started(), _killed(), _commands(), _another()),
        ruins_machine=True,
    ),
    Scenario(
        "pv-xenstored-c",
        "the daemon in a PV guest of a host whose xenstored is the one in C",
        GuestSpec("pv", systemd=True),
        (
            started(),
            with_daemon(steps.mem_set(768)),
            silent_xenstored(),
            replaced_xenstored(576),
            with_daemon(steps.saved_and_restored()),
            with_daemon(steps.mem_set(384)),
        ),
        host="4.17-c",
    ),
    Scenario(
        "pv-xenstored-c-killed",
        "xenstored in C killed in dom0, with the daemon in a PV guest",
        GuestSpec("pv", systemd=True),
        (started(), _killed(), _commands(), _another()),
        host="4.17-c",
        ruins_machine=True,
    ),
)
