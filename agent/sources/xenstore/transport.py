# SPDX-License-Identifier: GPL-2.0-or-later
"""The two ways to xenstore, opened so that no call on them can block.

A guest has a file of the kernel's, `/dev/xen/xenbus`, and the same as `/proc/xen/xenbus` where
xenfs is mounted (the only one before Linux 2.6.39); both are root's alone. A privileged domain,
a simulation and the tests have a unix socket.

What the file does differently (drivers/xen/xenbus/xenbus_dev_frontend.c, Linux 4.4 to 6.x):
it honours O_NONBLOCK when read; poll() never reports it writable; an error may be the errno of
write() instead of a packet; it does not end when xenstored dies, requests only stay unanswered.
"""

from __future__ import annotations

import _socket  # all of `socket` would cost the daemon 0.4 MiB: see agent/daemon/notify.py
import errno
import io
import os
import select
import stat
import time
from typing import Final

from agent.sources.outcome import ABSENT, DENIED
from agent.sources.system_root import status_of_error
from agent.sources.xenstore.errors import DeviceDenied, DeviceMissing, XenstoreUnreachable

DEVICES: Final = ("/dev/xen/xenbus", "/proc/xen/xenbus")
_MOST_AT_ONCE_BYTES: Final = 4096
_RETRY_CONNECT_S: Final = 0.01


class Transport:
    """A descriptor to xenstore that never blocks: a connected unix socket, or the xenbus file.

    `errno_is_answer`: an errno of write() may be xenstored's answer rather than the end.
    """

    def __init__(self, opened: _socket.socket | io.FileIO) -> None:
        self.errno_is_answer = isinstance(opened, io.FileIO)
        self._opened = opened
        # Where everything is received: one place for all of it keeps the heap as it is.
        self._page = memoryview(bytearray(_MOST_AT_ONCE_BYTES))

    def fileno(self) -> int:
        return self._opened.fileno()

    def read(self, most_bytes: int) -> bytes | None:
        """What is there, at most a page; b"" at the end, None when nothing is there yet."""
        try:
            count = os.readv(self.fileno(), [self._page[:most_bytes]])
        except BlockingIOError:
            return None
        return bytes(self._page[:count])

    def write(self, data: bytes) -> int | None:
        """How many bytes were taken, None when there is no room yet."""
        if isinstance(self._opened, io.FileIO):
            return self._opened.write(data)
        try:
            return self._opened.send(data, _socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Give up the descriptor; of the kernel's file, its watches go.

        No shutdown() of a socket, which would reach into other processes that inherited it.
        """
        self._opened.close()


def adopted_transport(descriptor: int) -> Transport:
    """The transport of a descriptor that an earlier program of this process has opened.

    Raises:
        OSError: it is none.
    """
    if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        connected = _socket.socket(fileno=descriptor)
        connected.setblocking(False)
        return Transport(connected)
    return Transport(io.FileIO(descriptor, "r+"))


def open_transport(path: str, timeout_s: float) -> Transport:
    """Open `path` by what it is; a socket is given `timeout_s` seconds to accept.

    Raises:
        DeviceMissing: nothing is there, or no driver behind it.
        DeviceDenied: it is there, but not for this user.
        XenstoreUnreachable: it cannot be xenstore, or does not take a connection.
    """
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISSOCK(mode):
            return Transport(_connected(path, timeout_s))
    except (OSError, ValueError) as error:
        raise _unreachable(path, error) from error
    if not (stat.S_ISCHR(mode) or stat.S_ISREG(mode)):  # xenfs shows a regular file
        raise XenstoreUnreachable(path, "neither a xenbus device nor a unix socket")
    try:
        return Transport(_opened(path))
    except OSError as error:
        if error.errno == errno.EPERM and os.access(path, os.R_OK | os.W_OK):
            # epoll's word for a file that cannot be waited for, such as one on a disk.
            raise XenstoreUnreachable(path, "an ordinary file, not xenbus") from error
        raise _unreachable(path, error) from error


def _connected(path: str, timeout_s: float) -> _socket.socket:
    made = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK)
    deadline_s = time.monotonic() + timeout_s
    try:
        while not _try_to_connect(made, path):
            if time.monotonic() > deadline_s:
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            time.sleep(_RETRY_CONNECT_S)
    except BaseException:
        made.close()
        raise
    return made


def _try_to_connect(made: _socket.socket, path: str) -> bool:
    try:
        made.connect(path)
    except BlockingIOError:  # xenstored's backlog is 1, and a unix socket does not queue
        return False
    return True


def _opened(path: str) -> io.FileIO:
    flags = os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    file = io.FileIO(os.open(path, flags), "r+")
    try:
        with select.epoll() as probe:
            probe.register(file, select.EPOLLIN)
    except BaseException:
        file.close()
        raise
    return file


def default_path(devices: tuple[str, ...] = DEVICES) -> str:
    """The xenbus file of this guest, the first of `devices` that exists; it is not opened.

    Raises:
        DeviceMissing: there is none, so this is no Xen guest, or /proc/xen is not mounted.
        DeviceDenied: not even whether there is one can be seen.
    """
    for path in devices:
        try:
            os.stat(path)
        except OSError as error:
            if status_of_error(error) != ABSENT:
                raise _unreachable(path, error) from error
        else:
            return path
    raise DeviceMissing(" or ".join(devices), "no such device")


def _unreachable(path: str, error: OSError | ValueError) -> XenstoreUnreachable:
    number = error.errno if isinstance(error, OSError) else None
    reason = os.strerror(number) if number is not None else str(error)
    kinds = {ABSENT: DeviceMissing, DENIED: DeviceDenied}
    return kinds.get(status_of_error(error), XenstoreUnreachable)(path, reason)
