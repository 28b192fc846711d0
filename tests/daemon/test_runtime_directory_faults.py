# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's directory below /run: full, read-only, prepared by somebody else, or in use."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon_process import PATIENCE_S, DaemonProcess
from tests.support.host_view import ask_for
from tests.support.mount_namespace import Tmpfs
from tests.support.xenstored.guest import Guest
from tests.support.xenstored.raw_client import RawClient

pytestmark = pytest.mark.xenstored

UNUSABLE = "the status cannot be kept"


def status_that_says(file: Path, daemon: DaemonProcess, target_kib: int) -> dict[str, Any]:
    """Wait for a status in which the host asks for that."""
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        if file.exists():
            found: dict[str, Any] = json.loads(file.read_text())
            if found["host"]["target_kib"] == target_kib:
                return found
        daemon.message(0.05)
    raise AssertionError(f"no such status; it said: {daemon.stderr}")


def test_a_full_run_is_told_once_and_the_status_comes_back_with_room(
    root: Path, guest: Guest, dom0: RawClient
) -> None:
    tmpfs = Tmpfs(root / "run/balloon-agent", "size=4k")
    words = ("--config", "/dev/null")
    with DaemonProcess(root, guest.path, *words, prefix=tmpfs.prefix) as daemon:
        daemon.ready()
        runtime = tmpfs.seen_by(daemon.process.pid)
        ask_for(dom0, 393216)
        ask_for(dom0, 524288)
        assert not (runtime / "status.json").exists()
        assert daemon.stderr.count(UNUSABLE) == 1
        assert "No space left on device" in daemon.stderr

        tmpfs.remount(daemon.process.pid, "size=1m")
        ask_for(dom0, 262144)
        status_that_says(runtime / "status.json", daemon, 262144)
        assert daemon.end() == 0


def test_a_run_that_was_never_writable_is_done_without(
    root: Path, guest: Guest, dom0: RawClient
) -> None:
    tmpfs = Tmpfs(root / "run", "ro")
    words = ("--config", "/dev/null")
    with DaemonProcess(root, guest.path, *words, prefix=tmpfs.prefix) as daemon:
        daemon.ready()
        ask_for(dom0, 393216)
        assert daemon.stderr.count(UNUSABLE) == 1
        assert daemon.end() == 0


@pytest.mark.parametrize("name", ["status.json", ".status.json.new", "boot.json", "lock"])
def test_a_planted_fifo_is_replaced_and_never_waited_for(
    root: Path, guest: Guest, name: str
) -> None:
    runtime = root / "run/balloon-agent"
    runtime.mkdir(parents=True)
    os.mkfifo(runtime / name)
    with DaemonProcess(root, guest.path, "--config", "/dev/null") as daemon:
        daemon.ready()
        assert daemon.status()["schema"] == 1
        assert daemon.end() == 0


def test_a_directory_that_is_a_symlink_is_not_entered(
    root: Path, guest: Guest, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / "run").mkdir(exist_ok=True)
    (root / "run/balloon-agent").symlink_to(elsewhere)
    with DaemonProcess(root, guest.path, "--config", "/dev/null") as daemon:
        daemon.ready()
        assert UNUSABLE in daemon.stderr
        assert daemon.end() == 0
    assert list(elsewhere.iterdir()) == []


def test_of_two_that_start_at_once_exactly_one_stays(root: Path, guest: Guest) -> None:
    words = ("--config", "/dev/null")
    with (
        DaemonProcess(root, guest.path, *words) as one,
        DaemonProcess(root, guest.path, *words) as other,
    ):
        until_s = time.monotonic() + PATIENCE_S
        while (ended := [p for p in (one, other) if p.process.poll() is not None]) == []:
            assert time.monotonic() < until_s
            one.message(0.02)
        assert len(ended) == 1
        assert ended[0].process.returncode == 75
        stays = one if ended[0] is other else other
        # Which one it is can be said once it has written its number.
        number = rf"( \(pid {stays.process.pid}\))?"
        assert re.search(rf"another balloon-agent{number} runs here", ended[0].stderr)
        if not any(message == "READY=1" for message in stays.messages):
            stays.ready()
        assert stays.end() == 0
