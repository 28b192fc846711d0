# SPDX-License-Identifier: GPL-2.0-or-later
"""A capture as a .tar.gz that unpacks to the tree `--root` reads."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Mapping

from agent.report.whole_file import begun


def archive(files: Mapping[str, str], path: str) -> None:
    """Write `files` (path -> text) to the archive at `path`, readable by its owner only.

    The archive appears under its name only when it is complete.

    Raises:
        OSError: it could not be written.
    """
    with (
        begun(path, 0o600) as descriptor,
        os.fdopen(descriptor, "wb") as stream,
        tarfile.open(fileobj=stream, mode="w:gz", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, text in sorted(files.items()):
            content = text.encode("utf-8", "backslashreplace")
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(content))
