# SPDX-License-Identifier: GPL-2.0-or-later
"""The screens as people see them, kept in tests/report/golden/ to be looked at.

BALLOON_AGENT_UPDATE_GOLDEN=1 with these tests writes them anew; look at the difference.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from agent.core.account.waterfall import waterfall
from agent.core.findings.assessment import Assessment
from agent.report.memmap_text import memmap_lines
from agent.report.status_text import status_lines
from agent.report.styled import Line, plain
from agent.report.waterfall_text import waterfall_lines
from sim_backend.stories import catalogue
from tests import captures
from tests.support.captured import assessed
from tests.support.golden import check_reviewed
from tests.support.judged import assess
from tests.support.snapshots import a_pv_guest, a_pvh_guest

GOLDEN: Final = Path(__file__).parent / "golden"
SIMULATED: Final = "simulated"
GUESTS: Final = {
    "pv": "pv-512-1024/boot",
    "pv-offline-blocks": "pv-512-1024-k510/memset-768",
    "pv-e820-host": "pv-512-1024-e820host/memset-384",
    "pv-large-map": "pv-256-4096-k612/boot",
    "pvh": "pvh-512-1024/memset-768",
    "hvm": "hvm-512-1024/boot",
    "dom0": "dom0/memset-896",
    "moving": "pvh-512-1024-moving/moving-1024-to-384",
    SIMULATED: "",
}
SCREENS: Final[dict[str, Callable[[Assessment, int], list[Line]]]] = {
    "status": status_lines,
    "memmap": lambda assessment, width: memmap_lines(assessment.situation, width),
}
# Columns and whether only ASCII may be used.
TERMINALS: Final = {
    "80": (80, False),
    "40": (40, False),
    "80-ascii": (80, True),
    "40-ascii": (40, True),
}


@cache
def guest(name: str) -> Assessment:
    if name == SIMULATED:
        return assess(catalogue.load("balloon-up").domain().snapshot())
    return assessed(GUESTS[name])


@pytest.mark.parametrize("terminal", TERMINALS)
@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("name", GUESTS)
def test_a_screen_is_as_reviewed(name: str, screen: str, terminal: str) -> None:
    width, ascii_only = TERMINALS[terminal]
    shown = plain(SCREENS[screen](guest(name), width), ascii_only=ascii_only)
    check_reviewed(GOLDEN / f"{screen}-{name}-{terminal}.txt", shown)


def test_there_is_no_screen_that_nothing_shows() -> None:
    names = {f"{s}-{n}-{t}.txt" for s in SCREENS for n in GUESTS for t in TERMINALS}
    assert {path.name for path in GOLDEN.iterdir()} == names


@pytest.mark.parametrize("width", [40, 47, 71, 72, 80, 100])
def test_no_line_is_wider_than_the_terminal_but_a_command_to_paste(width: int) -> None:
    for name in captures.names():
        for show in SCREENS.values():
            lines = plain(show(assessed(name), width)).splitlines()
            wide = [line for line in lines if len(line) > width and "Fix:" not in line]
            assert not wide, (name, wide)


def test_the_figures_of_a_large_guest_have_room_beside_their_bars() -> None:
    """Those of one of 100 GiB, as far as they are inferred, and of one of a TiB all the same."""
    sizes = {"current_kib": 100 << 20, "target_kib": 100 << 20}
    for most_kib in (200 << 20, 2 << 30):
        guest_ = a_pv_guest(
            firmware_map=None, iomem=None, balloon=sizes, host={"static_max_kib": most_kib}
        )
        shown = plain(waterfall_lines(waterfall(assess(guest_).situation), 80)).splitlines()
        assert "  not-populated" in "".join(shown)
        assert len({row.index("█") for row in shown if "█" in row}) == 1
        assert max(map(len, shown)) <= 80


@pytest.mark.parametrize("screen", SCREENS)
def test_no_line_ends_in_spaces(screen: str) -> None:
    for line in plain(SCREENS[screen](guest("pv"), 80)).splitlines():
        assert line == line.rstrip()


@pytest.mark.parametrize("width", [40, 80, 100])
def test_the_bar_fills_the_terminal_and_shows_every_part(width: int) -> None:
    for name in captures.names():
        text = plain(status_lines(assessed(name), width)).splitlines()
        bars = [line for line in text if line and set(line) <= set("█▒░×·")]
        assert [len(bar) for bar in bars] == [width], name


def test_the_sum_on_the_screen_is_the_sum() -> None:
    text = plain(status_lines(guest("pv-offline-blocks"), 80)).splitlines()
    start = next(i for i, line in enumerate(text) if line.startswith("Reconciliation"))
    signed = [
        int("".join(line.split("KiB")[0].split()[1:]))
        for line in text[start + 1 :]
        if line.rstrip().endswith("KiB") and line.startswith("  ") and line[2] != " "
    ]
    assert len(signed) == 7
    assert sum(signed[:-1]) == signed[-1] == 0


def test_a_simulation_cannot_be_missed() -> None:
    for show in SCREENS.values():
        shown = plain(show(guest(SIMULATED), 80))
        assert "SIMULATED DOMAIN" in shown.splitlines()[1]
        assert "nothing here is this machine" in shown


def test_an_ordinary_user_is_told_what_root_would_see() -> None:
    here = a_pv_guest(sources={"iomem": "hidden", "kernel-log": "denied"})
    live = here._replace(origin=here.origin._replace(kind="live"))
    assert "As root, status would also read: iomem, kernel-log." in plain(
        status_lines(assess(live), 80)
    )
    assert "As root" not in plain(status_lines(assess(here), 80))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"firmware_map": None, "iomem": None}, "Not possible: neither /sys/firmware/memmap"),
        ({"balloon": None}, "no driver"),
        ({"memory": None, "sources": {"meminfo": "malformed: empty"}}, "is malformed: empty"),
        ({"host": {"target_kib": None, "target_text": "'abc'"}}, "is not a number: 'abc'"),
        ({"boot_log": None}, "nr_pages is not known"),
    ],
)
def test_what_could_not_be_read_is_said_where_it_would_stand(
    changes: dict[str, object], words: str
) -> None:
    shown = plain(status_lines(assess(a_pv_guest(**changes)), 100))
    assert words in " ".join(shown.split())


def test_an_attempt_that_was_refused_shows_when_the_next_one_is() -> None:
    numbers = {"target_kib": 786044, "retry_count": 3, "schedule_delay_s": 4}
    shown = plain(status_lines(assess(a_pvh_guest(balloon=numbers)), 100))
    assert "attempt 3 of 4, next in 4 s" in " ".join(shown.split())


def test_control_characters_are_spelled_out() -> None:
    hostile = a_pv_guest(domain={"kernel_text": "6.1\x1b]0;x\x07", "name": "a\x9b31m"})
    shown = plain(status_lines(assess(hostile), 80))
    assert r"\x1b]0;x\x07" in shown
    assert "\x9b" not in shown
