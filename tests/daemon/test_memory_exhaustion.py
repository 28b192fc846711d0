# SPDX-License-Identifier: GPL-2.0-or-later
"""No memory for a look: the look is dropped, and the daemon lives on without its ping."""

from __future__ import annotations

import resource
import signal
import time
from pathlib import Path

import pytest

from tests.support.daemon_process import PATIENCE_S, START, DaemonProcess
from tests.support.host_view import ask_for
from tests.support.xenstored.guest import Guest
from tests.support.xenstored.raw_client import RawClient

pytestmark = pytest.mark.xenstored

FED = {"WATCHDOG_USEC": "400000"}
LOOKS = 200
# A look at more than there is room for, as long as a file says so.
HUNGRY = """
import os
from agent.daemon import observer
modest = observer.read_pressure

def hungry(root):
    if os.path.exists(root.absolute("hunger")):
        bytes(64 << 20)
    return modest(root)

observer.read_pressure = hungry
"""
FAILING_EVERYWHERE = """
import os
from agent.daemon import loop
sound = loop.Daemon.serve

def failing(daemon, woken):
    if os.path.exists(daemon._parts.root.absolute("fail")) and not woken.signals:
        raise MemoryError
    sound(daemon, woken)

loop.Daemon.serve = failing
"""


def size_kib(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise LookupError(field)


def test_a_look_without_memory_is_dropped_freed_and_earns_no_ping(
    root: Path, guest: Guest, dom0: RawClient
) -> None:
    with DaemonProcess(
        root, guest.path, "--config", "/dev/null", environment=FED, start=HUNGRY + START
    ) as daemon:
        daemon.ready()
        daemon.wait_for("WATCHDOG=1")
        pid = daemon.process.pid
        before_kib = size_kib(pid, "VmSize")
        limit = (before_kib + 16 * 1024) << 10
        resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
        (root / "hunger").touch()
        while "MemoryError" not in daemon.stderr:
            daemon.message(0.1)
        while not daemon.silent(0.5):
            pass
        heard = daemon.messages.count("WATCHDOG=1")
        daemon.silent(0.6)
        assert daemon.messages.count("WATCHDOG=1") == heard

        (root / "hunger").unlink()
        daemon.wait_for("WATCHDOG=1")
        ask_for(dom0, 393216)
        assert size_kib(pid, "VmSize") - before_kib < 4096
        assert daemon.stderr.count("a look at the domain failed") == 1
        assert daemon.wait_for_status()["daemon"]["failed_ticks"] > 0
        assert daemon.end() == 0


def test_what_fails_outside_a_look_is_survived_without_a_ping_and_without_haste(
    root: Path, guest: Guest
) -> None:
    with DaemonProcess(
        root, guest.path, "--config", "/dev/null", environment=FED, start=FAILING_EVERYWHERE + START
    ) as daemon:
        daemon.ready()
        (root / "fail").touch()
        while not daemon.silent(1.0):
            pass
        (root / "fail").unlink()
        daemon.wait_for("WATCHDOG=1")
        assert 0 < daemon.wait_for_status()["daemon"]["failed_ticks"] < 20

        (root / "fail").touch()
        began_s = time.monotonic()
        assert daemon.end(signal.SIGTERM) == 0
        assert time.monotonic() - began_s < 2.0


def test_too_little_memory_to_start_is_told_in_a_sentence(root: Path, guest: Guest) -> None:
    starve = (
        "from agent.daemon import main as program\n"
        "program.Daemon.start = lambda daemon: bytes(1 << 60)\n"
    )
    with DaemonProcess(root, guest.path, "--config", "/dev/null", start=starve + START) as daemon:
        assert daemon.process.wait(PATIENCE_S) == 71
        assert "there is too little memory to start" in daemon.stderr
        assert "Traceback" not in daemon.stderr


def test_hundreds_of_looks_take_no_more_memory_than_the_first(daemon: DaemonProcess) -> None:
    """100,000 looks and a million events: tests/bench."""

    def look_often() -> int:
        for _ in range(LOOKS):
            daemon.send(signal.SIGHUP)
            daemon.wait_for("READY=1")
        return size_kib(daemon.process.pid, "RssAnon")

    before_kib = look_often()
    assert look_often() - before_kib < 256
