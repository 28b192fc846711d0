# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon as its unit on real systemd: started, following, killed, left without xenstored."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any, Final

from tests.xenlab.dom0 import toolstack
from tests.xenlab.dom0.scene import Scene
from tests.xenlab.dom0.settings import PATIENCE, XENSTORED, deadline
from tests.xenlab.model import Case, GuestSpec, Scenario
from tests.xenlab.scenarios import steps

UNIT: Final = "balloon-agent.service"
HANDED_ON: Final = "/memfd:balloon-agent-state"
CONFIGURATION: Final = Path("/etc/balloon-agent/config.d/lab.toml")
STATUS_FILE: Final = "/run/balloon-agent/status.json"
SETTLE_WITHIN_S: Final = 120.0
START_S: Final = 30
STOP_S: Final = 5
STATE: Final = ("ActiveState", "SubState", "Result", "ConditionResult", "StatusText")
WATCHDOG_S: Final = 10
PAUSED_S: Final = 240.0
PAUSED_MIB: Final = 640
PINGS_SEEN: Final = 3
LAST_PING: Final = "WatchdogTimestampMonotonic"
SILENT_S: Final = 25.0
"""Longer than a request of the daemon waits for its answer."""


def shown(scene: Scene, name: str) -> str:
    """Return a property of the unit."""
    return scene.domain.run(["systemctl", "show", "--value", "--property", name, UNIT]).text


def published(scene: Scene, key: str) -> str | None:
    """Return what the daemon published, as dom0 sees it."""
    return toolstack.xenstore_read(f"/local/domain/{scene.domain.domid}/data/balloon/{key}")


def start_daemon(scene: Scene, *, mode: str = "follow", also: str = "") -> None:
    """Configure and start the unit, as an administrator does.

    Args:
        scene: where.
        mode: what it may do.
        also: another line of configuration.
    """
    script = f"""
        mkdir -p {CONFIGURATION.parent} /run/systemd/system/{UNIT}.d
        printf '%s\\n' {_patience()} >/run/systemd/system/{UNIT}.d/patience.conf
        printf '%s\\n' 'mode = "{mode}"' '{also}' >{CONFIGURATION}
        systemctl daemon-reload
        systemctl enable --quiet {UNIT}
        systemctl restart {UNIT}
    """
    done = scene.domain.run(["sh", "-ec", script], timeout_s=180)
    assert done.status == 0, f"the unit does not start: {done}"


def _patience() -> str:
    """The unit's own times, on a machine that is busy with other things."""
    if PATIENCE == 1:
        return ""
    start_s, stop_s = START_S * PATIENCE, STOP_S * PATIENCE
    return f"'[Service]' TimeoutStartSec={start_s:.0f} TimeoutStopSec={stop_s:.0f}"


def expect_alive(scene: Scene, *, restarts: int | None = None) -> None:
    """Judge that the daemon runs, has not failed and tells the host the truth."""
    state = scene.domain.run(["systemctl", "show", "--property", ",".join(STATE), UNIT])
    assert "ActiveState=active" in state.text, state.text
    if restarts is not None:
        assert shown(scene, "NRestarts") == str(restarts), "the unit was restarted"
    end = deadline(SETTLE_WITHIN_S)
    while (said := published(scene, "actual_kb")) != str(scene.truth()["current_kib"]):
        assert time.monotonic() < end, f"published {said}, is {scene.truth()['current_kib']}"
        time.sleep(1)
    done = scene.domain.run(["cat", STATUS_FILE])
    status: dict[str, Any] = json.loads(done.out)
    assert status["reconciliation"]["unexplained_kib"] == 0, status["reconciliation"]


def with_daemon(case: Case) -> Case:
    """The same case with the daemon running, which must come through it."""

    def act(scene: Scene) -> None:
        restarts = int(shown(scene, "NRestarts"))
        case.act(scene)
        expect_alive(scene, restarts=restarts)

    return Case(case.name, f"{case.verifies}; published to the host", act)


def started() -> Case:
    """The unit as an administrator starts it, and what it costs."""

    def act(scene: Scene) -> None:
        start_daemon(scene)
        expect_alive(scene, restarts=0)
        watchdog = shown(scene, "WatchdogUSec")
        assert watchdog not in {"0", "infinity"}, "systemd does not watch over it"
        scene.measure("watchdog", watchdog)
        exposure = scene.domain.run(["systemd-analyze", "security", "--no-pager", UNIT])
        level = re.search(r"exposure level for \S+: ([\d.]+ \w+)", exposure.text)
        scene.measure("exposure", level.group(1) if level else "unknown")
        scene.measure("memory of the unit", f"{int(shown(scene, 'MemoryCurrent')) // 1024} KiB")
        process = ["ps", "-o", "rss=", "-p", shown(scene, "MainPID")]
        scene.measure("resident", f"{scene.domain.run(process).text.strip()} KiB")

    return Case("the unit is started", "active, watched over, published, unexplained is 0", act)


