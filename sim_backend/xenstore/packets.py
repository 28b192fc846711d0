# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets of the xenstore wire: a header of four 32-bit words, then the payload.

type, request id, transaction id, length (xen/include/public/io/xs_wire.h, struct xsd_sockmsg),
in the byte order of the machine.  `agent.sources.xenstore.wire` has the other end of the wire, and
nothing of it is shared: what one of them has wrong, the other does not understand.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

HEADER: Final = struct.Struct("=IIII")
PAYLOAD_MAX: Final = 4096

CONTROL: Final = 0
DIRECTORY: Final = 1
READ: Final = 2
GET_PERMS: Final = 3
WATCH: Final = 4
UNWATCH: Final = 5
TRANSACTION_START: Final = 6
TRANSACTION_END: Final = 7
INTRODUCE: Final = 8
RELEASE: Final = 9
GET_DOMAIN_PATH: Final = 10
WRITE: Final = 11
MKDIR: Final = 12
RM: Final = 13
SET_PERMS: Final = 14
WATCH_EVENT: Final = 15
ERROR: Final = 16
IS_DOMAIN_INTRODUCED: Final = 17
RESUME: Final = 18
SET_TARGET: Final = 19
RESET_WATCHES: Final = 21
DIRECTORY_PART: Final = 22


class ProtocolError(Exception):
    """A packet that no client may send; the connection cannot go on."""


class Packet(NamedTuple):
    """One packet."""

    kind: int
    request: int
    transaction: int
    payload: bytes

    def encode(self) -> bytes:
        return HEADER.pack(*self[:3], len(self.payload)) + self.payload


class PacketReader:
    """Cuts a stream of bytes into packets."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> Packet | None:
        """The next whole packet, None while there is none.

        Raises:
            ProtocolError: the header announces more than PAYLOAD_MAX bytes.
        """
        if len(self._buffer) < HEADER.size:
            return None
        kind, request, transaction, length = HEADER.unpack_from(self._buffer)
        if length > PAYLOAD_MAX:
            raise ProtocolError(f"a payload of {length} bytes")
        end = HEADER.size + length
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[HEADER.size : end])
        del self._buffer[:end]
        return Packet(kind, request, transaction, payload)


def split_strings(payload: bytes) -> list[str]:
    """The NUL-terminated strings of a payload; what follows the last NUL is left out."""
    return payload.decode("latin-1").split("\0")[:-1]


def join_strings(strings: list[str] | tuple[str, ...]) -> bytes:
    """Strings as a payload, a NUL behind each."""
    return "".join(f"{text}\0" for text in strings).encode("latin-1")
