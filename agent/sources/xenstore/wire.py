# SPDX-License-Identifier: GPL-2.0-or-later
"""xenstore's packets as they come out of a byte stream, with every length distrusted.

A packet is `struct xsd_sockmsg` (xen/include/public/io/xs_wire.h), four native 32-bit words,
and a payload. The answer "524288" to the READ that was sent as request 7:

    02 00 00 00   07 00 00 00   00 00 00 00   06 00 00 00   35 32 34 32 38 38
    type          request id    transaction   length        payload

Relies on docs/design.md A24.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

NUL: Final = b"\0"
HEADER: Final = struct.Struct("=IIII")
MOST_PAYLOAD_BYTES: Final = 4096
"""What a packet may carry (XENSTORE_PAYLOAD_MAX)."""
MOST_REQUEST_BYTES: Final = MOST_PAYLOAD_BYTES - HEADER.size
"""What a request may carry: the kernel's device takes header and payload in one 4 KiB buffer
(drivers/xen/xenbus/xenbus_dev_frontend.c), and what a guest can send decides for all."""


class Op:
    """Types of packets: xsd_sockmsg_type, as far as they are asked for or may be told."""

    DIRECTORY: Final = 1
    READ: Final = 2
    GET_PERMS: Final = 3
    WATCH: Final = 4
    UNWATCH: Final = 5
    TRANSACTION_START: Final = 6
    TRANSACTION_END: Final = 7
    WRITE: Final = 11
    MKDIR: Final = 12
    RM: Final = 13
    SET_PERMS: Final = 14
    WATCH_EVENT: Final = 15
    ERROR: Final = 16
    DIRECTORY_PART: Final = 22


_VERBS: Final = {op: name.lower() for name, op in vars(Op).items() if isinstance(op, int)}


class Frame(NamedTuple):
    """One packet.

    Attributes:
        op: its type, 0 to 22.
        rq_id: the request it answers.
        tx_id: the transaction it belongs to, 0 for none.
        payload: at most 4096 bytes.
    """

    op: int
    rq_id: int
    tx_id: int
    payload: bytes


def describe(request: Frame) -> str:
    """A request in words: "write data/balloon/state"."""
    key = request.payload.split(NUL, 1)[0].decode("ascii", "backslashreplace")
    return f"{_VERBS.get(request.op, f'request {request.op}')} {key}"


class Framer:
    """Cuts a byte stream into packets; holds at most one packet's worth of it."""

    def __init__(self) -> None:
        self._held = bytearray()

    @property
    def room(self) -> int:
        """How many bytes `feed` takes now; never 0 once `next_frames` has returned none."""
        return HEADER.size + MOST_PAYLOAD_BYTES - len(self._held)

    @property
    def is_empty(self) -> bool:
        """Whether what was fed ended where a packet ends."""
        return not self._held

    def feed(self, data: bytes) -> None:
        """Append what was received, at most `room` bytes."""
        self._held += data

    def next_frames(self, most: int = 1) -> list[Frame]:
        """Whole packets in their order, as many as there are and no more than `most`.

        Raises:
            ValueError: no packet begins at the first; where the next one would is unknown.
        """
        held, at = self._held, 0
        frames: list[Frame] = []
        while len(held) - at >= HEADER.size and len(frames) < most:
            op, rq_id, tx_id, payload_bytes = HEADER.unpack_from(held, at)
            if op > Op.DIRECTORY_PART or payload_bytes > MOST_PAYLOAD_BYTES:
                if frames:
                    break
                raise ValueError(f"a packet of type {op} and {payload_bytes} bytes")
            end = at + HEADER.size + payload_bytes
            if len(held) < end:
                break
            frames.append(Frame(op, rq_id, tx_id, bytes(held[at + HEADER.size : end])))
            at = end
        del held[:at]
        return frames
