# SPDX-License-Identifier: GPL-2.0-or-later
"""One connection to xenstored without a thread, driven by whoever asks.

It sends a request, waits for the answer until a deadline, and keeps the watch events it meets on
the way. So a request is answered, refused, or ends with `XenstoreLost` and a closed connection
that can be opened again.

One request at a time, each after the answer to the one before: sending ahead (`read_ahead`) is for
sockets, and loses requests in the kernel's device, which answers them with OK all the same
(docs/design.md A25).

It stands where `pyxs.Router` does under a `pyxs.Client` (see `pyxs_client`), whose own (0.4.1) is a
thread that ends at the first odd packet and leaves its callers waiting for ever.
"""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Callable, Sequence
from typing import Final

from agent.sources.xenstore.errors import XenstoreLost, XenstoreRefused, refusal
from agent.sources.xenstore.transport import Transport, adopted_transport, open_transport
from agent.sources.xenstore.watches import Watches
from agent.sources.xenstore.wire import HEADER, Frame, Framer, Op, describe

_LAST_RQ_ID: Final = 2**32 - 1
_READS_PER_COLLECT: Final = 64  # 256 KiB, some 8000 events: a storm must not hold up the caller
_ANSWER_ERRNOS: Final = frozenset(
    # What the kernel may return from write() on xenbus for a request it understood, all of
    # xsd_errors (xs_wire.h) but EIO and EAGAIN, which mean the device here, and its own EILSEQ.
    (
        errno.E2BIG, errno.EACCES, errno.EBUSY, errno.EEXIST, errno.EILSEQ, errno.EINVAL,
        errno.EISCONN, errno.EISDIR, errno.ENOENT, errno.ENOMEM, errno.ENOSPC, errno.ENOSYS,
        errno.ENOTEMPTY, errno.EPERM, errno.EROFS,
    )
)  # fmt: skip


