# SPDX-License-Identifier: GPL-2.0-or-later
"""What the demonstration makes of records, tested without Xen."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.xenlab.demonstration import FILE, SIDES, STORIES, collect, story_lines, write
from tests.xenlab.recorded import load

MIB = 1024


def record(*, floor_mib: int | None, ends_with: str, has_mib: int) -> dict[str, Any]:
    """Twenty seconds: asked after 4 s, the guest silent from 8 s on, over after 12 s."""
    host = [
        {
            "at": 1000.0 + second,
            "target_kib": (512 if second < 4 else 200) * MIB,
            "has_mib": 512 if second < 5 else has_mib,
            "floor_kib": None if floor_mib is None else floor_mib * MIB,
        }
        for second in range(20)
    ]
    guest = [
        {
            "at": 1000.5 + second,
            "current_kib": 512 * MIB,
            "target_kib": 512 * MIB,
            "available_kib": 90 * MIB,
            "stalled_percent": 2.0 * second,
        }
        for second in range(8)
    ]
    events = [{"at": 1004.0, "text": "xl mem-set 200"}, {"at": 1012.0, "text": ends_with}]
    return {"host": host, "guest": guest, "events": events}


def a_run(folder: Path) -> Path:
    results: dict[str, Any] = {"xen": "4.17", "commit": "abc", "started": 0}
    results["kernels"] = {"bookworm": "6.1.0", "bullseye": "5.10.0"}
    (folder / "results.json").write_text(json.dumps(results))
    sides = {
        "without": record(floor_mib=None, ends_with="the OOM killer acts", has_mib=430),
        "with": record(floor_mib=420, ends_with="the workload ends by itself", has_mib=420),
    }
    for story in STORIES:
        for side in SIDES:
            kept = folder / "machine-1/share/kept" / f"demo-{story}-{side}"
            kept.mkdir(parents=True)
            (kept / "record.json").write_text(json.dumps(sides[side]))
    return folder


def test_a_guest_that_does_not_answer_leaves_a_gap_not_its_last_word(tmp_path: Path) -> None:
    run = load(a_run(tmp_path) / "machine-1/share/kept/demo-squeezed-without/record.json")
    known = [moment.when_s for moment in run.moments if moment.available_kib is not None]
    assert (min(known), max(known)) == (1.0, 11.0)


def test_the_figures_are_those_of_the_record(tmp_path: Path) -> None:
    run = load(a_run(tmp_path) / "machine-1/share/kept/demo-squeezed-with/record.json")
    figures = run.figures()
    assert figures["asked_mib"] == 200
    assert figures["in_the_end_mib"] == figures["held_floor_mib"] == 420
    assert figures["killed_after_s"] is None
    assert figures["ended_after_s"] == 8.0
    assert figures["stalled_percent"] == 14.0


def test_a_story_is_drawn_written_and_told(tmp_path: Path) -> None:
    into = tmp_path / "plots"
    (tmp_path / "run").mkdir()
    told = collect([a_run(tmp_path / "run")])
    write(told, into)
    lines = list(story_lines(told))
    assert max(map(len, lines)) <= 92
    assert lines == list(story_lines(json.loads((into / FILE).read_text())))
    assert any(line.split()[-3:] == ["after", "8", "s"] for line in lines), lines
    for story in STORIES:
        drawing = ElementTree.parse(into / f"{story}.svg").getroot()
        texts = "".join(drawing.itertext())
        assert "without the agent" in texts
        assert "floor, as dom0 reads it" in texts
        assert "SIMULATED" not in texts
    rows = list(csv.DictReader((into / "samples.csv").read_text().splitlines()))
    assert len(rows) == 20 * 2 * len(STORIES)
    assert {row["run"] for row in rows} == {f"{s}-{side}" for s in STORIES for side in SIDES}
