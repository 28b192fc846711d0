# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's directory below /run: its lock, and files that are replaced in one step.

Everything goes through a descriptor of the directory, and no symlink is followed: what somebody
planted there is replaced, never written through.  A directory in which others can plant files is
not used.  Without a usable one the daemon goes on.
"""

from __future__ import annotations

import fcntl
import os
import stat
from typing import Final

FILES: Final = ("status.json", "boot.json")
_MODE: Final = 0o644
_LOCK_MODE: Final = 0o600  # who can open it can hold it (flock asks for no right to write)
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


class AlreadyRunningError(Exception):
    """Another daemon holds the lock; the text says which."""


class RuntimeDirectory:
    """One directory; `problem` says why nothing can be written, None when all is well.

    `lock_descriptor` holds the lock; None where the directory cannot be used.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.problem: str | None = None
        self._directory: int | None = None
        self.lock_descriptor: int | None = None
        try:
            os.makedirs(path, mode=0o755, exist_ok=True)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            self._directory = os.open(path, flags)
            found = os.fstat(self._directory)
            if found.st_uid not in (0, os.geteuid()) or found.st_mode & _OTHERS_WRITE:
                self.problem = f"{path}: others than its owner can write there"
                self.close()
        except OSError as error:
            self.problem = f"{path}: {error.strerror}"

    def lock(self) -> None:
        """Make sure that this is the only daemon, as far as the directory can be used.

        Raises:
            AlreadyRunningError: it is not.
        """
        if self._directory is None:
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            descriptor = os.open("lock", flags, _LOCK_MODE, dir_fd=self._directory)
        except OSError as error:
            self.problem = f"{self.path}/lock: {error.strerror}"
            return
        try:
            os.fchmod(descriptor, _LOCK_MODE)  # that of an older version was for everybody
        except OSError:
            pass
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 16).decode("ascii", "replace").strip()
            os.close(descriptor)
            pid = f" (pid {holder})" if holder.isdigit() else ""
            raise AlreadyRunningError(f"another balloon-agent{pid} runs here already") from None
        except OSError as error:  # a file system that has no locks
            os.close(descriptor)
            self.problem = f"{self.path}/lock: {error.strerror}"
            return
        self.lock_descriptor = descriptor
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        except OSError:
            pass  # the pid is a courtesy, the lock is held

    def replace(self, name: str, content: bytes) -> bool:
        """Give a file new content in one step; False, and `problem`, when that cannot be."""
        if self._directory is None:
            return False
        unfinished = f".{name}.new"
        try:
            self._write(unfinished, content)
            os.rename(unfinished, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except OSError as error:
            self.problem = f"{self.path}/{name}: {error.strerror}"
            self._remove(unfinished)
            return False
        self.problem = None
        return True

    def discard(self) -> None:
        """Remove the directory with what a daemon keeps there, unless somebody keeps more."""
        if self._directory is not None:
            for name in (*FILES, "lock"):
                self._remove(name)
            try:
                os.rmdir(self.path)
            except OSError:
                pass
        self.close()

    def close(self) -> None:
        for descriptor in (self.lock_descriptor, self._directory):
            if descriptor is not None:
                os.close(descriptor)
        self.lock_descriptor = self._directory = None

    def _remove(self, name: str) -> None:
        """If it can be removed; what matters shows later."""
        try:
            os.unlink(name, dir_fd=self._directory)
        except OSError:
            pass

    def _write(self, name: str, content: bytes) -> None:
        try:
            os.unlink(name, dir_fd=self._directory)
        except FileNotFoundError:
            pass

        def opened(path: str, flags: int) -> int:
            return os.open(path, flags | os.O_NOFOLLOW, _MODE, dir_fd=self._directory)

        with open(name, "xb", opener=opened) as file:
            file.write(content)
