# SPDX-License-Identifier: GPL-2.0-or-later
"""dom0's hand for a test that runs inside a guest, over xenstore itself.

The guest writes a request into `ask`, dom0 carries it out and writes what came of it into
`answer`; both lie outside the guest's own directory, where no test listens. `Hand` is dom0's end,
`AskedDom0` the guest's. `DeviceClient` speaks over /dev/xen/xenbus, or a terminal in its place.
Standard library only: both ends run in the lab.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import os
import select
import threading
import tty
from typing import Final

from tests.support.xenstored import raw_client
from tests.support.xenstored.raw_client import RawClient, RawError

ROOT: Final = "/test-hand"
ASK: Final = f"{ROOT}/ask"
ANSWER: Final = f"{ROOT}/answer"
FENCE: Final = f"{ROOT}/fence"
_FENCE_TOKEN: Final = "fence"
_SERVED: Final = frozenset(
    {
        raw_client.DIRECTORY, raw_client.READ, raw_client.GET_PERMS, raw_client.WRITE,
        raw_client.MKDIR, raw_client.RM, raw_client.SET_PERMS, raw_client.TRANSACTION_START,
        raw_client.TRANSACTION_END, raw_client.IS_DOMAIN_INTRODUCED,
    }
)  # fmt: skip
_LOOK_S: Final = 1.0
_ANSWER_S: Final = 60.0


class DeviceClient(RawClient):
    """A guest's client over its kernel's device.

    The kernel passes events on in their order, but beside the answers: a thread of its own does
    it (drivers/xen/xenbus/xenbus_xs.c, xenwatch_thread). So `events_so_far` causes an event last.
    """

    _fd: int

    def __init__(self, path: str, timeout_s: float = _ANSWER_S) -> None:
        super().__init__(path, timeout_s)
        self.watch(FENCE, _FENCE_TOKEN)
        self._until_the_fence()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # A test may have closed it.
            os.close(self._fd)
        self._fd = -1

    def send(self, data: bytes) -> None:
        """Write bytes; what the kernel refuses by itself is an answer like xenstored's.

        Raises:
            RawError: the kernel refused.
        """
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "")
            raise RawError(error.errno, name) from None

    def events_so_far(self) -> list[tuple[str, str]]:
        """What has been told up to now."""
        self.write(FENCE, b"")
        return self._until_the_fence()

    def _until_the_fence(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        while (event := self.next_event()) != (FENCE, _FENCE_TOKEN):
            found.append(event)
        return found

    def _open(self, path: str, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        if os.isatty(self._fd):
            tty.setraw(self._fd)

    def _receive_some(self, at_most: int) -> bytes:
        if not select.select([self._fd], [], [], self._timeout_s)[0]:
            raise TimeoutError(f"no word from xenstored for {self._timeout_s:.0f} s")
        return os.read(self._fd, at_most)


class AskedDom0(RawClient):
    """dom0's client as a guest has it: each request is asked of a `Hand`."""

    def __init__(self, device: DeviceClient) -> None:
        super().__init__("")
        self._device = device
        device.watch(ANSWER, "answer")
        self._rq_id = self._last_number()

    def close(self) -> None:
        self._device.close()

    def request(self, op: int, *fields: bytes, tx_id: int = 0) -> bytes:
        """Have dom0 carry out a request; its payload may not be long."""
        self._rq_id += 1
        asked = {
            "number": self._rq_id,
            "op": op,
            "tx_id": tx_id,
            "payload": base64.b64encode(b"".join(fields)).decode(),
        }
        self._device.write(ASK, json.dumps(asked))
        while True:
            self._device.next_event()
            answer = json.loads(self._device.read(ANSWER) or b"{}")
            if answer.get("number") == self._rq_id:
                break
        if answer["error"] is not None:
            raise RawError(getattr(errno, answer["error"], 0), answer["error"])
        return base64.b64decode(answer["payload"])

    def _last_number(self) -> int:
        answer = json.loads(self._device.read(ANSWER) or b"{}")
        return int(answer.get("number", 0))

    def _open(self, path: str, timeout_s: float) -> None:
        """Nothing of its own is open."""


class Hand:
    """dom0's end for one guest; a context manager, in between a thread serves."""

    def __init__(self, path: str, domid: int) -> None:
        self._dom0 = RawClient(path, _ANSWER_S)
        self._domid = domid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Hand:
        for path, letter in ((ASK, "b"), (ANSWER, "r"), (FENCE, "b")):
            self._dom0.write(path, b"")
            self._dom0.set_permissions(path, "n0", f"{letter}{self._domid}")
        self._dom0.watch(ASK, "ask")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._dom0.remove(ROOT)
        self._dom0.close()

    def _serve(self) -> None:
        last = 0
        while not self._done.is_set():
            if not self._dom0.hears_within(_LOOK_S):
                continue
            self._dom0.next_event()
            asked = json.loads(self._dom0.read(ASK) or b"{}")
            if asked.get("number", last) != last:
                last = asked["number"]
                self._dom0.write(ANSWER, json.dumps({"number": last} | self._carry_out(asked)))

    def _carry_out(self, asked: dict[str, int | str]) -> dict[str, str | None]:
        op, payload = int(asked["op"]), base64.b64decode(str(asked["payload"]))
        wipes_all = op == raw_client.RM and payload.strip(b"/\0") == b""
        if op not in _SERVED or wipes_all:
            return {"error": "EPERM", "payload": ""}
        try:
            answer = self._dom0.request(op, payload, tx_id=int(asked["tx_id"]))
        except RawError as error:
            return {"error": str(error.strerror), "payload": ""}
        return {"error": None, "payload": base64.b64encode(answer).decode()}