class LoopRouter:
    """One connection, one request at a time, no thread.

    While an answer is waited for, `meanwhile` is called; it says for how long it need not be called
    again, in seconds.  No request waits beyond `until_s`, whatever its own deadline is.
    """

    def __init__(self, path: str, timeout_s: float, watches: Watches) -> None:
        self.connection = path
        self._timeout_s = timeout_s
        self._watches = watches
        self._transport: Transport | None = None
        self._readable = select.poll()
        self._framer = Framer()
        self._owner_pid = 0
        self._rq_id = 0
        self.meanwhile: Callable[[], float] | None = None
        self.until_s: float | None = None

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection; it may still turn out to be dead."""
        return self._transport is not None

    @property
    def is_between_packets(self) -> bool:
        """Whether everything that was read has been taken in."""
        return self._framer.is_empty

    @property
    def errno_is_answer(self) -> bool:
        """Whether the peer is the kernel's device, which carries out a WATCH inside write()."""
        return self._require().errno_is_answer

    def start(self) -> None:
        """Connect, unless connected; raises XenstoreUnreachable."""
        if self._transport is not None and self._owner_pid == os.getpid():
            return
        self.terminate()
        self._use(open_transport(self.connection, self._timeout_s))

    def adopt(self, descriptor: int) -> None:
        """Go on between two packets where an earlier program of this process ended."""
        self._use(adopted_transport(descriptor))

    def _use(self, transport: Transport) -> None:
        self._readable = select.poll()  # select() stops at descriptor 1023
        self._readable.register(transport.fileno(), select.POLLIN)
        self._framer = Framer()
        self._owner_pid = os.getpid()
        self._transport = transport

    def terminate(self) -> None:
        """Disconnect, unless disconnected; waits for nothing."""
        transport, self._transport = self._transport, None
        self._watches.clear()
        if transport is not None:
            try:
                transport.close()
            except OSError:
                pass  # the descriptor is gone all the same

    def fileno(self) -> int:
        """The descriptor to wait on; another one after each `start`."""
        return self._require().fileno()

    def next_rq_id(self) -> int:
        """A request id: 32 bits, never 0, which older kernels put into answers of their own.

        Ids go on counting over reconnections, so that a late answer is never taken for another.
        """
        self._rq_id = self._rq_id % _LAST_RQ_ID + 1
        return self._rq_id

    def send(self, packets: Sequence[Frame]) -> float:
        """Send requests, several at once over a socket alone; the deadline of their answers."""
        transport = self._require()
        deadline_s = time.monotonic() + self._timeout_s
        if self.until_s is not None:
            deadline_s = min(deadline_s, self.until_s)
        message = b"".join(
            HEADER.pack(one.op, one.rq_id, one.tx_id, len(one.payload)) + one.payload
            for one in packets
        )
        try:
            self._send_all(transport, message, deadline_s, packets[0])
        except XenstoreRefused:
            raise
        except BaseException:  # half a request may be out: nothing can follow it
            self.terminate()
            raise
        return deadline_s

    def receive(self, sent: Sequence[Frame], deadline_s: float) -> list[Frame]:
        """The answers to the first of `sent`, as many as there are and one at least.

        Events on the way are kept, answers to others are dropped.
        """
        expired = False
        while not (answers := self._answers(sent)):
            if expired:
                raise self._lost(f"no answer to {describe(sent[0])} within {self._timeout_s:g} s")
            wait_s = deadline_s - time.monotonic()
            # One look more: it may be this process that has not run, and the answer is there.
            expired = wait_s <= 0
            if self.meanwhile is not None:
                wait_s = min(wait_s, self.meanwhile())
            if self._readable.poll(max(0.0, wait_s) * 1000):
                self._read()
        return answers

    def collect(self) -> None:
        """Take the events that have arrived; does not wait, not even for half a packet."""
        self._require()
        self._drop_replies()
        for _ in range(_READS_PER_COLLECT):
            if not self._read():
                break
            self._drop_replies()

    def _require(self) -> Transport:
        if self._transport is None:
            raise XenstoreLost(f"{self.connection}: not connected")
        if self._owner_pid != os.getpid():
            raise self._lost("the connection belongs to the parent process")
        return self._transport

    def _lost(self, reason: str) -> XenstoreLost:
        self.terminate()
        return XenstoreLost(f"{self.connection}: {reason}")

    def _send_all(
        self, transport: Transport, message: bytes, deadline_s: float, packet: Frame
    ) -> None:
        taken = 0
        while taken < len(message):
            try:
                count = transport.write(message[taken:])
            except OSError as error:
                if not taken and transport.errno_is_answer and error.errno in _ANSWER_ERRNOS:
                    name = errno.errorcode[error.errno].encode()
                    raise refusal(name, describe(packet)) from error
                raise self._lost(f"cannot send: {error.strerror}") from error
            if count is None:
                self._wait_for_room(transport, deadline_s, packet)
            else:
                taken += count

    def _wait_for_room(self, transport: Transport, deadline_s: float, packet: Frame) -> None:
        wait_s = deadline_s - time.monotonic()
        if wait_s <= 0:
            raise self._lost(f"{describe(packet)} not taken within {self._timeout_s:g} s")
        writable = select.poll()
        writable.register(transport.fileno(), select.POLLOUT)
        writable.poll(wait_s * 1000)

    def _read(self) -> bool:
        """Take in what is there; False when nothing is."""
        try:
            data = self._require().read(self._framer.room)
        except OSError as error:
            raise self._lost(f"cannot receive: {error.strerror}") from error
        if data is None:
            return False
        if not data:
            raise self._lost("closed by xenstored")
        self._framer.feed(data)
        return True

    def _answers(self, sent: Sequence[Frame]) -> list[Frame]:
        answers: list[Frame] = []
        while replies := self._replies(len(sent) - len(answers)):
            for reply in replies:
                if self._is_answer(reply, sent[len(answers)]):
                    answers.append(reply)
        return answers

    def _replies(self, most: int) -> list[Frame]:
        """The next packets that are no events; an event's request id means nothing."""
        replies: list[Frame] = []
        try:
            while frames := self._framer.next_frames(most - len(replies)):
                for frame in frames:
                    if frame.op != Op.WATCH_EVENT:
                        replies.append(frame)
                    else:
                        self._watches.note(frame.payload)
        except ValueError as error:
            raise self._lost(f"malformed traffic: {error}") from error
        return replies

    def _drop_replies(self) -> None:
        while self._replies(_READS_PER_COLLECT):
            pass

    def _is_answer(self, frame: Frame, sent: Frame) -> bool:
        if frame.rq_id != sent.rq_id:
            # Until 4.10 the kernel makes its answer to these two up, without our id.
            of_kernel = frame.rq_id == 0 and frame.op == sent.op and self.errno_is_answer
            return of_kernel and sent.op in {Op.WATCH, Op.UNWATCH}
        if frame.op not in (sent.op, Op.ERROR) or frame.tx_id != sent.tx_id:
            raise self._lost(f"{describe(sent)} was answered by a packet of type {frame.op}")
        return True
