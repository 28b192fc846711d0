# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the archive format of an initramfs ("newc" of the kernel's buffer-format.rst).

Written here because cpio(1) cannot make device nodes or owners as an ordinary user, and because
several such archives may simply follow each other, which is how a run's own files reach a guest.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Entry(NamedTuple):
    """A file, folder or symbolic link of an archive."""

    path: str
    mode: int
    content: bytes = b""


def folder(path: str) -> Entry:
    """Describe a folder."""
    return Entry(path, stat.S_IFDIR | 0o755)


def file(path: str, content: bytes, *, executable: bool = False) -> Entry:
    """Describe a regular file."""
    return Entry(path, stat.S_IFREG | (0o755 if executable else 0o644), content)


def tree(source: Path, below: str) -> list[Entry]:
    """Describe every file below a real folder, with the folders that lead to it."""
    entries = [folder(below)]
    for path in sorted(source.rglob("*")):
        name = f"{below}/{path.relative_to(source)}"
        if path.is_dir():
            entries.append(folder(name))
        else:
            executable = bool(path.stat().st_mode & 0o100)
            entries.append(file(name, path.read_bytes(), executable=executable))
    return entries


def archive(entries: Iterable[Entry]) -> bytes:
    """Return the archive, padded so that another one may follow."""
    parts: list[bytes] = []
    for inode, entry in enumerate((*entries, Entry("TRAILER!!!", 0)), start=1):
        name = entry.path.encode() + b"\0"
        numbers = (inode, entry.mode, 0, 0, 1, 0, len(entry.content), 0, 0, 0, 0, len(name), 0)
        header = b"070701" + b"".join(b"%08x" % number for number in numbers)
        parts += [_padded(header + name), _padded(entry.content)]
    return b"".join(parts)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
