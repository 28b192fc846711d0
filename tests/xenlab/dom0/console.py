# SPDX-License-Identifier: GPL-2.0-or-later
"""dom0's end of a guest's console: commands in, answers out, everything else is a log."""

from __future__ import annotations

import contextlib
import json
import os
import select
import threading
import time
import tty
from typing import Any, Final

from tests.xenlab.dom0.toolstack import Done
from tests.xenlab.guest import frames

WRITE_BYTES: Final = 512
"""What xenconsoled's ring takes at once."""
QUIET_S: Final = 5.0
"""No line for so long while an answer is incomplete: ask for it again."""
UP_AGAIN_S: Final = 60.0
"""Seldom enough not to fill a console that nobody reads yet."""


class GoneError(Exception):
    """The guest is no more, or will not speak."""


class Console:
    """A guest's console, read by a thread."""

    def __init__(self, path: str, *, after: Console | None = None) -> None:
        """Open a console.

        Args:
            path: the terminal that xenconsoled made for it.
            after: the console of the same guest before it was restored.
        """
        self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._fd)
        self._log = bytearray(after.log() if after else b"")
        self._changed = threading.Condition()
        self._answers: dict[int, bytes] = {}
        self._last_line = time.monotonic()
        self._number = after.last_number() if after else 0
        self._closed = False
        threading.Thread(target=self._read, daemon=True).start()

    def log(self) -> bytes:
        """Return all that came over the console."""
        return bytes(self._log)

    def last_number(self) -> int:
        """Return the number of the last request, for numbers must not come again."""
        return self._number

    def close(self) -> None:
        """Stop reading."""
        self._closed = True

    def wait_until_up(self, timeout_s: float) -> bool:
        """Wait for the first word of the guest's channel; it may come before we listen."""
        end = time.monotonic() + timeout_s
        with self._changed:
            while not self._changed.wait_for(lambda: 0 in self._answers, UP_AGAIN_S):
                if time.monotonic() > end:
                    return False
                self._write({"id": 0, "again": True})
            return True

    def send(self, argv: list[str], user: int | None, timeout_s: float) -> int:
        """Ask for a command; return the number to wait for."""
        self._number += 1
        request = {"id": self._number, "argv": argv, "user": user, "timeout_s": timeout_s}
        self._write(request)
        return self._number

    def wait(self, number: int, timeout_s: float) -> Done:
        """Wait for an answer.

        Raises:
            GoneError: there was none in time.
        """
        end = time.monotonic() + timeout_s
        with self._changed:
            while number not in self._answers:
                if time.monotonic() > end:
                    raise GoneError(f"no answer within {timeout_s:.0f} s")
                self._changed.wait(1)
                if time.monotonic() - self._last_line > QUIET_S:
                    self._write({"id": number, "again": True})
                    self._last_line = time.monotonic()
            return _decode(self._answers.pop(number))

    def _write(self, request: dict[str, Any]) -> None:
        for line in frames.split(frames.REQUEST, request["id"], json.dumps(request).encode()):
            view = memoryview(line)
            while view:
                view = view[os.write(self._fd, view[:WRITE_BYTES]) :]

    def _read(self) -> None:
        assembler = frames.Assembler()
        buffered = b""
        with contextlib.suppress(OSError):  # The console goes away with the guest.
            while not self._closed:
                if not select.select([self._fd], [], [], 1)[0]:
                    continue
                data = os.read(self._fd, 4096)
                *lines, buffered = (buffered + data).split(b"\n")
                for line in lines:
                    self._take(line, assembler)

    def _take(self, line: bytes, assembler: frames.Assembler) -> None:
        frame = frames.parse(frames.ANSWER, line)
        if frame is None:
            self._log += line + b"\n"
            return
        content = assembler.add(frame)
        with self._changed:
            self._last_line = time.monotonic()
            if content is not None:
                self._answers[frame.message] = content
                self._changed.notify_all()


def _decode(answer: bytes) -> Done:
    header, _, rest = answer.partition(b"\n")
    fields = json.loads(header)
    return Done(fields["status"], rest[: fields["out"]], rest[fields["out"] :])
