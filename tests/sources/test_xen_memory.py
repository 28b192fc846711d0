# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver's numbers belong to one moment, or it is said that they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path

import pytest

from agent.core.facts.snapshot import Origin
from agent.gather import gather
from agent.sources.outcome import Outcome
from agent.sources.system_root import SystemRoot
from agent.sources.xen_memory import (
    DIRECTORY,
    TRIES_FOR_A_QUIET_MOMENT,
    WATCH_FOR_MOTION_S,
    read_xen_memory,
    refresh_xen_memory,
)
from agent.sources.xenstore.key_store import CapturedKeys
from tests.support.judged import assess

CURRENT = f"{DIRECTORY}/info/current_kb"


class MovingRoot(SystemRoot):
    """A capture whose current_kb is another one at each read; low_kb follows it."""

    def __init__(self, path: Path, currents_kib: Iterator[int]) -> None:
        super().__init__(str(path))
        self._currents = currents_kib
        self._current_kib = 0
        self.reads_of_current = 0

    def read(self, relative: str, limit_bytes: int = 4096) -> Outcome[str]:
        if relative == CURRENT:
            self._current_kib = next(self._currents)
            self.reads_of_current += 1
            return Outcome(f"{self._current_kib}\n", "ok")
        if relative == f"{DIRECTORY}/info/low_kb":
            return Outcome(f"{1048576 - self._current_kib}\n", "ok")
        return super().read(relative, limit_bytes)


class Naps:
    """A sleep that takes no time, and remembers how long it was to be."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.taken_s: list[float] = []
        self._then = then

    def __call__(self, seconds: float) -> None:
        self.taken_s.append(seconds)
        self._then()


def set_target(tree: Path, target_kib: int) -> None:
    (tree / DIRECTORY / "target_kb").write_text(f"{target_kib}\n")


def test_the_numbers_are_the_drivers_own(pv_guest: Path) -> None:
    balloon, statuses = read_xen_memory(SystemRoot(str(pv_guest)))
    assert balloon
    assert (balloon.current_kib, balloon.target_kib, balloon.ballooned_kib) == (
        524288, 524288, 524288,
    )  # fmt: skip
    assert balloon.target_bytes == 524288 * 1024
    assert balloon.scrub_pages is True
    assert set(statuses.values()) == {"ok"}


def test_delays_and_counts_are_hexadecimal(pv_guest: Path) -> None:
    """drivers/base/core.c prints DEVICE_ULONG_ATTR with %lx: 32 seconds read as 20."""
    (pv_guest / DIRECTORY / "schedule_delay").write_text("10\n")
    balloon, _ = read_xen_memory(SystemRoot(str(pv_guest)))
    assert balloon
    assert (balloon.schedule_delay_s, balloon.max_schedule_delay_s) == (16, 32)


@pytest.mark.parametrize(
    "attribute",
    ["schedule_delay", "retry_count", "max_retry_count", "scrub_pages", "target", "info/high_kb"],
)
def test_an_attribute_that_this_kernel_has_not_is_no_error(pv_guest: Path, attribute: str) -> None:
    (pv_guest / DIRECTORY / attribute).unlink()
    balloon, statuses = read_xen_memory(SystemRoot(str(pv_guest)))
    assert balloon
    assert balloon.ballooned_kib == 524288
    assert [name for name, status in statuses.items() if status == "absent"] == [
        f"balloon.{attribute.rpartition('/')[2]}"
    ]


def test_no_attribute_at_all_is_no_driver(quick_path: Path) -> None:
    assert read_xen_memory(SystemRoot(str(quick_path))) == (None, {"balloon": "absent"})


def test_a_settled_balloon_is_not_waited_for(pv_guest: Path) -> None:
    naps = Naps()
    balloon, _ = read_xen_memory(SystemRoot(str(pv_guest)), naps)
    assert balloon
    assert (balloon.motion, naps.taken_s) == ("still", [])


def test_a_balloon_off_its_target_is_watched_for_a_moment(pv_guest: Path) -> None:
    set_target(pv_guest, 786432)
    naps = Naps()
    balloon, _ = read_xen_memory(SystemRoot(str(pv_guest)), naps)
    assert balloon
    assert (balloon.motion, naps.taken_s) == ("still", [WATCH_FOR_MOTION_S])


def test_a_balloon_that_moved_while_it_was_watched_is_moving(pv_guest: Path) -> None:
    set_target(pv_guest, 786432)
    current = pv_guest / CURRENT
    balloon, _ = read_xen_memory(
        SystemRoot(str(pv_guest)), Naps(lambda: current.write_text("526336\n"))
    )
    assert balloon
    assert balloon.motion == "moved"


def test_a_capture_is_read_once_and_does_not_know_whether_it_moved(pv_guest: Path) -> None:
    set_target(pv_guest, 786432)
    balloon, _ = read_xen_memory(SystemRoot(str(pv_guest)))
    assert balloon
    assert balloon.motion == "unknown"


def test_numbers_of_two_moments_are_read_again_until_they_belong_together(pv_guest: Path) -> None:
    set_target(pv_guest, 786432)
    currents = chain([524288, 526336, 528384, 530432], repeat(530432))
    balloon, _ = read_xen_memory(MovingRoot(pv_guest, currents), Naps())
    assert balloon
    assert balloon.current_kib == 530432
    assert balloon.ballooned_kib == 1048576 - 530432
    assert balloon.read_while_moving is False


def test_a_balloon_that_never_stands_still_is_given_up_on_and_marked(pv_guest: Path) -> None:
    set_target(pv_guest, 1048576)
    root = MovingRoot(pv_guest, iter(range(524288, 1048576, 4)))
    balloon, _ = read_xen_memory(root, Naps())
    assert balloon
    assert balloon.read_while_moving
    assert balloon.motion == "moved"
    assert root.reads_of_current <= 2 * TRIES_FOR_A_QUIET_MOMENT + 2


def test_a_moving_guest_is_said_to_move_and_nothing_is_called_unexplained(pv_guest: Path) -> None:
    set_target(pv_guest, 1048576)
    (pv_guest / "xenstore/memory/target").write_text("1048576")
    root = MovingRoot(pv_guest, iter(range(524288, 1048576, 2048)))
    snapshot = gather(root, CapturedKeys(root), Origin("live", "a test"), Naps())
    assessment = assess(snapshot)
    assert assessment.situation.state == "moving"
    assert assessment.situation.reconciliation.unexplained_kib == 0
    assert assessment.verdict == "ok"


class CountingRoot(SystemRoot):
    """Counts what is read."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.reads = 0

    def read(self, relative: str, limit_bytes: int = 4096) -> Outcome[str]:
        self.reads += 1
        return super().read(relative, limit_bytes)


