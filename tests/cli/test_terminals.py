# SPDX-License-Identifier: GPL-2.0-or-later
"""The command in the places it is really run: pipes, terminals of all kinds, other users."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.captured import QUICK, load
from tests.support.unprivileged import TOP, as_nobody

WARNED: Final = "pv-512-1024-k510/memset-768"
HIDDEN: Final = "00000000-00000000 : System RAM\n  00000000-00000000 : Kernel code\n"
TIMEOUT_S: Final = 30


@pytest.fixture(scope="module")
def guest() -> Iterator[Path]:
    """A capture whose verdict is a warning: its exit status cannot be taken for another's."""
    with tempfile.TemporaryDirectory(dir=QUICK) as directory:
        yield load(WARNED).write_to(Path(directory))


def environment(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(TOP), "LANG": "C.UTF-8", "TERM": "xterm-256color", **more}


def agent(guest: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "agent", "--root", str(guest), *words]


def run(guest: Path, *words: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        agent(guest, *words), env=environment(**more), capture_output=True, timeout=TIMEOUT_S,
        check=False,
    )  # fmt: skip


class Screen:
    """A command on a terminal of its own."""

    def __init__(self, command: list[str], columns: int = 80, **more: str) -> None:
        self._ours, theirs = pty.openpty()
        os.set_inheritable(theirs, True)
        size = environment(COLUMNS=str(columns), LINES="60", **more)
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=size, start_new_session=True
        )
        os.close(theirs)
        self.shown = b""

    def until(self, count: int, words: bytes) -> None:
        """Read until the words were shown so often."""
        while self.shown.count(words) < count:
            chunk = self._read()
            assert chunk, self.shown.decode("utf-8", "replace")
            self.shown += chunk

    def ended(self) -> int:
        while chunk := self._read():
            self.shown += chunk
        os.close(self._ours)
        return self.process.wait(TIMEOUT_S)

    def _read(self) -> bytes:
        try:
            return os.read(self._ours, 65536)
        except OSError:  # EIO: the other side is closed
            return b""


def test_a_screen_in_a_pipe_is_plain_text(guest: Path) -> None:
    ended = run(guest, "status")
    assert (ended.returncode, ended.stderr) == (1, b"")
    assert b"\x1b" not in ended.stdout
    assert "█" in ended.stdout.decode()


def test_a_terminal_gets_colours_and_the_same_text(guest: Path) -> None:
    screen = Screen(agent(guest, "status"))
    assert screen.ended() == 1
    assert b"\x1b[" in screen.shown
    assert "▲ target 768 MiB".encode() in screen.shown.replace(b"\x1b[0m", b"").replace(
        b"\x1b[1m", b""
    )


def test_a_pipe_gets_colours_where_they_are_forced(guest: Path) -> None:
    assert b"\x1b[" in run(guest, "status", FORCE_COLOR="1").stdout


def test_a_pipe_is_as_wide_as_the_environment_says(guest: Path) -> None:
    for columns in (50, 90):
        lines = run(guest, "memmap", COLUMNS=str(columns)).stdout.decode().splitlines()
        assert max(len(line) for line in lines if "━" in line) == columns


@pytest.mark.parametrize("settings", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_a_terminal_that_wants_no_colours_gets_none(guest: Path, settings: dict[str, str]) -> None:
    screen = Screen(agent(guest, "status"), 80, **settings)
    assert screen.ended() == 1
    assert b"\x1b" not in screen.shown
    assert "█".encode() in screen.shown


@pytest.mark.parametrize(
    "settings",
    [
        {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii:strict"},
    ],
    ids=["C", "latin-1", "ascii"],
)
def test_an_output_that_is_not_utf_8_gets_ascii(guest: Path, settings: dict[str, str]) -> None:
    ended = run(guest, "status", **settings)
    assert (ended.returncode, ended.stderr) == (1, b"")
    assert ended.stdout.isascii()
    assert b"####" in ended.stdout
    assert b"\\u" not in ended.stdout


def test_a_terminal_of_20_columns_is_drawn_for_40(guest: Path) -> None:
    screen = Screen(agent(guest, "memmap"), columns=20, NO_COLOR="1")
    assert screen.ended() == 0
    lines = screen.shown.decode().splitlines()
    assert 20 < max(len(line) for line in lines) <= 40


@pytest.mark.parametrize("words", [("status",), ("status", "--json"), ("memmap",), ("--help",)])
def test_a_reader_that_goes_away_ends_the_command_in_silence(
    guest: Path, words: tuple[str, ...]
) -> None:
    """As `| head -1` does, here before the first line is written."""
    ours, theirs = os.pipe()
    process = subprocess.Popen(
        agent(guest, *words), stdout=theirs, stderr=subprocess.PIPE, env=environment()
    )
    os.close(theirs)
    os.close(ours)
    _, complaint = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, complaint) == (0, b"")


@pytest.mark.parametrize("words", [("status",), ("status", "--json"), ("memmap",)])
def test_a_closed_standard_output_is_no_traceback(guest: Path, words: tuple[str, ...]) -> None:
    command = ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *agent(guest, *words)]
    ended = subprocess.run(
        command, env=environment(), stderr=subprocess.PIPE, timeout=TIMEOUT_S, check=False
    )
    assert ended.returncode in (0, 1)
    assert ended.stderr == b""


