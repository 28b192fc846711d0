# SPDX-License-Identifier: GPL-2.0-or-later
"""The only opener of files: bounded reads and single writes below one root directory.

`SystemRoot("/")` is this machine, `SystemRoot(DIR)` a capture or a published domain.  The very
same sources run on both.  Reads never ask for a size first (sysfs and procfs lie about it), never
block, and below another root open neither what a symlink leads to outside of it nor a FIFO or
device that somebody planted there.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import Final, TypeVar

from agent.core.facts.numbers import MalformedError, shown
from agent.sources.outcome import ABSENT, DENIED, OK, Outcome, malformed, parsed

T = TypeVar("T")

SMALL_LIMIT_BYTES: Final = 4096  # a sysfs attribute is at most one page
LARGE_LIMIT_BYTES: Final = 4 * 1024 * 1024  # a map of 10,000 entries is half a MiB

_ABSENT_ERRNOS: Final = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO, errno.EOPNOTSUPP}
)
_DENIED_ERRNOS: Final = frozenset({errno.EACCES, errno.EPERM})


def status_of_error(error: OSError | ValueError) -> str:
    """The status word for an operating system error, or for what a path or content cannot be."""
    if not isinstance(error, OSError):
        return malformed(error)
    if error.errno in _ABSENT_ERRNOS:
        return ABSENT
    if error.errno in _DENIED_ERRNOS:
        return DENIED
    return malformed(error.strerror or "input/output error")


def _printable(line: str) -> str:
    if not line.isprintable():
        raise MalformedError(f"{shown(line)} is not one printable line")
    return line


class NotXenError(Exception):
    """There is no Xen domain below a root."""


class SystemRoot:
    """A directory that stands for `/`.  Paths are given relative to it, without leading slash."""

    def __init__(self, path: str = "/") -> None:
        self.path = os.path.abspath(path)
        self._real_prefix = os.path.realpath(self.path).rstrip("/") + "/"
        # /proc/PID/root says it leads to `/` even where it is a container's.
        self.is_live = self._real_prefix == "/" and os.path.samefile(self.path, "/")
        # Every read goes through the same page; a fresh one each time would scatter the heap of a
        # daemon that reads for months.
        self._page = memoryview(bytearray(SMALL_LIMIT_BYTES))

    def absolute(self, relative: str) -> str:
        """Where a file of this root is on the real machine."""
        return os.path.join(self.path, relative)

    def read(self, relative: str, limit_bytes: int = SMALL_LIMIT_BYTES) -> Outcome[str]:
        """The text of a file; longer than `limit_bytes` is malformed, not cut."""
        content = self.read_bytes(relative, limit_bytes)
        return parsed(content, lambda raw: raw.decode("utf-8", "backslashreplace"))

    def read_line(self, relative: str, most_chars: int) -> Outcome[str]:
        """The one line of a file, without its end and cut; malformed where it is not printable."""
        return parsed(self.read(relative), lambda text: _printable(text.strip()[:most_chars]))

    def read_bytes(self, relative: str, limit_bytes: int = SMALL_LIMIT_BYTES) -> Outcome[bytes]:
        """The content of a file that is no text; as `read`."""
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
        return self._taken(
            relative, flags, lambda descriptor: self._content(descriptor, limit_bytes)
        )

    def names(self, relative: str) -> Outcome[tuple[str, ...]]:
        """The names in a directory, sorted."""
        flags = os.O_RDONLY | os.O_DIRECTORY
        return self._taken(
            relative, flags, lambda descriptor: tuple(sorted(os.listdir(descriptor)))
        )

    def write(self, relative: str, text: str) -> None:
        """Write a kernel attribute in one call, as sysfs wants it.

        Raises:
            OSError: the kernel's answer, also for a short write.
        """
        content = text.encode("ascii")
        descriptor = self._open(relative, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            written = os.write(descriptor, content)
            if written != len(content):
                raise OSError(errno.EIO, f"took {written} of {len(content)} bytes", relative)
        finally:
            os.close(descriptor)

    def _taken(self, relative: str, flags: int, take: Callable[[int], T]) -> Outcome[T]:
        """What `take` finds by the descriptor of a file or directory, or why that is nothing."""
        try:
            descriptor = self._open(relative, flags)
            try:
                return Outcome(take(descriptor), OK)
            finally:
                os.close(descriptor)
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL, or a MalformedError
            return Outcome(None, status_of_error(error))

    def _open(self, relative: str, flags: int) -> int:
        """Open a file or directory of this root.

        Below another root than `/`, a handle that touches nothing comes first (O_PATH): what a
        planted link leads to, or a FIFO or device in its place, is seen there and not opened.
        """
        path, flags = self.absolute(relative), flags | os.O_CLOEXEC
        if self.is_live:
            return os.open(path, flags)
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC | flags & os.O_NOFOLLOW)
        try:
            same_file = f"/proc/self/fd/{handle}"
            if not (os.readlink(same_file) + "/").startswith(self._real_prefix):
                raise OSError(errno.EXDEV, "leads out of the capture", relative)
            mode = os.fstat(handle).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise OSError(errno.EINVAL, "not a file", relative)
            return os.open(same_file, flags & ~os.O_NOFOLLOW)
        finally:
            os.close(handle)

    def _content(self, descriptor: int, limit_bytes: int) -> bytes:
        """Read until the end or the limit; procfs hands out less than asked for at a time."""
        pieces = []
        left = limit_bytes + 1
        while left > 0 and (count := os.readv(descriptor, [self._page[:left]])):
            pieces.append(bytes(self._page[:count]))
            left -= count
        if not left:
            raise MalformedError(f"longer than {limit_bytes} bytes")
        return b"".join(pieces)
