# SPDX-License-Identifier: GPL-2.0-or-later
"""Many keys at once, as dom0 asks for those of all its guests.

A socket takes the next questions before the first is answered, which for many guests saves most of
the time; the kernel's device does not (docs/design.md A25).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from agent.sources.outcome import OK, Outcome
from agent.sources.xenstore.errors import XenstoreRefused, refusal
from agent.sources.xenstore.requests import Requests
from agent.sources.xenstore.wire import NUL, Frame, Op, describe

_AHEAD: Final = 64  # requests that any socket has room for


def read_ahead(requests: Requests, paths: Sequence[bytes]) -> Iterator[Outcome[bytes]]:
    """What became of reading each of these legal paths, in their order; raises XenstoreLost."""
    router = requests.router
    if router.errno_is_answer:
        for path in paths:
            yield _one(requests, path)
        return
    under_way: list[Frame] = []
    given, deadline_s = 0, 0.0
    while given < len(paths) or under_way:
        if given < len(paths) and len(under_way) <= _AHEAD:
            sent = [requests.packet(Op.READ, path + NUL) for path in paths[given : given + _AHEAD]]
            deadline_s = router.send(sent)
            given += len(sent)
            under_way += sent
        answers = router.receive(under_way, deadline_s)
        yield from map(_outcome, under_way, answers)
        del under_way[: len(answers)]


def _one(requests: Requests, path: bytes) -> Outcome[bytes]:
    try:
        return Outcome(requests.execute_command(Op.READ, path + NUL), OK)
    except XenstoreRefused as error:
        return Outcome(None, error.status)


def _outcome(sent: Frame, reply: Frame) -> Outcome[bytes]:
    if reply.op == Op.ERROR:
        return Outcome(None, refusal(reply.payload.rstrip(NUL), describe(sent)).status)
    return Outcome(reply.payload, OK)