def test_a_path_of_any_bytes_is_spelled_out(tmp_path: Path) -> None:
    where = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    where.mkdir()
    ended = run(where, "check", PYTHONIOENCODING="utf-8:strict")  # as any locale but C has it
    assert (ended.returncode, ended.stderr) == (3, b"")
    assert ended.stdout.startswith(b"BALLOON UNKNOWN - ")
    assert b"/\\udcff is not a capture" in ended.stdout


def test_a_full_disk_is_one_sentence(guest: Path) -> None:
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            agent(guest, "status"), stdout=full, stderr=subprocess.PIPE, env=environment(),
            timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    assert ended.returncode == 73
    assert (
        ended.stderr
        == b"balloon-agent: the output could not be written: No space left on device.\n"
    )


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("status",), 69),
        (("memmap",), 69),
        (("nosuch",), 64),
        (("check",), 3),
        (("run", "--sim=x"), 64),
    ],
)
def test_an_error_keeps_its_status_where_nobody_can_be_told(
    tmp_path: Path, words: tuple[str, ...], status: int
) -> None:
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            agent(tmp_path, *words), stdout=full, stderr=full, env=environment(),
            timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    assert ended.returncode == status


def test_watching_refreshes_in_place_until_it_is_interrupted(guest: Path) -> None:
    """It ends with the status of the last verdict."""
    screen = Screen(agent(guest, "status", "--watch", "--interval", "0.1"))
    screen.until(3, b"\x1b[H")
    screen.process.send_signal(signal.SIGINT)
    assert screen.ended() == 1
    assert b"Traceback" not in screen.shown


def test_watching_on_a_dumb_terminal_moves_no_cursor(guest: Path) -> None:
    screen = Screen(agent(guest, "status", "--watch", "--interval", "0.1"), TERM="dumb")
    screen.until(2, b"after ")
    screen.process.send_signal(signal.SIGINT)
    assert screen.ended() == 1
    assert b"\x1b" not in screen.shown


def test_watching_as_json_is_an_object_a_line(guest: Path) -> None:
    process = subprocess.Popen(
        agent(guest, "status", "--json", "--watch", "--interval", "0.1"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    assert process.stdout
    lines = [process.stdout.readline() for _ in range(3)]
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=TIMEOUT_S)
    assert [json.loads(line)["schema"] for line in lines] == [1, 1, 1]
    assert (process.returncode, complaint) == (1, b"")


def as_an_ordinary_user(guest: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return as_nobody(
        guest,
        f"""
        from agent.cli.main import main
        sys.exit(main(["--root", "tree", *{words!r}]))
        """,
        {"NO_COLOR": "1", "COLUMNS": "80", "LANG": "C.UTF-8"},
    )


def test_an_ordinary_user_sees_the_map_the_sum_and_that_iomem_is_hidden(tmp_path: Path) -> None:
    tree = load("pv-512-1024/boot").write_to(tmp_path / "tree")
    (tree / "proc/iomem").write_text(HIDDEN)
    (tree / "kernel.log").chmod(0)  # not even for its owner, who may run this test
    shown = as_an_ordinary_user(tmp_path, "status", "--json")
    assert (shown.returncode, shown.stderr) == (0, "")
    found = json.loads(shown.stdout)
    assert found["sources"]["iomem"] == "hidden"
    assert found["sources"]["kernel-log"] == "denied"
    assert found["reconciliation"]["unexplained_kib"] == 0
    assert [finding["code"] for finding in found["findings"]] == ["iomem-hidden"]
    table = as_an_ordinary_user(tmp_path, "memmap")
    assert table.returncode == 0
    assert "/proc/iomem is hidden: addresses are shown to root only" in table.stdout


def test_an_ordinary_user_who_may_not_write_there_is_told_so(tmp_path: Path) -> None:
    load("pv-512-1024/boot").write_to(tmp_path / "tree")
    (tmp_path / "tree").chmod(0o555)
    ended = as_an_ordinary_user(tmp_path, "capture", "tree/guest.tar.gz")
    (tmp_path / "tree").chmod(0o755)
    assert (ended.returncode, ended.stdout) == (73, "")
    assert (
        ended.stderr
        == "balloon-agent: tree/guest.tar.gz could not be written: Permission denied.\n"
    )
