# SPDX-License-Identifier: GPL-2.0-or-later
r"""Messages over a console that the kernel may write into at any moment.

A message is compressed and cut into lines, each with its own checksum:

    >>ID NUMBER TOTAL CRC32 BASE64\n        an answer, on its way to dom0
    <<ID NUMBER TOTAL CRC32 BASE64\n        a request, on its way to the guest

A line that a kernel message broke is recognised by its checksum and asked for again; whatever is
no such line is console output. The marks differ because a console echoes what it gets until
somebody in the guest has taken it over.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

CHUNK_BYTES: Final = 900
ANSWER: Final = b">>"
REQUEST: Final = b"<<"
_LINE: Final = re.compile(rb"(>>|<<)(\d+) (\d+) (\d+) ([0-9a-f]{8}) ([A-Za-z0-9+/=]*)$")


class Frame(NamedTuple):
    """One line of a message."""

    message: int
    number: int
    total: int
    data: bytes


def split(mark: bytes, message: int, content: bytes) -> Iterator[bytes]:
    """Yield the lines that carry CONTENT, an ANSWER or a REQUEST."""
    packed = zlib.compress(content)
    chunks = [packed[i : i + CHUNK_BYTES] for i in range(0, len(packed), CHUNK_BYTES)]
    for number, chunk in enumerate(chunks):
        checksum = zlib.crc32(chunk, message)
        encoded = base64.b64encode(chunk)
        yield b"%s%d %d %d %08x %s\n" % (mark, message, number, len(chunks), checksum, encoded)


def parse(mark: bytes, line: bytes) -> Frame | None:
    """Return the whole frame of that kind at the end of a line, None if there is none."""
    found = _LINE.search(line.rstrip(b"\r\0 "))
    if not found or found.group(1) != mark:
        return None
    message, number, total = (int(found.group(i)) for i in (2, 3, 4))
    try:
        data = base64.b64decode(found.group(6), validate=True)
    except binascii.Error:
        return None
    if zlib.crc32(data, message) != int(found.group(5), 16):
        return None
    return Frame(message, number, total, data)


class Assembler:
    """Puts messages together from frames in any order."""

    def __init__(self) -> None:
        self._parts: dict[int, dict[int, bytes]] = {}

    def add(self, frame: Frame) -> bytes | None:
        """Take a frame; return the content of its message if that was the last one missing."""
        parts = self._parts.setdefault(frame.message, {})
        parts[frame.number] = frame.data
        if len(parts) < frame.total:
            return None
        del self._parts[frame.message]
        return zlib.decompress(b"".join(parts[number] for number in range(frame.total)))
