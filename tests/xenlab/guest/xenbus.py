# SPDX-License-Identifier: GPL-2.0-or-later
"""Xenstore over /dev/xen/xenbus, the few requests a capture and a timeline need.

The message format is that of Xen's docs/misc/xenstore.txt and public/io/xs_wire.h: type, request
id, transaction id, length, each 32 bits, then the payload. Independent of pyxs and of the agent
on purpose.
"""

from __future__ import annotations

import os
import struct
from types import TracebackType
from typing import Final

DEVICE: Final = "/dev/xen/xenbus"
_HEADER: Final = struct.Struct("=IIII")
_DIRECTORY: Final = 1
_READ: Final = 2
_WRITE: Final = 11
_ERROR: Final = 16


class XenBus:
    """An open connection; use it as a context manager."""

    def __init__(self, device: str = DEVICE) -> None:
        self._fd = os.open(device, os.O_RDWR)

    def __enter__(self) -> XenBus:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def read(self, path: str) -> bytes | None:
        """Return the value of a key, None if it may not or cannot be read."""
        return self._request(_READ, path)

    def children(self, path: str) -> list[str]:
        """Return the names below a key."""
        names = self._request(_DIRECTORY, path) or b""
        return sorted(name.decode() for name in names.split(b"\0") if name)

    def write(self, path: str, value: str) -> None:
        """Set a key; dom0 may set any."""
        answer = self._request(_WRITE, path, value.encode())
        assert answer is not None, f"{path} cannot be written"

    def _request(self, kind: int, path: str, value: bytes = b"") -> bytes | None:
        payload = path.encode() + b"\0" + value
        os.write(self._fd, _HEADER.pack(kind, 0, 0, len(payload)) + payload)
        answered, _, _, length = _HEADER.unpack(self._receive(_HEADER.size))
        answer = self._receive(length)
        return None if answered == _ERROR else answer

    def _receive(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            data += os.read(self._fd, length - len(data))
        return data
