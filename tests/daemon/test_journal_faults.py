# SPDX-License-Identifier: GPL-2.0-or-later
"""A journal that is full, gone or was never there holds nothing up and gets into nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.daemon_process import DaemonProcess
from tests.support.host_view import ask_for
from tests.support.xenstored.guest import Guest
from tests.support.xenstored.raw_client import RawClient

pytestmark = pytest.mark.xenstored


@pytest.mark.parametrize("state", ["full", "gone"])
def test_a_journal_that_takes_no_lines_holds_nothing_up(
    root: Path, guest: Guest, dom0: RawClient, state: str
) -> None:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    try:
        while state == "full":
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    if state == "gone":
        os.close(reader)
    with DaemonProcess(root, guest.path, "--config", "/dev/null", stderr=writer) as daemon:
        os.close(writer)
        daemon.ready()
        ask_for(dom0, 393216)
        ask_for(dom0, 524288)
        assert daemon.end() == 0
    if state == "full":
        os.close(reader)


def test_without_standard_descriptors_lines_go_nowhere_else(
    root: Path, guest: Guest, dom0: RawClient
) -> None:
    closed = ("sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-')
    with DaemonProcess(root, guest.path, "--config", "/dev/null", prefix=closed) as daemon:
        daemon.ready()
        ask_for(dom0, 393216)
        opened = [os.readlink(f"/proc/{daemon.process.pid}/fd/{number}") for number in range(3)]
        assert opened == ["/dev/null"] * 3
        assert daemon.wait_for_status(connections=1, failed_ticks=0)
        assert daemon.end() == 0
    lock = root / "run/balloon-agent/lock"
    assert lock.read_text() == f"{daemon.process.pid}\n"
