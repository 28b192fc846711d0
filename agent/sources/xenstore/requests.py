# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests to xenstored and what their answers mean, over a `LoopRouter`.

The daemon asks through this and nothing more.  Commands have a `pyxs.Client` on top of it
(`xenstore_pyxs`), which in a process that stays for months would cost 0.7 MiB: it loads threads,
queues and sockets that a `LoopRouter` does without.
"""

from __future__ import annotations

from typing import Any, Final

from agent.sources.xenstore.errors import XenstoreLost, refusal
from agent.sources.xenstore.router import LoopRouter
from agent.sources.xenstore.wire import MOST_REQUEST_BYTES, NUL, Frame, Op, describe

_ACKNOWLEDGED: Final = (Op.WATCH, Op.UNWATCH, Op.WRITE, Op.MKDIR, Op.RM, Op.SET_PERMS)


class Requests:
    """One client of one connection; `tx_id` is its transaction, 0 for none."""

    tx_id: int = 0

    def __init__(self, router: LoopRouter) -> None:
        self.router = router

    def execute_command(self, op: int, *args: bytes, **_kwargs: Any) -> bytes:
        """Ask `op` of xenstored and return its answer: a value as it is, others without the NUL.

        Raises:
            XenstoreRefused: the answer is an error.
            XenstoreLost: there is no answer, or it makes no sense.
        """
        sent = self._request(op, args)
        return self._judged(sent, self.router.send(sent).get())

    def _request(self, op: int, args: tuple[bytes, ...]) -> Frame:
        payload = b"".join(args)
        sent = Frame(op, self.router.next_rq_id(), self.tx_id, payload)
        if len(payload) > MOST_REQUEST_BYTES:
            raise refusal(b"E2BIG", describe(sent))
        return sent

    def _judged(self, sent: Frame, reply: Frame) -> bytes:
        if reply.op == Op.ERROR:
            raise refusal(reply.payload.rstrip(NUL), describe(sent))
        if sent.op == Op.READ:
            return reply.payload
        answer = reply.payload.rstrip(NUL)
        if sent.op in _ACKNOWLEDGED and answer != b"OK":
            self.router.terminate()
            raise XenstoreLost(f"{describe(sent)} was answered by something else than OK")
        return answer
