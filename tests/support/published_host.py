# SPDX-License-Identifier: GPL-2.0-or-later
"""A published host in a process of its own, with the real daemon in two of its three guests."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.cli.main import main

PATIENCE_S = 60.0


class APublishedHost:
    """Commands of dom0, and a word for the programs in its guests."""

    def __init__(self, directory: Path) -> None:
        words = [sys.executable, "-m", "sim_backend.published.host", str(directory)]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.paths: dict[str, Any] = json.loads(self._process.stdout.readline())
        self.words = ["--root", self.paths["root"], "--xenstore", self.paths["xenstore"]]

    def say(self, line: str) -> None:
        """A command of the host's standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def run(self, *words: str) -> int:
        """A command in dom0, in this process."""
        return main([*self.words, *words])

    def xl(self, *words: str) -> str:
        """What its xl prints."""
        return subprocess.run(
            [self.paths["xl"], *words], capture_output=True, text=True, check=True
        ).stdout

    @contextmanager
    def slow_xl(self, seconds: float) -> Iterator[None]:
        """Within, xl takes that long before it changes anything."""
        path = Path(self.paths["xl"])
        true = path.rename(path.with_suffix(".true"))
        slow = f'[ "$1" = mem-set ] && sleep {seconds}'
        path.write_text(f'#!/bin/sh\n{slow}\nexec {true} "$@"\n', encoding="ascii")
        path.chmod(0o755)
        try:
            yield
        finally:
            true.rename(path)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


@contextmanager
def a_published_host(directory: Path) -> Iterator[APublishedHost]:
    host = APublishedHost(directory)
    try:
        yield host
    finally:
        host.close()


def until(reached: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.1)