def rested(mib: int) -> Case:
    """Left alone it goes, but for its waiter, and comes back when the host wants something."""

    def act(scene: Scene) -> None:
        restarts, pid = int(shown(scene, "NRestarts")), shown(scene, "MainPID")
        look = f"ls -l /proc/{pid}/fd; cat /proc/{pid}/smaps_rollup"
        end = deadline(SETTLE_WITHIN_S)
        while HANDED_ON not in (seen := scene.domain.run(["sh", "-c", look]).text):
            assert time.monotonic() < end, f"it does not rest: {seen}"
            time.sleep(2)
        for row in seen.splitlines():
            if row.startswith(("Rss:", "Private_Dirty:")):
                scene.measure(row.split(":")[0], " ".join(row.split()[1:]))
        scene.mem_set(mib)
        scene.agreed({"current_kib": mib * 1024})
        expect_alive(scene, restarts=restarts)
        assert shown(scene, "MainPID") == pid, "another process"
        status = json.loads(scene.domain.run(["cat", STATUS_FILE]).out)
        assert status["daemon"]["rests"], "it did not rest"

    verifies = f"the waiter alone is there; then current = {mib} MiB, in the same process"
    return Case("left alone", f"{verifies}; {steps.AGREE}; published to the host", act)


def watched_over() -> Case:
    """The watchdog with a short period, so that its pings and their absence are seen."""

    def act(scene: Scene) -> None:
        set_watchdog(scene, WATCHDOG_S)
        ping, pings = shown(scene, LAST_PING), 0
        end = deadline(SETTLE_WITHIN_S)
        while pings < PINGS_SEEN:
            assert time.monotonic() < end, f"{pings} pings seen"
            time.sleep(1)
            last, ping = ping, shown(scene, LAST_PING)
            pings += ping != last
        assert shown(scene, "NRestarts") == "0", "it was restarted though it pings"
        stopped = shown(scene, "MainPID")
        scene.domain.run(["kill", "-STOP", stopped])
        _wait_for_another(scene, stopped)
        log = scene.domain.run(["journalctl", "--boot", "--no-pager", "--unit", UNIT]).text
        assert "Failed with result 'watchdog'" in log, log[-1500:]
        set_watchdog(scene, None)
        expect_alive(scene, restarts=0)

    verifies = (
        f"with a period of {WATCHDOG_S} s: {PINGS_SEEN} pings arrive and nothing is restarted; "
        "stopped by SIGSTOP it is killed and started again"
    )
    return Case("the watchdog", verifies, act)


def set_watchdog(scene: Scene, seconds: int | None) -> None:
    """Restart the unit with another period of its watchdog, None for its own."""
    value = "" if seconds is None else f"[Service]\\nWatchdogSec={seconds}\\n"
    script = f"""
        mkdir -p /run/systemd/system/{UNIT}.d
        printf '{value}' >/run/systemd/system/{UNIT}.d/watchdog.conf
        systemctl daemon-reload
        systemctl restart {UNIT}
    """
    done = scene.domain.run(["sh", "-ec", script], timeout_s=180)
    assert done.status == 0, f"the unit does not start: {done}"


def _wait_for_another(scene: Scene, old: str) -> None:
    end = deadline(SETTLE_WITHIN_S)
    while shown(scene, "MainPID") in {old, "0"} or shown(scene, "ActiveState") != "active":
        assert time.monotonic() < end, "systemd did not start it again"
        time.sleep(1)


def killed() -> Case:
    """The daemon gone without a word."""

    def act(scene: Scene) -> None:
        old = shown(scene, "MainPID")
        scene.domain.run(["kill", "-KILL", old])
        _wait_for_another(scene, old)
        expect_alive(scene, restarts=1)

    return Case("killed", "systemd starts it again and it goes on", act)


def silent_xenstored() -> Case:
    """An xenstored that does not answer for a while."""

    def act(scene: Scene) -> None:
        restarts = int(shown(scene, "NRestarts"))
        pid = toolstack.xenstored_pid()
        toolstack.must(["kill", "-STOP", pid])
        time.sleep(SILENT_S)
        toolstack.must(["kill", "-CONT", pid])
        scene.mem_set(512)
        scene.agreed({"current_kib": 512 * 1024})
        expect_alive(scene, restarts=restarts)

    return Case(
        f"xenstored falls silent for {SILENT_S:.0f} s", "afterwards the daemon follows again", act
    )


