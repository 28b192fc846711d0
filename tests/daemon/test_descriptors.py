# SPDX-License-Identifier: GPL-2.0-or-later
"""Descriptors: none is lost, however much happens, and for a while there may be none left."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import pytest

from agent.daemon.config.load import load_config
from agent.daemon.journal import Journal
from agent.daemon.link import Link
from agent.daemon.loop import Daemon
from agent.daemon.notify import Notifier
from agent.daemon.parts import Parts
from agent.daemon.runtime_directory import RuntimeDirectory
from agent.daemon.wakeups import Wakeups
from agent.sources.system_root import SystemRoot
from tests.support.daemon_process import DaemonProcess
from tests.support.host_view import HOME, ask_for
from tests.support.simulated_xenstore import SimulatedXenstored
from tests.support.wakeups import give_back
from tests.support.xenstored.guest import Guest
from tests.support.xenstored.libxl_tree import GuestConfig, write_guest
from tests.support.xenstored.raw_client import RawClient

LOOKS = 400
CONNECTIONS = 50


def opened() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_looks_and_connections_leave_no_descriptor_open(root: Path, config: Path) -> None:
    journal = os.open("/dev/null", os.O_WRONLY)
    with SimulatedXenstored() as xenstored, xenstored.connect() as dom0:
        guest = xenstored.introduce(5)
        write_guest(dom0, GuestConfig(5))
        link = Link(guest.path)
        parts = Parts(
            SystemRoot(str(root)),
            link,
            Wakeups(),
            RuntimeDirectory(str(root / "run/balloon-agent")),
            Journal(journal),
            Notifier({}),
            lambda: load_config(str(config)),
        )
        try:
            daemon = Daemon(parts, load_config(str(config)))
            daemon.start()
            before = opened()
            for number in range(LOOKS):
                assert daemon.turn({"timer"})
                if number % (LOOKS // CONNECTIONS) == 0:
                    link.session.close()
                    link.connect(time.monotonic())
                    assert link.is_up
            for _ in range(20):
                daemon._reload()
            assert link.connections == CONNECTIONS + 1
            assert opened() == before
        finally:
            link.session.close()
            give_back(parts.wakeups)
            parts.runtime.close()
            os.close(journal)


@pytest.mark.xenstored
def test_without_a_descriptor_left_it_lives_on_and_recovers(
    daemon: DaemonProcess, guest: Guest, dom0: RawClient
) -> None:
    pid = daemon.process.pid
    most = max(int(name) for name in os.listdir(f"/proc/{pid}/fd")) + 1
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    assert most <= 12
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
    dom0.write(f"{HOME}/memory/target", 393216)
    end = time.monotonic() + 30.0
    while "the status cannot be kept" not in daemon.stderr:
        assert time.monotonic() < end, daemon.stderr
        time.sleep(0.01)  # no message either: a socket is a descriptor
    assert "Too many open files" in daemon.stderr

    resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
    ask_for(dom0, 262144)
    assert daemon.wait_for_status(connections=1, failed_ticks=0)["host"]["target_kib"]
    assert daemon.end() == 0
