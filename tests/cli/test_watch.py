# SPDX-License-Identifier: GPL-2.0-or-later
"""`status --watch` on terminals of every kind, and the simulated guest that moves in it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from sim_backend.published.in_process import AFTER_THE_STORY_S, Simulation
from tests import captures
from tests.support.screen import HOME, terminal

WATCH = ("--sim", "balloon-up", "status", "--watch", "--interval", "0.3")


def test_the_screen_is_redrawn_in_place_and_never_taller_than_the_terminal() -> None:
    with terminal(24, 80, *WATCH, TERM="xterm-256color") as screen:
        screen.wait_for(HOME, times=4)
        assert screen.interrupt() == 0
    frames = screen.shown.split(HOME)[1:-1]
    assert all(frame.count(b"\n") <= 23 for frame in frames)
    assert all(b"\x1b[2J" not in frame for frame in frames)
    assert b"Last minute" in frames[-1]
    assert b" lines more" in frames[-1]


def test_no_color_leaves_the_cursor_and_takes_the_colours() -> None:
    with terminal(24, 80, *WATCH, TERM="xterm-256color", NO_COLOR="1") as screen:
        screen.wait_for(HOME, times=3)
        screen.interrupt()
    assert b"m" not in {code[:3][-1:] for code in screen.shown.split(b"\x1b[")[1:]}


def test_a_serial_console_gets_frames_below_each_other_without_an_escape() -> None:
    with terminal(24, 80, *WATCH, TERM="dumb") as screen:
        screen.wait_for(b"after ", times=3)
        assert screen.interrupt() == 0
    assert b"\x1b" not in screen.shown
    whole, *frames = screen.shown.split(b"after ")
    assert b"Reconciliation" in whole
    assert all(b"Reconciliation" not in frame for frame in frames)
    assert b"Last minute" in frames[0]


def test_a_narrow_ascii_console_gets_narrow_ascii_frames() -> None:
    with terminal(24, 40, *WATCH, "--ascii", TERM="vt100") as screen:
        screen.wait_for(HOME, times=3)
        screen.interrupt()
    last = screen.shown.split(HOME)[2]
    text = last.replace(b"\r", b"").split(b"\x1b[J")[0]
    rows = [_without_codes(row) for row in text.split(b"\n")]
    assert all(row.isascii() and len(row) <= 40 for row in rows)


def test_a_capture_is_watched_too_although_nothing_moves(tmp_path: Path) -> None:
    root = captures.load("pv-512-1024-k510/memset-768").write_to(tmp_path)
    words = ("--root", str(root), "status", "--watch", "--interval", "0.1")
    with terminal(60, 80, *words, TERM="dumb") as screen:
        screen.wait_for(b"after ", times=2)
        assert screen.interrupt() == 1  # the verdict of what was shown last


@pytest.mark.parametrize(
    ("end", "status"),
    [(b"q", 0), (b"xQ", 0), (b"\x03", 0), (signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)],
)
def test_a_key_or_a_signal_ends_it_and_the_terminal_is_as_it_was(
    end: bytes | signal.Signals, status: int
) -> None:
    with terminal(24, 80, *WATCH, TERM="xterm") as screen:
        before = screen.settings()
        screen.wait_for(HOME, times=2)
        assert screen.settings() != before  # no line is waited for, no key is shown
        if isinstance(end, bytes):
            screen.press(end)
        else:
            os.kill(screen.pid, end)
        assert screen.ended() == status
        assert screen.settings() == before
        assert b"Traceback" not in screen.shown


def test_other_keys_leave_nothing() -> None:
    with terminal(24, 80, *WATCH, TERM="xterm") as screen:
        screen.wait_for(HOME, times=2)
        screen.press(b"x \n\x1b[A")
        screen.wait_for(HOME, times=4)
        screen.press(b"q")
        assert screen.ended() == 0


def _without_codes(row: bytes) -> bytes:
    first, *rest = row.split(b"\x1b[")
    return first + b"".join(part.lstrip(b"0123456789;")[1:] for part in rest)


@pytest.fixture
def monotonic(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that shows what the test puts into the list."""
    now = [1000.0]
    monkeypatch.setattr("sim_backend.published.in_process.time.monotonic", lambda: now[0])
    return now


def current_kib(simulation: Simulation) -> int:
    balloon = simulation.snapshot().balloon
    assert balloon is not None
    assert balloon.current_kib is not None
    return balloon.current_kib


def test_a_played_simulation_moves_in_step_with_real_time(monotonic: list[float]) -> None:
    simulation = Simulation("balloon-up")
    simulation.play()
    seen = []
    for second in (0.0, 4.0, 5.5, 6.0, 8.0):
        monotonic[0] = 1000.0 + second
        seen.append(current_kib(simulation))
    assert seen[:2] == [524288, 524288]
    assert 524288 < seen[2] < 786432
    assert seen[-1] == 786432


def test_the_story_begins_again_when_it_is_over(monotonic: list[float]) -> None:
    simulation = Simulation("balloon-up")
    simulation.play()
    monotonic[0] += 30.0
    assert current_kib(simulation) == 786432
    monotonic[0] += AFTER_THE_STORY_S + 1.0
    assert current_kib(simulation) == 524288


def test_one_look_shows_the_moment_the_scenario_is_told_for() -> None:
    simulation = Simulation("balloon-up")
    before_s = simulation.domain.now_s()
    assert current_kib(simulation) == 786432
    simulation.let_pass(10.0)
    assert simulation.domain.now_s() == before_s + 10.0
