# SPDX-License-Identifier: GPL-2.0-or-later
"""The service manager's watchdog: fed by good looks, left hungry by anything else."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.daemon_process import START, DaemonProcess
from tests.support.xenstored.daemon import Xenstored
from tests.support.xenstored.guest import Guest
from tests.support.xenstored.raw_client import RawClient

pytestmark = pytest.mark.xenstored

FED = {"WATCHDOG_USEC": "400000"}
MOST_PINGS = 10  # what was sent before the one that asked, and may still be to be read
# A source that hangs, or fails, as long as a file says so.
FAULTY = """
import os, sys, time
from agent.daemon import observer
sound = observer.read_pressure

def faulty(root):
    while os.path.exists(root.absolute("hang")):
        time.sleep(0.05)
    if os.path.exists(root.absolute("fail")):
        raise ZeroDivisionError("injected")
    return sound(root)

observer.read_pressure = faulty
"""


@pytest.mark.parametrize("fault", ["hang", "fail"])
def test_a_source_that_hangs_or_fails_leaves_the_watchdog_hungry(
    root: Path, guest: Guest, dom0: RawClient, fault: str
) -> None:
    with DaemonProcess(
        root, guest.path, "--config", "/dev/null", environment=FED, start=FAULTY + START
    ) as daemon:
        daemon.ready()
        daemon.wait_for("WATCHDOG=1")
        (root / fault).touch()
        while not daemon.silent(0.5):
            pass
        heard = daemon.messages.count("WATCHDOG=1")
        daemon.silent(0.5)
        assert daemon.messages.count("WATCHDOG=1") == heard

        (root / fault).unlink()
        daemon.wait_for("WATCHDOG=1")
        assert daemon.end() == 0


def test_an_xenstored_that_says_nothing_any_more_is_missed_at_the_next_ping(
    root: Path, guest: Guest, xenstored: Xenstored
) -> None:
    with DaemonProcess(root, guest.path, "--config", "/dev/null", environment=FED) as daemon:
        daemon.ready()
        for _ in range(3):  # by then nothing is left to tell: only the ping asks
            daemon.wait_for("WATCHDOG=1")
        xenstored.signal(signal.SIGSTOP)
        pings = 0
        while "xenstore is lost" not in daemon.stderr:
            daemon.wait_for("WATCHDOG=1")
            pings += 1
            assert pings < MOST_PINGS
        assert "no answer" in daemon.status()["daemon"]["xenstore"]
        last = daemon.status()["daemon"]["decisions"][-1]
        assert last["rule"] == "host-silent"
        assert "asks for nothing" not in daemon.stderr
        xenstored.signal(signal.SIGCONT)
        daemon.wait_for_status(connections=2)
