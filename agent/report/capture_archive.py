# SPDX-License-Identifier: GPL-2.0-or-later
"""A capture as a .tar.gz that unpacks to the tree `--root` reads."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Mapping


def archive(files: Mapping[str, str], path: str) -> None:
    """Write `files` (path -> text) to the archive at `path`, readable by its owner only.

    The archive appears under its name only when it is complete.  It is begun in a file of a name
    that nobody can know: a file, link or FIFO that somebody has laid out is not opened.

    Raises:
        OSError: it could not be written.
    """
    unfinished = f"{path}.{os.urandom(8).hex()}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(unfinished, flags, 0o600)
    try:
        with (
            os.fdopen(descriptor, "wb") as stream,
            tarfile.open(fileobj=stream, mode="w:gz", format=tarfile.PAX_FORMAT) as tar,
        ):
            for name, text in sorted(files.items()):
                content = text.encode("utf-8", "backslashreplace")
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                entry.mode = 0o644
                tar.addfile(entry, io.BytesIO(content))
        os.replace(unfinished, path)
    except BaseException:  # an interrupt, too, leaves nothing behind
        os.unlink(unfinished)
        raise
