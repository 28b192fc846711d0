# SPDX-License-Identifier: GPL-2.0-or-later
"""What the store refuses with: errno names, as they go over the wire (xs_wire.h, `xsd_errors`)."""

from __future__ import annotations

from typing import Final, Literal

ErrorName = Literal[
    "EINVAL",
    "EACCES",
    "EEXIST",
    "ENOENT",
    "ENOMEM",
    "ENOSPC",
    "EIO",
    "ENOSYS",
    "EBUSY",
    "EAGAIN",
    "E2BIG",
    "EPERM",
]


class XenstoreError(Exception):
    """A request that the store refuses; `name` is the errno's name, `EACCES` for example."""

    def __init__(self, name: ErrorName) -> None:
        super().__init__(name)
        self.name: Final = name
