# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines for the journal, and messages to the service manager."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from agent.daemon.journal import EVENT_BURST, INFO, WARNING, WINDOW_S, Journal
from agent.daemon.notify import LONGEST_S, Notifier


class Reader:
    """A journal that writes into a pipe."""

    def __init__(self) -> None:
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        self.journal = Journal(write)
        self.write = write

    def lines(self) -> list[str]:
        try:
            return os.read(self._read, 1 << 20).decode().splitlines()
        except BlockingIOError:
            return []


def test_a_line_has_its_priority_and_is_one_line() -> None:
    reader = Reader()
    reader.journal.say(WARNING, "kind", "two\nlines \x1b[31m", 0.0)
    assert reader.lines() == ["<4>two lines ?[31m"]


def test_the_same_fault_is_told_once_then_counted() -> None:
    reader = Reader()
    for second in range(5000):
        reader.journal.say(WARNING, "fault", "it fails", float(second))
    lines = reader.lines()
    assert lines[0] == "<4>it fails"
    assert lines[1] == "<4>it fails (and 599 more like it since the last time)"
    assert len(lines) == 5000 // WINDOW_S + 1


def test_a_fault_that_was_over_is_told_again() -> None:
    reader = Reader()
    reader.journal.say(WARNING, "fault", "it fails", 0.0)
    reader.journal.settled("fault")
    reader.journal.say(WARNING, "fault", "it fails", 1.0)
    assert len(reader.lines()) == 2


def test_however_many_kinds_there_are_little_is_kept_of_them() -> None:
    reader = Reader()
    for number in range(3000):
        reader.journal.say(INFO, f"kind {number}", "x", 0.0)
        reader.lines()
    assert len(reader.journal._said) <= 256


def test_a_journal_that_does_not_read_holds_nothing_up() -> None:
    reader = Reader()
    for number in range(3000):
        reader.journal.say(INFO, f"kind {number}", "x" * 100, 0.0)
    told = len(reader.lines())
    assert 0 < told < 3000
    reader.journal.say(INFO, "later", "y", 0.0)
    assert reader.lines() == [f"<6>y ({3000 - told} lines were lost)"]


def test_a_closed_stderr_is_no_error(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "gone", os.O_WRONLY | os.O_CREAT)
    os.close(descriptor)
    Journal(descriptor).say(INFO, "kind", "text", 0.0)


def test_the_service_manager_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        notifier.ready()
        notifier.status("all\nis well")
        assert [manager.recv(100) for _ in range(2)] == [b"READY=1", b"STATUS=all is well"]


def test_an_abstract_socket_works_as_well() -> None:
    name = f"balloon-agent-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).alive()
        assert manager.recv(100) == b"WATCHDOG=1"


def test_without_a_service_manager_nothing_happens() -> None:
    Notifier({}).ready()
    Notifier({"NOTIFY_SOCKET": "/nowhere"}).ready()


def test_the_watchdog_is_fed_at_half_its_time_or_earlier_and_only_if_it_is_ours() -> None:
    base = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "180000000"}
    assert Notifier(base).ping_every_s == 90.0
    assert Notifier(base | {"WATCHDOG_PID": str(os.getpid())}).ping_every_s == 90.0
    assert Notifier(base | {"WATCHDOG_PID": "1"}).ping_every_s == LONGEST_S
    for odd in ("", "0", "-1", "abc", "9" * 30, "١"):
        assert Notifier(base | {"WATCHDOG_USEC": odd}).ping_every_s == LONGEST_S


def test_a_fault_that_comes_and_goes_all_the_time_fills_no_journal() -> None:
    reader = Reader()
    for second in range(1200):
        reader.journal.say(WARNING, "fault", "it fails", float(second))
        reader.journal.settled("fault")
    assert len(reader.lines()) <= 2 * EVENT_BURST
