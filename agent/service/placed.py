# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts the files of a service below the root of a system, and takes back what it put there.

What carries the mark is ours. A record beside the files says the rest: which directories were
missing and made, and how the configuration was when it was written, so that one that nobody changed
can be renewed and removed. Nothing else is ever removed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import Final

from agent.service.files import (
    COMMAND_FILE,
    CONFIG_FILE,
    MARK,
    ServiceFile,
    all_paths,
    command_file,
    is_marked,
)

RECORD: Final = "usr/local/share/balloon-agent/installed"
_MODE: Final = 0o755
# What enabling a service leaves, below the root of its system.
_ENABLED: Final = (("etc/systemd/system", ".service"), ("etc/systemd/system", "-metrics.socket"),
                   ("etc/runlevels", ""))  # fmt: skip


class Placed:
    """What was put below one root, as its record and the marks there say."""

    def __init__(self, into: str) -> None:
        """Read the record, where there is one.

        Raises:
            OSError: it is there and cannot be read.
        """
        self._into = into
        self._directories: list[str] = []
        self._config_sum = ""
        for line in (self._content(RECORD) or b"").decode(errors="replace").splitlines():
            kind, _, rest = line.partition(" ")
            if kind == "directory":
                self._directories.append(rest)
            elif kind == "configuration":
                self._config_sum = rest

    def whole(self, path: str) -> str:
        """The path of a file below the root, from here."""
        return os.path.join(self._into, path)

    def is_ours(self, path: str) -> bool:
        """Whether a file was put there by this."""
        whole = self.whole(path)
        if os.path.islink(whole):
            return path == COMMAND_FILE and os.readlink(whole) == command_file().link
        content = self._content(path)
        return content is not None and is_marked(content)

    def ours(self) -> list[str]:
        """All that is there of this, but the configuration."""
        return [path for path in (*all_paths(), RECORD) if self.is_ours(path)]

    def config_is_as_written(self) -> bool:
        """Whether the configuration is what was put there, and nobody changed it since."""
        content = self._content(CONFIG_FILE)
        return content is not None and _sum(content) == self._config_sum

    def enabled(self) -> Iterator[str]:
        """The links that start the service at boot."""
        for place, suffix in _ENABLED:
            for directory in sorted(self._entries(place)):
                link = f"{place}/{directory}/balloon-agent{suffix}"
                if os.path.islink(self.whole(link)):
                    yield link

    def put(self, wanted: Iterable[ServiceFile], config: ServiceFile | None) -> Iterator[str]:
        """Write the files; each path once it is there. What is broken off can be taken back, too.

        Args:
            wanted: all but the configuration.
            config: None where what is there stays.

        Raises:
            OSError: with the path at which it ended.
        """
        files = [*wanted, *([config] if config else ())]
        if config:
            self._config_sum = _sum(config.content)
        for path in (RECORD, *(file.path for file in files)):
            self._directories += self._missing_above(path)
        self._write(self._record())
        for file in files:
            self._write(file)
            yield self.whole(file.path)

    def take_back(self) -> Iterator[str]:
        """Remove it; each path once it is gone. A configuration that was changed stays."""
        paths = self.ours()
        if self.config_is_as_written():
            paths.append(CONFIG_FILE)
        for path in sorted(paths, key=RECORD.__eq__):  # the record last: until then it is needed
            os.unlink(self.whole(path))
            yield self.whole(path)
        # Only what this makes: a record is no way to have others' directories removed.
        known = {above for path in (*all_paths(), CONFIG_FILE, RECORD) for above in _above(path)}
        for directory in sorted(known & set(self._directories), reverse=True):
            try:
                os.rmdir(self.whole(directory))
            except OSError:  # somebody has put something there
                continue
            yield self.whole(directory)

    def _record(self) -> ServiceFile:
        lines = [f"# {MARK}", "# What it made besides, to be taken back with the rest."]
        lines += [f"directory {path}" for path in self._directories]
        if self._config_sum:
            lines.append(f"configuration {self._config_sum}")
        return ServiceFile(RECORD, "\n".join([*lines, ""]).encode())

    def _missing_above(self, path: str) -> list[str]:
        """The directories that a file wants and that neither are there nor to be made yet."""
        above = [part for part in _above(path) if not os.path.lexists(self.whole(part))]
        return [part for part in reversed(above) if part not in self._directories]

    def _write(self, file: ServiceFile) -> None:
        """Write one file, whole or not at all; its directories are for everybody to look into."""
        whole = self.whole(file.path)
        for directory in reversed([*_above(file.path)]):
            if not os.path.isdir(self.whole(directory)):
                os.mkdir(self.whole(directory))
                os.chmod(self.whole(directory), _MODE)  # whatever this process's umask
        half = f"{whole}.new"
        if os.path.lexists(half):
            os.unlink(half)
        try:
            if file.link:
                os.symlink(file.link, half)
            else:
                with open(half, "xb") as written:
                    written.write(file.content)
                os.chmod(half, file.mode)
            os.replace(half, whole)
        except OSError as error:  # of a write, it has no name
            raise OSError(error.errno, error.strerror, whole) from error
        finally:
            if os.path.lexists(half):
                os.unlink(half)

    def _content(self, path: str) -> bytes | None:
        try:
            with open(self.whole(path), "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _entries(self, directory: str) -> list[str]:
        try:
            return os.listdir(self.whole(directory))
        except (FileNotFoundError, NotADirectoryError):
            return []


def _above(path: str) -> Iterator[str]:
    """The directories that a relative path lies in, the nearest first."""
    while path := os.path.dirname(path):
        yield path


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
