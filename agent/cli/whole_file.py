# SPDX-License-Identifier: GPL-2.0-or-later
"""A file that appears under its name only when it is whole."""

from __future__ import annotations

import contextlib
import os
from typing import Final

DEVICES: Final = "/dev"


def write_whole(path: str, text: str, mode: int | None = None) -> None:
    """Put the text at `path` in one step, in place of whatever is there; as UTF-8.

    It is begun under a name that nobody can know, so that a link or a FIFO that somebody else has
    laid at either name leads nowhere and holds nothing up.  What is in /dev is written to and never
    replaced: it is everybody's, and nobody but root lays anything there.

    Args:
        path: where to.
        text: what.
        mode: of the file; None: as the umask says.

    Raises:
        OSError: it could not be written; what was there before still is.
    """
    if is_device(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        with open(descriptor, "w", encoding="utf-8") as device:
            device.write(text)
        return
    unfinished = f"{path}.{os.urandom(8).hex()}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(unfinished, flags, 0o666 if mode is None else mode)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            if mode is not None:
                os.fchmod(descriptor, mode)
            file.write(text)
        os.replace(unfinished, path)
    except BaseException:  # an interrupt, too, leaves nothing behind
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise


def is_device(path: str) -> bool:
    """Whether a path is of the system's devices, as /dev/null and /dev/stdout are."""
    return os.path.realpath(os.path.dirname(path)) == DEVICES
