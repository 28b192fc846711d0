# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests to xenstored and what their answers mean, over a `LoopRouter`.

The daemon asks through this and nothing more.  Commands ask through the operations of a
`pyxs.Client` that sends its requests here (`pyxs_client`); in a process that stays for months pyxs
would cost 0.7 MiB for the threads, queues and sockets it loads and a `LoopRouter` does without.
"""

from __future__ import annotations

from typing import Final

from agent.sources.xenstore.errors import XenstoreLost, refusal
from agent.sources.xenstore.router import LoopRouter
from agent.sources.xenstore.wire import MOST_REQUEST_BYTES, NUL, Frame, Op, describe

_ACKNOWLEDGED: Final = (
    Op.WATCH, Op.UNWATCH, Op.WRITE, Op.MKDIR, Op.RM, Op.SET_PERMS, Op.TRANSACTION_END,
)  # fmt: skip
KEY_CHARS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_@/"
"""What a key may be made of, its slashes included (xenstored_core.c, is_valid_nodename)."""
_MOST_KEY_CHARS: Final = 2048  # XENSTORE_REL_PATH_MAX


def checked_key(key: str, verb: str) -> bytes:
    """A relative key that xenstored would take, as it goes over the wire.

    Raises:
        XenstoreRefused: with EINVAL, as xenstored would say.
    """
    if len(key) > _MOST_KEY_CHARS or key.strip(KEY_CHARS) or "//" in f"/{key}/":
        raise refusal(b"EINVAL", f"{verb} {key[:64]!a}")
    return key.encode("ascii")


def names_in(answer: bytes) -> list[str]:
    """The words of an answer, each ended by NUL but perhaps the last."""
    words = answer.rstrip(NUL).decode("ascii", "backslashreplace")
    return words.split("\0") if words else []


class Requests:
    """One client of one connection; `tx_id` is its transaction, 0 for none."""

    tx_id: int = 0

    def __init__(self, router: LoopRouter) -> None:
        self.router = router

    def execute_command(self, op: int, *args: bytes) -> bytes:
        """Ask `op` of xenstored; its answer, without the NUL at the end where that means nothing.

        Raises:
            XenstoreRefused: the answer is an error.
            XenstoreLost: there is no answer, or it makes no sense.
        """
        sent = self.packet(op, b"".join(args))
        (reply,) = self.router.receive((sent,), self.router.send((sent,)))
        if reply.op == Op.ERROR:
            raise refusal(reply.payload.rstrip(NUL), describe(sent))
        if sent.op in (Op.READ, Op.DIRECTORY_PART):
            return reply.payload
        answer = reply.payload.rstrip(NUL)
        if sent.op in _ACKNOWLEDGED and answer != b"OK":
            self.router.terminate()
            raise XenstoreLost(f"{describe(sent)} was answered by something else than OK")
        is_number = len(answer) <= 10 and answer.isdigit() and int(answer) < 1 << 32
        if sent.op == Op.TRANSACTION_START and not is_number:
            self.router.terminate()
            raise XenstoreLost(f"{describe(sent)} was answered by something else than a number")
        return answer

    def packet(self, op: int, payload: bytes) -> Frame:
        """A request that is yet to be sent; raises XenstoreRefused where it does not fit."""
        made = Frame(op, self.router.next_rq_id(), self.tx_id, payload)
        if len(payload) > MOST_REQUEST_BYTES:
            raise refusal(b"E2BIG", describe(made))
        return made
