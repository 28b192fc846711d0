# SPDX-License-Identifier: GPL-2.0-or-later
"""What a daemon is made of, put together by `agent.daemon.main`, or by a test with other parts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from agent.daemon.config.effective import Config
from agent.daemon.journal import Journal
from agent.daemon.link import Link
from agent.daemon.notify import Notifier
from agent.daemon.runtime_directory import RuntimeDirectory
from agent.daemon.wakeups import Wakeups
from agent.sources.system_root import SystemRoot


class Started(NamedTuple):
    """How the daemon was started.

    Attributes:
        words: those behind `run`.
        root, xenstore: where its domain is, if not here.
        command: the whole command line, once another one has taken its place.
    """

    words: tuple[str, ...]
    root: str | None
    xenstore: str | None
    command: tuple[str, ...] = ()


class Parts(NamedTuple):
    """The edges of one daemon: files, xenstore, sleep, and who listens to it."""

    root: SystemRoot
    link: Link
    wakeups: Wakeups
    runtime: RuntimeDirectory
    journal: Journal
    notifier: Notifier
    reload: Callable[[], Config]

    def close(self) -> None:
        """Give everything back: the process ends."""
        self.wakeups.close()
        self.runtime.close()
        self.link.session.close()

    def say(self, priority: int, kind: str, text: str, burst: int = 1) -> None:
        """A line for the journal, now."""
        self.journal.say(priority, kind, text, time.monotonic(), burst)
