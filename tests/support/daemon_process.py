# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon as a process of its own, with the test in the place of its service manager."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from sim_backend.guest.domain import SimulatedDomain

# Through the command's own door, as `balloon-agent --root ROOT --xenstore PATH run WORD...`.
START = (
    "import sys; from agent.cli.main import main; "
    "sys.exit(main(['--root', sys.argv[1], '--xenstore', sys.argv[2], 'run', *sys.argv[3:]]))"
)
REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 20.0


def kernel_files(domain: SimulatedDomain, directory: Path) -> Path:
    """The files of a simulated guest as they are now, for a daemon that changes nothing there."""
    for name, text in domain.files().items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


class DaemonProcess:
    """`balloon-agent --root ROOT --xenstore PATH run ARGUMENTS`."""

    def __init__(
        self,
        root: Path | str,
        xenstore: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        prefix: tuple[str, ...] = (),
        start: str = START,
        stderr: int | None = None,
    ) -> None:
        """`start` is the Python that starts it; `stderr` a descriptor for its journal's lines."""
        self.root = Path(root)
        self._directory = tempfile.TemporaryDirectory(prefix="daemon-")
        address = os.path.join(self._directory.name, "notify")
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(address)
        self.messages: list[str] = []
        self._stderr_path = Path(self._directory.name, "stderr")
        with self._stderr_path.open("wb") as kept:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-c", start, str(root), xenstore, *arguments],
                cwd=REPOSITORY,
                env={**os.environ, "NOTIFY_SOCKET": address, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stderr=kept if stderr is None else stderr,
            )

    def __enter__(self) -> DaemonProcess:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._notify.close()
        self._directory.cleanup()

    @property
    def stderr(self) -> str:
        return self._stderr_path.read_text()

    def message(self, timeout_s: float = PATIENCE_S) -> str | None:
        """The next message to the service manager; None when there is none in time."""
        if not select.select([self._notify], [], [], timeout_s)[0]:
            return None
        text = self._notify.recv(4096).decode()
        self.messages.append(text)
        return text

    def wait_for(self, message: str) -> None:
        while (found := self.message()) is not None:
            if found.startswith(message):
                return
        raise AssertionError(f"no {message} among {self.messages}; it said: {self.stderr}")

    def ready(self) -> DaemonProcess:
        self.wait_for("READY=1")
        return self

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def silent(self, for_s: float) -> bool:
        """Whether nothing is said to the service manager for that long."""
        return self.message(for_s) is None

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit status."""
        self.send(number)
        return self.process.wait(PATIENCE_S)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            (self.root / "run/balloon-agent/status.json").read_text()
        )
        return found

    @property
    def memory_file(self) -> Path | None:
        """What the daemon has handed on, while only the waiter is there."""
        found = {}
        for path in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with suppress(OSError):
                found[os.readlink(path).partition(" ")[0]] = path
        if "/memfd:balloon-agent-waiter" in found:  # it is not up yet
            return None
        return found.get("/memfd:balloon-agent-state")

    @property
    def rests(self) -> bool:
        return self.memory_file is not None

    def wait_for_rest(self) -> None:
        until_s = time.monotonic() + 2 * PATIENCE_S  # it does not rest for less than 20 s
        while not self.rests:
            assert self.process.poll() is None, self.stderr
            assert time.monotonic() < until_s, f"it does not rest; it said: {self.stderr}"
            time.sleep(0.01)

    def wait_for_status(self, **daemon: object) -> dict[str, Any]:
        """Wait until status.json's daemon section says that."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            self.message(0.05)  # a status message goes out with each new file
            status = self.status()
            if all(status["daemon"].get(name) == value for name, value in daemon.items()):
                return status
        raise AssertionError(f"{daemon} never in {self.status()['daemon']}; {self.stderr}")