def replaced_xenstored(mib: int) -> Case:
    """Another xenstored under the same guests, which is all that can be done to it.

    Killed, it takes every guest's connection with it, and dom0's, for good. In a live update it
    hands its state to a new program; the guests' kernels see their watches fire once more.
    """

    def act(scene: Scene) -> None:
        restarts = int(shown(scene, "NRestarts"))
        pid = toolstack.xenstored_pid()
        program = toolstack.must(["readlink", f"/proc/{pid}/exe"])
        marks = {"ocaml": "--restart", "c": "-U"}
        toolstack.must(["xenstore-control", "live-update", "-t", "30", program])
        arguments = toolstack.must(["cat", f"/proc/{pid}/cmdline"])
        assert marks[XENSTORED] in arguments, f"xenstored is the old one: {arguments!r}"
        scene.mem_set(mib)
        scene.agreed({"current_kib": mib * 1024})
        expect_alive(scene, restarts=restarts)

    verifies = f"after `xenstore-control live-update` the daemon follows on; {steps.AGREE}"
    return Case("xenstored is replaced", verifies, act)


def paused() -> Case:
    """`xl pause` for minutes: the guest's clock goes on, its programs do not."""

    def act(scene: Scene) -> None:
        scene.measure("watchdog", shown(scene, "WatchdogUSec"))
        pid, domid = shown(scene, "MainPID"), str(scene.domain.domid)
        toolstack.must(["xl", "pause", domid])
        scene.mem_set(PAUSED_MIB)
        time.sleep(PAUSED_S)
        toolstack.must(["xl", "unpause", domid])
        began = time.monotonic()
        scene.reaches(PAUSED_MIB * 1024, SETTLE_WITHIN_S, "what was asked for meanwhile")
        scene.measure("reached", f"{time.monotonic() - began:.1f} s after the pause")
        time.sleep(SILENT_S)
        assert shown(scene, "NRestarts") == "0", f"the watchdog struck\n{_journal(scene)}"
        assert shown(scene, "MainPID") == pid, "another daemon runs"
        expect_alive(scene, restarts=0)

    verifies = (
        f"paused for {PAUSED_S:.0f} s the daemon goes on, not restarted, and what was asked for "
        "meanwhile is there"
    )
    return Case("xl pause", verifies, act)


def _journal(scene: Scene) -> str:
    return scene.domain.run(["journalctl", "--boot", "--no-pager", "--unit", UNIT]).text[-1500:]


def woken(mib: int) -> Case:
    """A driver that gave up does not go on by itself when there is room again."""

    def act(scene: Scene) -> None:
        scene.write_target(str(mib * 1024))  # Past the toolstack: Xen's limit stays where it was.
        truth = scene.truth()
        assert truth["current_kib"] < truth["target_kib"], f"the target was reached: {truth}"
        scene.domain.run(["sleep", "15"])  # The driver tries for 1, 2, 4 and 8 s, then gives up.
        toolstack.must(["xl", "mem-max", str(scene.domain.domid), "1024"])
        scene.reaches(mib * 1024, SETTLE_WITHIN_S, "the driver was not woken")
        scene.agreed({"current_kib": mib * 1024, "target_kib": mib * 1024})
        expect_alive(scene)

    verifies = f"target_kb is written through the sandbox, current = {mib} MiB; {steps.AGREE}"
    return Case("a driver that gave up", verifies, act)


def grown_beyond_the_map(mib: int) -> Case:
    """What `blocks_left_offline` shows not to happen without the daemon."""

    def act(scene: Scene) -> None:
        done = scene.mem_set(mib)
        assert done.status == 0, f"xl mem-set: {done}"
        scene.reaches(mib * 1024, SETTLE_WITHIN_S, "the target was not reached")
        scene.agreed({"current_kib": mib * 1024, "offline_kib": 0})
        expect_alive(scene)

    verifies = f"the blocks are put online, current = {mib} MiB; {steps.AGREE}"
    return Case(f"mem-set {mib} by hot-added blocks", verifies, act)


SCENARIOS: Final = (
    Scenario(
        "pv-daemon",
        "the daemon in a PV guest, as its unit on real systemd",
        GuestSpec("pv", systemd=True),
        (
            started(),
            steps.healthy(),
            with_daemon(steps.mem_set(768)),
            with_daemon(steps.mem_set(384)),
            rested(448),
            watched_over(),
            woken(640),
            killed(),
            silent_xenstored(),
            replaced_xenstored(576),
            with_daemon(steps.saved_and_restored()),
            with_daemon(steps.mem_set(1024)),
            with_daemon(steps.mem_max(1536)),
            grown_beyond_the_map(1280),
        ),
    ),
    Scenario(
        "pv-paused",
        "a PV guest with the daemon, paused for minutes",
        GuestSpec("pv", systemd=True),
        (started(), paused()),
    ),
    Scenario(
        "pv-daemon-bullseye",
        "the daemon on Linux 5.10, where growing needs blocks put online",
        GuestSpec("pv", kernel="bullseye", systemd=True),
        (
            started(),
            grown_beyond_the_map(768),
            grown_beyond_the_map(1024),
            with_daemon(steps.mem_set(384)),
        ),
        quick=True,
    ),
)
