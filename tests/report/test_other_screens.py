# SPDX-License-Identifier: GPL-2.0-or-later
"""The screens of explain, simulate, check and status --short, kept in tests/report/golden_other/.

BALLOON_AGENT_UPDATE_GOLDEN=1 with these tests writes them anew; look at the difference.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from agent.cli.simulate import simulate_lines
from agent.core.facts.daemon_record import DaemonRecord, RecordedDecision
from agent.report.check_line import Thresholds, check, parse_threshold
from agent.report.explain_text import explain_lines
from agent.report.status_text import reminder_lines, short_status_lines
from agent.report.styled import Line, line, plain
from sim_backend.stories import catalogue
from sim_backend.stories.agents import agent
from sim_backend.stories.report_text import answer, report_rows
from tests.support.captured import assessed
from tests.support.golden import check_reviewed

GOLDEN: Final = Path(__file__).parent / "golden_other"
TERMINALS: Final = {
    "80": (80, False),
    "40": (40, False),
    "80-ascii": (80, True),
    "40-ascii": (40, True),
}
NOW_S: Final = 1795376960
STUCK: Final = "pv-512-1024/guest-target_kb-655360"
DECISIONS: Final = (
    RecordedDecision(
        1795376904, "xenstore", "settled", "The guest has what the host asked for.", "none",
        None, None, "nothing to do", 3, 524288,
    ),
    RecordedDecision(
        1795376910, "xenstore", "hotplug-offline",
        "The target needs memory block 8, which is hot-added and offline.", "online-block",
        None, 8, "done", 1, 786432,
    ),
    RecordedDecision(
        1795376921, "pressure", "floor",
        "The host asks for 200 MiB, less than the 420 MiB that are in use.", "write-target",
        430080, None, "done", 1, 204800,
    ),
)  # fmt: skip


def explained(width: int) -> list[Line]:
    record = DaemonRecord("follow", 812, NOW_S - 39, False, None, DECISIONS)
    return explain_lines(record, NOW_S, width)


def a_dead_daemon(width: int) -> list[Line]:
    record = DaemonRecord("follow", 812, NOW_S - 4000, False, "xenstored does not answer.", ())
    return explain_lines(record, NOW_S, width)


def simulated(name: str, who: str) -> Callable[[int], list[Line]]:
    scenario = catalogue.load(name)
    report = scenario.run(0, agent(who))

    def screen(width: int) -> list[Line]:
        rows = report_rows(scenario, report, width)
        return simulate_lines(name, answer(report), rows, passed=report.passed, width=width)

    return screen


def checked(name: str) -> list[Line]:
    limits = Thresholds(*map(parse_threshold, ("10%", "5%", "0%", "25%")))
    return [line(check(assessed(name), limits).line)]


SCREENS: Final[dict[str, Callable[[int], list[Line]]]] = {
    "explain": explained,
    "explain-dead": a_dead_daemon,
    "simulate-passed": simulated("leak", "follow"),
    "simulate-failed": simulated("down-below-working-set", "none"),
    "status-short": lambda width: short_status_lines(assessed("pvh-512-1024/memset-768"), width),
    "status-short-stuck": lambda width: short_status_lines(assessed(STUCK), width),
    "reminder": lambda width: reminder_lines(assessed(STUCK), width),
    "check": lambda _: checked("pvh-512-1024/memset-768"),
    "check-stuck": lambda _: checked(STUCK),
}


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize("terminal", TERMINALS)
@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_is_as_reviewed(screen: str, terminal: str) -> None:
    width, ascii_only = TERMINALS[terminal]
    shown = plain(SCREENS[screen](width), ascii_only=ascii_only)
    check_reviewed(GOLDEN / f"{screen}-{terminal}.txt", shown)
    assert shown.isascii() or not ascii_only


@pytest.mark.parametrize("width", [40, 47, 73, 74, 80, 100])
@pytest.mark.parametrize("screen", [name for name in SCREENS if not name.startswith("check")])
def test_no_line_is_wider_than_the_terminal_but_a_command_to_paste(screen: str, width: int) -> None:
    rows = plain(SCREENS[screen](width)).splitlines()
    assert not [row for row in rows if len(row) > width and "Fix:" not in row]


def test_the_short_status_of_a_settled_guest_fits_a_terminal_of_24_lines() -> None:
    assert len(short_status_lines(assessed("pvh-512-1024/memset-768"), 80)) <= 24


def test_a_guest_in_order_needs_no_reminder() -> None:
    assert reminder_lines(assessed("pv-512-1024/boot"), 80) == []


def test_there_is_no_screen_that_nothing_shows() -> None:
    names = {f"{screen}-{terminal}.txt" for screen in SCREENS for terminal in TERMINALS}
    assert {path.name for path in GOLDEN.iterdir()} == names
