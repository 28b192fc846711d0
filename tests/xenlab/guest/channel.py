# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs what dom0 asks for over the guest's console, each request in a thread of its own.

A request is {"id", "argv", "user", "timeout_s"}; the answer is a line of JSON
{"status", "out", "err"} with the lengths of what follows: the standard output and the standard
error. {"id", "again": true} asks for an answer once more. Message 0 says that the channel is up:
it is sent at the start and can be asked for like any other.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import tty
from typing import Any, Final

from tests.xenlab.guest import frames

CONSOLE: Final = "/dev/hvc0"
KEPT_ANSWERS: Final = 4
TIMED_OUT: Final = 124
NOBODY: Final = 65534
ENVIRONMENT: Final = {
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONPATH": "/lab",
}


class Channel:
    """The guest's end of the console."""

    def __init__(self, console: int) -> None:
        self._console = console
        self._writing = threading.Lock()
        self._answers: dict[int, bytes] = {0: b"up"}

    def serve(self) -> None:
        """Answer requests until the console is gone."""
        self._send(0, self._answers[0])
        assembler = frames.Assembler()
        buffered = b""
        while data := os.read(self._console, 4096):
            *lines, buffered = (buffered + data).split(b"\n")
            for line in lines:
                frame = frames.parse(frames.REQUEST, line)
                content = assembler.add(frame) if frame else None
                if content is not None:
                    self._accept(json.loads(content))

    def _accept(self, request: dict[str, Any]) -> None:
        number = request["id"]
        if request.get("again"):
            with contextlib.suppress(KeyError):  # Not finished yet, so not lost either.
                self._send(number, self._answers[number])
            return
        threading.Thread(target=self._carry_out, args=(number, request), daemon=True).start()

    def _carry_out(self, number: int, request: dict[str, Any]) -> None:
        answer = run(request["argv"], request.get("user"), request.get("timeout_s"))
        self._answers[number] = answer
        for old in sorted(self._answers)[1:-KEPT_ANSWERS]:
            self._answers.pop(old, None)
        self._send(number, answer)

    def _send(self, number: int, content: bytes) -> None:
        with self._writing:
            os.write(self._console, b"\n")  # Ends whatever the kernel was writing.
            for line in frames.split(frames.ANSWER, number, content):
                view = memoryview(line)
                while view:
                    view = view[os.write(self._console, view) :]


def run(argv: list[str], user: int | None, timeout_s: float | None) -> bytes:
    """Run a command, as root or as the user with that number, and encode what came of it."""
    drop = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    process: subprocess.CompletedProcess[bytes]
    try:
        process = subprocess.run(
            argv,
            cwd="/",
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            **drop,  # type: ignore[call-overload]
        )
        status, out, err = process.returncode, process.stdout, process.stderr
    except subprocess.TimeoutExpired as expired:
        status, out, err = TIMED_OUT, expired.stdout or b"", expired.stderr or b""
    except OSError as error:
        status, out, err = 127, b"", str(error).encode()
    header = {"status": status, "out": len(out), "err": len(err)}
    return json.dumps(header).encode() + b"\n" + out + err


def main() -> None:
    """Serve the console of this guest."""
    console = os.open(CONSOLE, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(console)
    Channel(console).serve()


if __name__ == "__main__":
    main()
