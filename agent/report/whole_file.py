# SPDX-License-Identifier: GPL-2.0-or-later
"""A file that appears under its name only when it is whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Final

DEVICES: Final = "/dev"


@contextlib.contextmanager
def begun(path: str, mode: int) -> Iterator[int]:
    """The descriptor of a file that takes the place of whatever is at `path`, once it is written.

    It is begun under a name that nobody can know, so that a file, link or FIFO that somebody else
    has laid at either name is not opened, leads nowhere and holds nothing up.

    Raises:
        OSError: it could not be written; what was there before still is.
    """
    unfinished = f"{path}.{os.urandom(8).hex()}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(unfinished, flags, mode)
    try:
        yield descriptor
        os.replace(unfinished, path)
    except BaseException:  # an interrupt, too, leaves nothing behind
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise


def write_whole(path: str, text: str, mode: int | None = None) -> None:
    """Put the text at `path` in one step; as UTF-8, with that mode or as the umask says.

    What is in /dev is written to and never replaced: it is everybody's, and nobody but root lays
    anything there.

    Raises:
        OSError: it could not be written; a file that was there before still is.
    """
    if is_device(path):
        device = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        with open(device, "w", encoding="utf-8") as file:
            file.write(text)
        return
    as_asked = 0o666 if mode is None else mode
    with begun(path, as_asked) as descriptor, open(descriptor, "w", encoding="utf-8") as file:
        if mode is not None:
            os.fchmod(descriptor, mode)  # whatever the umask
        file.write(text)


def is_device(path: str) -> bool:
    """Whether a path is of the system's devices, as /dev/null and /dev/stdout are.

    What this process has open is among them: a shell's `>(command)` is a /dev/fd/63.
    """
    return os.path.realpath(os.path.dirname(path)) in (DEVICES, os.path.realpath("/dev/fd"))
