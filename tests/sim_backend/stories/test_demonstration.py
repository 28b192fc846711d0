# SPDX-License-Identifier: GPL-2.0-or-later
"""The demonstration holds what its words promise, and says that it is simulated."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.core.facts.units import format_kib
from agent.core.policy.guard import DEAD_BAND_KIB
from sim_backend.stories.demonstration import NOTICE, PARTS, Told, play, story_lines

MIB = 1024


@cache
def played() -> dict[str, Told]:
    return {told.part.name: told for told in play()}


def kinds(told: Told, *, with_agent: bool) -> set[str]:
    return {event.kind for event in (told.with_agent if with_agent else told.without).events}


def test_without_the_agent_the_workload_dies_and_the_host_does_not_get_its_memory() -> None:
    told = played()["shrink"]
    last = told.without.samples[-1]
    assert "oom-kill" in kinds(told, with_agent=False)
    assert last.host_target_kib == 200 * MIB
    assert last.current_kib > 400 * MIB


def test_with_it_nothing_dies_and_the_host_is_told_how_far_it_may_go() -> None:
    told = played()["shrink"]
    first, final = told.floors_kib[0], told.floors_kib[-1]
    assert "oom-kill" not in kinds(told, with_agent=True)
    assert max(sample.pressure for sample in told.with_agent.samples) < 1.0
    assert 200 * MIB < final <= first < 512 * MIB
    assert told.with_agent.samples[-1].current_kib - final < DEAD_BAND_KIB


def test_memory_that_is_lost_without_the_agent_arrives_with_it() -> None:
    told = played()["grow"]
    assert told.without.samples[-1].current_kib == 512 * MIB
    assert told.with_agent.samples[-1].current_kib == 768 * MIB
    assert told.with_agent.samples[-1].available_kib > told.without.samples[-1].available_kib


@pytest.mark.parametrize("name", [part.name for part in PARTS])
def test_a_story_fits_a_terminal_and_names_the_killed(name: str) -> None:
    lines = list(story_lines(played()[name], 1))
    assert max(map(len, lines)) <= 92
    killed = next(line for line in lines if line.lstrip().startswith("killed")).split()
    assert (killed[1] == "the") is (name == "shrink")


def test_the_command_writes_four_plots_and_all_it_shows_is_marked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "a" / "b"
    assert main(["simulate", "--demo", str(directory)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("SIMULATED")
    assert NOTICE[1] in shown
    files = sorted(directory.iterdir())
    assert len(files) == 4
    for file in files:
        assert ">SIMULATED<" in file.read_text(encoding="utf-8")
        assert str(file) in shown


def test_a_place_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    below = file / "below"
    assert main(["simulate", "--demo", str(below)]) == 73
    assert capsys.readouterr().err.startswith(f"balloon-agent: {below} could not be written: ")


def test_the_readme_tells_the_same_figures() -> None:
    text = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith("| a ") and "mem-set" in line]
    shrink, grow = played()["shrink"], played()["grow"]
    assert len(table) == 2
    assert format_kib(shrink.without.samples[-1].current_kib) in table[0]
    assert f"no further than {format_kib(shrink.floors_kib[-1])}" in table[0]
    assert f"still {format_kib(grow.without.samples[-1].current_kib)}" in table[1]
    assert f"| {format_kib(grow.with_agent.samples[-1].current_kib)} (" in table[1]
