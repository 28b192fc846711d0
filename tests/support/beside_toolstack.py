# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon as a process of its own beside a model of a toolstack, in step with the clock.

The host, its guests and its toolstack live in the test's process; one guest is published, and the
daemon, started, stopped and taken away as the packages' scripts do it, has only files and a socket.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sim_backend.guest.domain import SimulatedDomain
from sim_backend.published.domain import PublishedDomain
from tests.support.daemon_process import DaemonProcess

SPEED = float(os.environ.get("BALLOON_AGENT_STORIES_SPEED", "32"))
"""How much faster than life; in life (1) a story takes a minute or two."""

PATIENCE_S = 30.0 + 300.0 / SPEED
STEP_S = 0.02


class Beside:
    """A published guest; time passes in `until` and `for_s` alone."""

    def __init__(self, domain: SimulatedDomain, directory: str, config: str) -> None:
        self.domain = domain
        self.processes = ExitStack()
        self.published = PublishedDomain(domain, directory, SPEED)
        self.config = Path(directory, "config.toml")
        self.config.write_text(config)

    def until(self, reached: Callable[[], bool]) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while not reached():
            assert time.monotonic() < give_up_s, self.domain.store.items()
            self.published.step(STEP_S)

    def for_s(self, seconds: float) -> None:
        """So long in the guest's time."""
        until_s = self.domain.now_s() + seconds
        self.until(lambda: self.domain.now_s() >= until_s)

    def started(self, *words: str) -> DaemonProcess:
        """`systemctl start`: until it says that it is ready; no time passes meanwhile.

        A process takes as long to start at any speed, which at this one is half a minute.
        """
        self.published.is_held = True
        daemon = self._process("--config", str(self.config), *words)
        self.until(lambda: (daemon.message(0.0) or "").startswith("READY=1"))
        self.published.go()
        return daemon

    def stopped(self, daemon: DaemonProcess) -> None:
        """`systemctl stop`."""
        daemon.send(signal.SIGTERM)
        self._ended(daemon)

    def restarted(self, daemon: DaemonProcess) -> DaemonProcess:
        """As an upgrade does it: the old one stops, the new one starts, nothing is taken back."""
        self.stopped(daemon)
        return self.started()

    def purged(self, daemon: DaemonProcess) -> None:
        """As the package's prerm does it: a stop, then `run --forget`."""
        self.stopped(daemon)
        self._ended(self._process("--forget"))

    def _process(self, *words: str) -> DaemonProcess:
        root, xenstore = self.published.root, self.published.guest_path
        return self.processes.enter_context(DaemonProcess(root, xenstore, *words))

    def _ended(self, process: DaemonProcess) -> None:
        self.until(lambda: process.process.poll() is not None)
        assert process.process.returncode == 0, process.stderr


@contextmanager
def beside(domain: SimulatedDomain, config: str = "") -> Iterator[Beside]:
    with tempfile.TemporaryDirectory(prefix="beside-") as directory:
        there = Beside(domain, directory, config)
        try:
            with there.processes:
                yield there
        finally:
            there.published.close()
