# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether root may run a program from where it is: nobody else could put another in its place."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from typing import Final

# What systemd takes literally in a command line (systemd.service(5), COMMAND LINES).
_PLAIN_PATH: Final = re.compile(r"/[A-Za-z0-9._/+-]+")
# Hidden from the service by ProtectHome= and PrivateTmp= of the unit.
_HIDDEN: Final = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")  # noqa: S108 - not used


def unfit(paths: tuple[str, ...], status: Callable[[str], os.stat_result] = os.stat) -> str | None:
    """Why what is at these paths cannot run as a service of root, as a sentence; None if it can.

    Args:
        paths: the interpreter first, as the unit would name it; then what it loads.
        status: asks for owner and mode of a path.
    """
    executable = paths[0]
    if not _PLAIN_PATH.fullmatch(executable):
        return f"The path {executable} has characters that systemd would not take literally."
    for path in paths:
        if path.startswith(_HIDDEN) or os.path.realpath(path).startswith(_HIDDEN):
            return (
                f"{path} is where the service could not see it: its sandbox hides home and "
                "temporary directories. Install balloon-agent into /opt/balloon-agent, say."
            )
    for path in paths:
        for part in _parts(path):
            found = status(part)
            if found.st_uid != 0:
                return (
                    f"{part} belongs to user {found.st_uid}, who could then act as root. "
                    "Install balloon-agent as root."
                )
            by_group = found.st_mode & stat.S_IWGRP and found.st_gid != 0
            if by_group or found.st_mode & stat.S_IWOTH:
                return (
                    f"Others than root may write to {part}, and could then act as root. "
                    f"First: chmod go-w {part}"
                )
    return None


def _parts(path: str) -> Iterator[str]:
    """The path and all that it lies in, as it is named and as its links lead."""
    for one in dict.fromkeys((os.path.abspath(path), os.path.realpath(path))):
        above = one
        while above != "/":
            yield above
            above = os.path.dirname(above)
