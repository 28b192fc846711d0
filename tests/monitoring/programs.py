# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's monitoring programs as processes of a test, and a stand-in for systemd's socket."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

DEADLINE_S = 60.0
PROGRAMS = ("prometheus", "promtool", "prometheus-node-exporter")


def program(name: str) -> str:
    """Where it is; skips the test where it is not."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not there: apt-get install prometheus prometheus-node-exporter")
    return path


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[None]:
    """A program until the end of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=DEADLINE_S)


@contextmanager
def socket_activated(words: Sequence[str]) -> Iterator[int]:
    """What systemd does for Accept=yes: one process for each connection; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        children: list[subprocess.Popen[bytes]] = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    command = [sys.executable, "-m", "agent", *words]
                    wire = connection.fileno()
                    children.append(subprocess.Popen(command, stdin=wire, stdout=wire))

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=DEADLINE_S)
    for child in children:
        assert child.wait(timeout=DEADLINE_S) == 0


def get(url: str) -> str:
    """The body of a page on the loopback interface."""
    with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:
        body: bytes = answer.read()
        return body.decode("utf-8")


class Prometheus:
    """A running server, asked through its HTTP interface."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/api/v1"

    def ask(self, what: str, **parameters: str) -> Any:
        """The data of an answer."""
        query = urllib.parse.urlencode(parameters)
        return json.loads(get(f"{self._base}/{what}?{query}"))["data"]

    def query(self, expression: str) -> list[Any]:
        """The series of an expression now."""
        found: list[Any] = self.ask("query", query=expression)["result"]
        return found


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Ask again until it is so."""
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        try:
            if condition():
                return
        except OSError:
            pass  # it does not listen yet
        if time.monotonic() > deadline_s:
            pytest.fail(f"not within {DEADLINE_S:.0f} s: {what}")
        time.sleep(0.2)