def set_files(tree: Path, **contents: str) -> None:
    for name, content in contents.items():
        path = tree / DIRECTORY / name
        if not path.exists():
            path = tree / DIRECTORY / "info" / name
        path.write_text(f"{content}\n")


@pytest.mark.parametrize(
    "contents",
    [
        {},
        {"current_kb": "520192", "target_kb": "520192", "target": "532676608", "low_kb": "528384"},
        {"current_kb": "520192"},
        {"target_kb": "393216", "target": "402653184"},
        {"target_kb": "393216", "target": "402653184", "retry_count": "3", "schedule_delay": "4"},
        {"current_kb": "nonsense"},
        {"low_kb": "nonsense"},
    ],
    ids=["as before", "moved", "moving", "asked", "refused", "no number", "no balloon"],
)
def test_a_hurried_look_finds_what_a_whole_one_finds(
    pv_guest: Path, contents: dict[str, str]
) -> None:
    root = SystemRoot(str(pv_guest))
    known, statuses = read_xen_memory(root)
    assert known
    set_files(pv_guest, **contents)
    whole, whole_statuses = read_xen_memory(root)
    hurried, hurried_statuses = refresh_xen_memory(root, known, statuses)
    assert whole
    if "current_kb" in contents and "target_kb" in contents:
        whole = whole._replace(target_bytes=None)  # target_kb again, and not read
    assert hurried == whole
    assert hurried_statuses == whole_statuses


def test_a_hurried_look_at_a_balloon_at_rest_opens_half_the_files(pv_guest: Path) -> None:
    root = CountingRoot(pv_guest)
    known, statuses = read_xen_memory(root)
    assert known
    whole, root.reads = root.reads, 0
    refresh_xen_memory(root, known, statuses)
    assert root.reads <= whole / 2


def test_a_balloon_that_was_refused_lately_is_looked_at_whole(pv_guest: Path) -> None:
    root = SystemRoot(str(pv_guest))
    known, statuses = read_xen_memory(root)
    assert known
    hurried, _ = refresh_xen_memory(root, known._replace(retry_count=3), statuses)
    assert hurried == known
