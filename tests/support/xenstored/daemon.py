# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's xenstored as a child process with a run directory of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from tests.support.xenstored.guest import Guest
from tests.support.xenstored.raw_client import RawClient

REPOSITORY: Final = Path(__file__).resolve().parents[3]
_START_S: Final = 10.0


class XenstoredMissing(Exception):  # noqa: N818 - a state of the machine
    """The daemon has not been fetched; the text says what to run."""


def directory() -> Path:
    """Where `fetch.sh` puts the daemon: $BALLOON_AGENT_XENSTORED, or below the repository."""
    override = os.environ.get("BALLOON_AGENT_XENSTORED")
    return Path(override) if override else REPOSITORY / ".cache" / "xenstored"


class Xenstored:
    """The daemon; starting it takes a few milliseconds, so that every test can have its own."""

    def __init__(self, *options: str) -> None:
        """Prepare a daemon with command line `options`, such as "-W", "16".

        Raises:
            XenstoredMissing: it has not been fetched.
        """
        self._binary = directory() / "xenstored"
        self._shim = directory() / "shim"
        if not (self._binary.exists() and self._shim.is_dir()):
            raise XenstoredMissing(f"no xenstored in {directory()}: make xenstored")
        self._options = options
        # Not pytest's tmp_path: with it the sockets' names get too long.
        self.rundir = tempfile.mkdtemp(prefix="xenstored-")
        self.path = os.path.join(self.rundir, "socket")
        os.mkfifo(os.path.join(self.rundir, "evtchn"), 0o600)
        self._process: subprocess.Popen[bytes] | None = None
        self._guests: list[Guest] = []

    def __enter__(self) -> Xenstored:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        Path(self.path).unlink(missing_ok=True)
        with open(os.path.join(self.rundir, "stderr"), "wb") as errors:
            self._process = subprocess.Popen(
                # It ends with the thread that started it, whatever becomes of the tests.
                ["setpriv", "--pdeathsig", "KILL", self._binary, "--no-fork", *self._options],
                env={"LD_LIBRARY_PATH": str(self._shim), "XENSTORED_RUNDIR": self.rundir},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        deadline_s = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                said = Path(self.rundir, "stderr").read_text(errors="replace")
                raise RuntimeError(f"xenstored did not start: {said}")
            time.sleep(0.002)

    def _answers(self) -> bool:
        try:
            with self.connect() as dom0:
                dom0.children("/")
        except (FileNotFoundError, ConnectionError):
            return False
        return True

    def connect(self) -> RawClient:
        """A connection of dom0's."""
        return RawClient(self.path)

    def introduce(self, domid: int) -> Guest:
        """Make a domain; what it may read is yet to be written (see libxl_tree)."""
        with self.connect() as dom0:
            guest = Guest(self.rundir, domid, dom0)
        self._guests.append(guest)
        return guest

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, such as SIGSTOP and SIGCONT."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End the daemon at once; its guests are lost, `start` begins with an empty store."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        while self._guests:
            self._guests.pop().close()

    def close(self) -> None:
        """End the daemon and remove its directory."""
        self.kill()
        shutil.rmtree(self.rundir)
