# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel's files as real ones that another process reads and writes.

Readers: a file is replaced by renaming a complete one over it, so that nobody reads half of one.

Writers: each version of a file that may be written carries a read lease (fcntl(2), F_SETLEASE).
Whoever opens it for writing waits for a moment in open(2); in that moment the path is given a
fresh copy, and a few milliseconds later, when those who had the old one open have read it, the
writer gets an inode that nobody else looks at.  So a reader does not meet the empty file of a
writer that truncates, and no write is lost because the file was just being replaced.  When the
writer closes, what he wrote is told.

What differs from sysfs: the write takes effect a moment after close(2) and never fails.  Where a
file was not truncated its old end shows behind what was written, so a line should end in a
newline (or truncate, as a shell does).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Final

from sim_backend.guest.files import BALLOON, BLOCKS
from sim_backend.inotify import Inotify

_WRITABLE = re.compile(
    rf"{BALLOON}/(?:target|target_kb|max_retry_count|max_schedule_delay|scrub_pages)"
    rf"|{BLOCKS}/auto_online_blocks"
)
_BLOCK_STATE = re.compile(rf"{BLOCKS}/memory[0-9]+/state")
_GRACE_S: Final = 1.0  # for a writer that was about to open a version as it was replaced
_READERS_S: Final = 0.001  # for readers that had opened it: kernel files are read at once
_LIMIT_BYTES: Final = 4096
# The time of change of a version as published; anything else means that it was written to.
_PUBLISHED_NS: Final = 1_000_000_000

_renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)  # glibc 2.28
_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2


class _Version:
    """One inode of a file that may be written."""

    def __init__(self, path: str, text: str, fd: int, watch: int) -> None:
        self.path = path
        self.text = text
        self.fd = fd
        self.watch = watch
        self.is_leased = self._was_leased = _set_lease(fd, fcntl.F_RDLCK)
        self.retired_s = float("inf")  # not yet

    def writer_waits(self) -> bool:
        """Whether somebody waits in open(2) for the lease to go."""
        return self.is_leased and fcntl.fcntl(self.fd, fcntl.F_GETLEASE) != fcntl.F_RDLCK

    def let_writer_in(self) -> None:
        """Give the lease up."""
        _set_lease(self.fd, fcntl.F_UNLCK)
        self.is_leased = False

    def was_written(self) -> bool:
        """Whether it is no more what was published."""
        return os.fstat(self.fd).st_mtime_ns != _PUBLISHED_NS

    def written_line(self) -> str:
        """What was written: the first line."""
        line = os.pread(self.fd, _LIMIT_BYTES, 0).decode("utf-8", "replace")
        return line.partition("\n")[0]

    def has_writer(self) -> bool:
        """Whether somebody still has it open for writing."""
        if self.is_leased or not self._was_leased:
            return False
        self.is_leased = _set_lease(self.fd, fcntl.F_RDLCK)
        return not self.is_leased


class PublishedFiles:
    """Files below `root`, kept as they are told to be; `on_write(path, line)` hears of writes.

    `staging` is a directory of the same file system where nobody looks.
    """

    def __init__(self, root: str, staging: str, on_write: Callable[[str, str], None]) -> None:
        self._root = root
        self._staging = staging
        self._on_write = on_write
        self._inotify = Inotify()
        self._shown: dict[str, str] = {}
        self._current: dict[str, _Version] = {}
        self._by_watch: dict[int, _Version] = {}  # retired ones as well
        self._count = 0
        self.writer_waits = False  # for readers of the same version to be done

    def fileno(self) -> int:
        """For a poll: readable when `serve` has something to do."""
        return self._inotify.fileno()

    def publish(self, files: Mapping[str, str]) -> None:
        """Make the tree show these files and no others."""
        for path, text in files.items():
            if self._shown.get(path) != text:
                self._replace(path, text)
        for path in self._shown.keys() - files.keys():
            self._remove(path)
        self._bury()

    def serve(self) -> None:
        """Let waiting writers in, and tell what was written."""
        self._admit_writers()
        for number in self._inotify.read():
            version = self._by_watch.get(number)
            if version is not None:
                self._closed(version)

    def _admit_writers(self) -> None:
        """Let those in who wait to open a file for writing; SIGIO says that there is one."""
        self.writer_waits = False
        for version in tuple(self._by_watch.values()):
            if not version.writer_waits():
                continue
            if self._current.get(version.path) is version:
                self._replace(version.path, version.text)
            if time.monotonic() < version.retired_s + _READERS_S:
                self.writer_waits = True
            else:
                version.let_writer_in()

    def close(self) -> None:
        """Give up leases and watches; the files stay as they are."""
        for version in tuple(self._by_watch.values()):
            self._forget(version)
        self._inotify.close()

    def _replace(self, path: str, text: str) -> None:
        target = os.path.join(self._root, path)
        is_new = path not in self._shown
        if is_new:
            os.makedirs(os.path.dirname(target), exist_ok=True)
        self._count += 1
        staged = os.path.join(self._staging, str(self._count))
        writable = _may_be_written(path, text)
        with open(staged, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), 0o644 if writable else 0o444)
            os.utime(file.fileno(), ns=(_PUBLISHED_NS, _PUBLISHED_NS))
        self._retire(path)
        if writable:
            fd = os.open(staged, os.O_RDONLY | os.O_CLOEXEC)
            version = _Version(path, text, fd, self._inotify.watch(fd))
            self._current[path] = self._by_watch[version.watch] = version
        if is_new or not _exchanged(staged, target):
            os.rename(staged, target)
        self._shown[path] = text

    def _remove(self, path: str) -> None:
        self._retire(path)
        os.unlink(os.path.join(self._root, path))
        del self._shown[path]
        with contextlib.suppress(OSError):  # not empty yet
            os.removedirs(os.path.dirname(os.path.join(self._root, path)))

    def _retire(self, path: str) -> None:
        """A version leaves the tree; somebody may be about to open it all the same."""
        version = self._current.pop(path, None)
        if version is not None:
            version.retired_s = time.monotonic()

    def _bury(self) -> None:
        now_s = time.monotonic()
        for version in tuple(self._by_watch.values()):
            is_old = now_s - version.retired_s > _GRACE_S
            if is_old and not version.writer_waits() and not version.has_writer():
                self._forget(version)

    def _forget(self, version: _Version) -> None:
        del self._by_watch[version.watch]
        self._inotify.unwatch(version.watch)
        os.close(version.fd)  # the lease goes with it

    def _closed(self, version: _Version) -> None:
        if not version.was_written():
            return
        line = version.written_line()
        if self._current.get(version.path) is version:  # no leases here: put the text back
            self._replace(version.path, version.text)
        self._forget(version)
        self._on_write(version.path, line)


def _may_be_written(path: str, text: str) -> bool:
    if _BLOCK_STATE.fullmatch(path):
        return text.startswith("offline")
    return _WRITABLE.fullmatch(path) is not None


def _exchanged(staged: str, target: str) -> bool:
    """Put a file in the place of another at once, and remove that; False where it cannot be done.

    rename(2) would do, but ext4 then writes to the disk what had not been written (auto_da_alloc).
    """
    if _renameat2 is None or _renameat2(
        _AT_FDCWD, os.fsencode(staged), _AT_FDCWD, os.fsencode(target), _RENAME_EXCHANGE
    ):
        return False
    os.unlink(staged)
    return True


def _set_lease(fd: int, kind: int) -> bool:
    """Whether it worked; a file system may know no leases, or a writer be there."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, kind)
    except OSError:
        return False
    return True
