# SPDX-License-Identifier: GPL-2.0-or-later
"""Where xenstore is, and what is said when it is not there."""

from __future__ import annotations

import os
import pty
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.sources.xenstore.errors import DeviceDenied, DeviceMissing, XenstoreUnreachable
from agent.sources.xenstore.session import XenstoreSession
from agent.sources.xenstore.transport import DEVICES, default_path

NOBODY = 65534


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Root may open anything, so stop being root for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def connect_error(path: str) -> XenstoreUnreachable:
    with pytest.raises(XenstoreUnreachable) as caught:
        XenstoreSession(path, timeout_s=0.05).connect()
    assert caught.value.path == path
    assert path in str(caught.value)
    return caught.value


def test_the_device_is_preferred_to_the_file_of_xenfs(tmp_path: Path) -> None:
    device, xenfs = tmp_path / "dev", tmp_path / "proc"
    xenfs.touch()
    assert default_path((str(device), str(xenfs))) == str(xenfs)
    device.touch()
    assert default_path((str(device), str(xenfs))) == str(device)


def test_no_device_at_all_is_said_with_every_place_looked_at(tmp_path: Path) -> None:
    nowhere = (str(tmp_path / "dev"), str(tmp_path / "proc"))

    with pytest.raises(DeviceMissing, match=" or ") as caught:
        default_path(nowhere)

    assert all(path in str(caught.value) for path in nowhere)


def test_a_directory_one_may_not_enter_is_not_an_absent_device(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0)

    with as_ordinary_user(), pytest.raises(DeviceDenied, match="Permission denied"):
        default_path((str(hidden / "xenbus"),))


def test_the_devices_are_those_of_the_kernel() -> None:
    assert DEVICES == ("/dev/xen/xenbus", "/proc/xen/xenbus")


def test_a_missing_device_is_told_from_a_denied_one(tmp_path: Path) -> None:
    assert isinstance(connect_error(str(tmp_path / "xenbus")), DeviceMissing)

    denied = tmp_path / "denied"
    denied.touch(mode=0)
    with as_ordinary_user():
        assert isinstance(connect_error(str(denied)), DeviceDenied)


def test_a_socket_nobody_listens_to_is_unreachable_but_not_missing(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)

    error = connect_error(path)

    assert type(error) is XenstoreUnreachable
    assert error.reason == "Connection refused"


def test_a_socket_whose_backlog_stays_full_ends_in_a_timeout(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        error = connect_error(path)

    assert error.reason == "Connection timed out"


@pytest.mark.parametrize("kind", ["a file on a disk", "/dev/null", "a directory", "a FIFO"])
def test_what_cannot_be_xenstore_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "thing"
    if kind == "a file on a disk":
        path.touch()
    elif kind == "a directory":
        path.mkdir()
    elif kind == "a FIFO":
        os.mkfifo(path)
    else:
        path = Path(kind)

    error = connect_error(str(path))

    assert type(error) is XenstoreUnreachable
    assert "xenbus" in error.reason


@pytest.mark.parametrize("path", ["", "x\0y", "/tmp/" + "x" * 5000])
def test_a_path_that_is_none_raises_nothing_else(path: str) -> None:
    connect_error(path)


def test_a_socket_path_too_long_for_the_system_raises_nothing_else(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    here = Path.cwd()
    os.chdir(deep)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket")
    finally:
        os.chdir(here)

    assert "too long" in connect_error(str(deep / "socket")).reason


def test_failed_connects_leave_no_descriptor_behind(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        connect_error("/dev/null")
        connect_error(str(tmp_path))

    assert len(os.listdir("/proc/self/fd")) == before


def test_a_terminal_opened_in_the_place_of_the_device_does_not_become_ours() -> None:
    """O_NOCTTY: the daemon is a session leader without a terminal, and must stay one."""
    master, slave = pty.openpty()
    path = os.ttyname(slave)
    child = os.fork()
    if child == 0:
        os.setsid()
        session = XenstoreSession(path)
        session.connect()
        try:
            os.close(os.open("/dev/tty", os.O_RDWR))
        except OSError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(master)
    os.close(slave)
