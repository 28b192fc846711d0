# SPDX-License-Identifier: GPL-2.0-or-later
"""SIGTERM, whatever the daemon is at: exit status 0, within two seconds."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.daemon_process import DaemonProcess
from tests.support.host_view import HOME, ask_for
from tests.support.xenstored.daemon import Xenstored
from tests.support.xenstored.guest import Guest
from tests.support.xenstored.raw_client import RawClient

pytestmark = pytest.mark.xenstored

STOP_S = 2.0
Prepare = Callable[[DaemonProcess, Xenstored, RawClient], None]


def settled(daemon: DaemonProcess, xenstored: Xenstored, dom0: RawClient) -> None:
    """Asleep, with nothing to wait for."""


def on_its_way(daemon: DaemonProcess, xenstored: Xenstored, dom0: RawClient) -> None:
    """The host has asked for something that the kernel has not done yet."""
    ask_for(dom0, 393216)


def reading_its_configuration(daemon: DaemonProcess, xenstored: Xenstored, dom0: RawClient) -> None:
    daemon.send(signal.SIGHUP)


def in_a_storm(daemon: DaemonProcess, xenstored: Xenstored, dom0: RawClient) -> None:
    for number in range(2000):
        dom0.write(f"{HOME}/memory/target", 524288 - 4 * (number % 2))


def without_xenstored(daemon: DaemonProcess, xenstored: Xenstored, dom0: RawClient) -> None:
    xenstored.kill()
    while "xenstore is lost" not in daemon.stderr:
        assert daemon.message() is not None


@pytest.mark.parametrize(
    "prepare", [settled, on_its_way, reading_its_configuration, in_a_storm, without_xenstored]
)
def test_it_ends_soon_and_well_in_every_state(
    daemon: DaemonProcess, xenstored: Xenstored, dom0: RawClient, prepare: Prepare
) -> None:
    prepare(daemon, xenstored, dom0)
    began_s = time.monotonic()
    assert daemon.end() == 0
    assert time.monotonic() - began_s < STOP_S
    assert daemon.status()["daemon"]["stopped"] is True


def test_while_it_starts_it_ends_soon_too(root: Path, guest: Guest) -> None:
    """Before it listens for signals the kernel ends it, which systemd takes for a clean end."""
    rng = random.Random(3)
    for _ in range(6):
        with DaemonProcess(root, guest.path, "--config", "/dev/null") as daemon:
            time.sleep(rng.uniform(0.0, 0.25))
            began_s = time.monotonic()
            assert daemon.end() in (0, -signal.SIGTERM)
            assert time.monotonic() - began_s < STOP_S
            assert "Traceback" not in daemon.stderr


def test_to_be_told_again_and_again_changes_nothing(root: Path, guest: Guest) -> None:
    for number in range(5):
        with DaemonProcess(root, guest.path, "--config", "/dev/null") as daemon:
            daemon.ready()
            daemon.send(signal.SIGTERM)
            while daemon.process.poll() is None:  # up to its very last moment
                daemon.send(signal.SIGTERM if number % 2 else signal.SIGINT)
            assert daemon.process.returncode == 0
            assert "Traceback" not in daemon.stderr
