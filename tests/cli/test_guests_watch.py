# SPDX-License-Identifier: GPL-2.0-or-later
"""`guests --watch` while guests come, go and die, the window changes, and xenstored ends."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.claims import HONEST
from tests.support.dom0 import AHost
from tests.support.screen import HOME, Screen, terminal
from tests.support.simulated_xenstore import SimulatedXenstored

MOST_FRAMES = 1000  # of a tenth of a second, or longer where the machine has more to do
WATCH = ("guests", "--watch", "--interval", "0.1")
DB = "db                                           1   512     1     -b----       9.3"


@pytest.fixture
def xenstored() -> Iterator[SimulatedXenstored]:
    with SimulatedXenstored() as simulated:
        yield simulated


@pytest.fixture
def host(
    xenstored: SimulatedXenstored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AHost]:
    with xenstored.connect() as client:
        host = AHost(xenstored, client, tmp_path, monkeypatch)
        host.add(1, "db", **HONEST)
        host.lists(DB)
        yield host


class Frames:
    """The lines of JSON of a command that watches, as they come."""

    def __init__(self, host: AHost, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agent", *host.words, *WATCH, "--json", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.seen = 0

    def until(self, **wanted: Any) -> dict[str, Any]:
        """The first whose sentence, verdict or else is like that."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            frame: dict[str, Any] = json.loads(line)
            self.seen += 1
            assert self.seen < MOST_FRAMES, frame
            assert frame["time"].endswith("Z")
            if wanted.items() <= frame.items():
                return frame
        raise AssertionError(self.process.communicate()[1])

    def interrupt(self) -> tuple[int, str]:
        """Its status, and what it has to complain about."""
        self.process.send_signal(signal.SIGINT)
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err


def test_guests_that_come_go_and_die_are_in_the_next_line(host: AHost) -> None:
    frames = Frames(host)
    frames.until(headline="The guest has 512 MiB and could give 64 MiB without hurting.")
    host.add(2, "web", **HONEST)
    frames.until(headline="The 2 guests have 1 GiB and could give 128 MiB without hurting.")
    host.client.remove("/local/domain/2")
    frames.until(headline="The guest has 512 MiB and could give 64 MiB without hurting.")
    host.lists(DB.replace("-b----", "--ps-d"))
    while frames.until()["guests"][0]["life"] != "dying":
        pass
    host.client.remove("/local/domain/1")
    host.lists()
    frames.until(headline="There are no guests.")
    assert frames.interrupt() == (0, "")


def test_one_that_is_asked_for_by_name_and_goes_is_waited_for_until_it_comes_again(
    host: AHost,
) -> None:
    frames = Frames(host, "db")
    frames.until(verdict="ok")
    host.client.remove("/local/domain/1")
    host.lists()
    gone = frames.until(verdict="warning")
    assert (gone["headline"], gone["host"]["missing"]) == ("db is not there.", ["db"])
    host.add(7, "db", **HONEST)
    assert frames.until(verdict="ok")["guests"][0]["domid"] == 7
    assert frames.interrupt() == (0, "")


def on_a_screen(host: AHost, rows: int, columns: int) -> Any:
    return terminal(rows, columns, *host.words, *WATCH, TERM="xterm")


def rows_of(screen: Screen) -> list[str]:
    """Of the last whole frame, without codes."""
    frame = screen.shown.split(HOME)[-2].decode()
    text = frame.partition("\x1b[J")[0]
    for code in ("\x1b[K", "\r"):
        text = text.replace(code, "")
    return ["".join(part.partition("m")[2] if n else part for n, part in
                    enumerate(row.split("\x1b["))) for row in text.split("\n")]  # fmt: skip


def test_a_window_that_changes_its_size_is_filled_and_no_row_is_wrapped(host: AHost) -> None:
    for domid in range(2, 40):
        host.add(domid, f"guest-with-a-long-name-{domid}", **HONEST)
    with on_a_screen(host, 24, 100) as screen:
        for rows, columns in ((24, 100), (30, 80), (10, 60), (24, 40), (60, 100)):
            screen.resize(rows, columns)
            seen = screen.shown.count(HOME)
            screen.wait_for(HOME, times=seen + 3)
            shown = rows_of(screen)
            assert len(shown) <= rows
            assert all(len(row) <= columns for row in shown), shown
            assert shown[-2].strip().endswith("lines more in a taller terminal") or rows == 60
        before = screen.settings()
        screen.press(b"q")
        assert screen.ended() == 0
        assert before[3] & termios.ICANON == 0


def test_a_xenstored_that_ends_meanwhile_is_one_sentence_and_the_terminal_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as serving:
        xenstored = serving.enter_context(SimulatedXenstored())
        with xenstored.connect() as client:
            host = AHost(xenstored, client, tmp_path, monkeypatch)
            host.add(1, "db", **HONEST)
            host.lists(DB)
        with on_a_screen(host, 24, 80) as screen:
            before = screen.settings()
            screen.wait_for(HOME, times=2)
            during = screen.settings()
            serving.close()
            assert screen.ended() == 69
            assert during != before
            assert screen.settings() == before
    told = screen.shown.rpartition(b"balloon-agent: ")[2]
    assert told.startswith(b"xenstore cannot be asked")
    assert told.count(b"\n") == 1
