# SPDX-License-Identifier: GPL-2.0-or-later
"""The two calls of Linux' inotify that the standard library lacks, for inodes that are open."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from typing import Final

_IN_CLOSE_WRITE: Final = 0x8
_IN_NONBLOCK: Final = 0x800
_IN_CLOEXEC: Final = 0x80000
_EVENT: Final = struct.Struct("iIII")  # wd, mask, cookie, length of the name that follows


class Inotify:
    """Tells when somebody who had written to a file has closed it."""

    def __init__(self) -> None:
        """Open it.

        Raises:
            OSError: the user has too many of them.
        """
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._checked(self._libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC))

    def fileno(self) -> int:
        """For a poll: readable when `read` has something."""
        return self._fd

    def watch(self, fd: int) -> int:
        """Watch the inode behind an open file, whatever its name is or becomes.

        Raises:
            OSError: the user has too many watches.
        """
        path = f"/proc/self/fd/{fd}".encode()
        return self._checked(self._libc.inotify_add_watch(self._fd, path, _IN_CLOSE_WRITE))

    def unwatch(self, number: int) -> None:
        self._libc.inotify_rm_watch(self._fd, number)

    def read(self) -> list[int]:
        """The watches whose files were closed after writing, in order."""
        numbers = []
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._fd, 65536)
            offset = 0
            while offset < len(data):
                number, mask, _cookie, length = _EVENT.unpack_from(data, offset)
                offset += _EVENT.size + length
                if mask & _IN_CLOSE_WRITE:
                    numbers.append(number)
        return numbers

    def close(self) -> None:
        os.close(self._fd)

    @staticmethod
    def _checked(result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result
