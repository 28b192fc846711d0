# SPDX-License-Identifier: GPL-2.0-or-later
"""Tells the demonstration on a real Xen from what the scenarios of scenarios/demo.py recorded:

squeezed.svg, grown.svg   each story, without the agent and with it side by side
samples.csv               every second of every guest, as dom0 and the guest itself saw it
demonstration.json        the figures, the events, and what it was made with
"""

import csv
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sim_backend import chart
from tests.xenlab.errors import LabError
from tests.xenlab.recorded import COLUMNS, Recorded, load
from tests.xenlab.results import FILE as RESULTS

STORIES: Final = {
    "squeezed": (
        "The host asks for more than the guest can give",
        "A guest has 512 MiB, and its workload uses 300 MiB of them all the time.",
        "Without the agent the workload is killed, and the host still does not get its memory.",
        "With it nothing is killed, and the host is told how far it may go.",
    ),
    "grown": (
        "The host gives, and Debian 11 does not take",
        "A guest with Linux 5.10 has 512 MiB of 1024; the host gives it more.",
        "Without the agent the command is lost, without an error.",
        "With it the memory is in use a moment later.",
    ),
}
KERNELS: Final = {"squeezed": "bookworm", "grown": "bullseye"}
"""Whose kernel a story's guests run."""
SIDES: Final = {"without": "without the agent", "with": "with the agent"}
LABEL: Final = 36
COLUMN: Final = 22


def tell(folder: Path, into: Path) -> Iterator[str]:
    """Draw and write everything of a run; yield the story line by line."""
    results = json.loads((folder / RESULTS).read_text())
    made_with = {
        "xen": results["xen"],
        "kernels": results["kernels"],
        "commit": results.get("commit"),
        "day": time.strftime("%Y-%m-%d", time.gmtime(results["started"])),
    }
    into.mkdir(parents=True, exist_ok=True)
    told: dict[str, Any] = {"schema": 1, **made_with, "runs": {}}
    rows: list[list[object]] = []
    for number, (name, (title, setting, *moral)) in enumerate(STORIES.items(), 1):
        runs = {side: _load(folder, f"demo-{name}-{side}") for side in SIDES}
        (into / f"{name}.svg").write_text(draw(name, runs, made_with))
        for side, run in runs.items():
            told["runs"][f"{name}-{side}"] = run.figures() | {"events": run.events()}
            rows += ([f"{name}-{side}", *row] for row in run.rows())
        yield from ("", f"{number}. {title}", f"   {setting}", "", _row("", *SIDES.values()))
        yield from table(*runs.values())
        yield from ("", *(f"   {line}" for line in moral))
    (into / "demonstration.json").write_text(json.dumps(told, indent=1) + "\n")
    with (into / "samples.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["run", *COLUMNS], *rows])
    kernels = ", ".join(made_with["kernels"].values())
    yield ""
    yield f"Seen on {made_with['day']} with Xen {made_with['xen']}, Linux {kernels},"
    yield f"commit {made_with['commit']}. Plots and samples:"
    yield f"  {into}"


def _load(folder: Path, scenario: str) -> Recorded:
    """The record of a scenario, whichever machine played it."""
    found = sorted(folder.glob(f"machine-*/share/kept/{scenario}/record.json"))
    if not found:
        raise LabError(f"{scenario} left no record in {folder}")
    return load(found[-1])


def draw(name: str, runs: dict[str, Recorded], made_with: dict[str, Any]) -> str:
    """Both sides of a story in one picture, with the same axis."""
    title = STORIES[name][0]
    ceiling = max(run.highest_mib() for run in runs.values()) * chart.ROOM
    note = f"real: Xen {made_with['xen']}, Linux {made_with['kernels'][KERNELS[name]]}"
    charts = [run.chart(f"{title}: {SIDES[side]}", note, ceiling) for side, run in runs.items()]
    return chart.svg(charts, f"{title}, without the agent and with it, on a real Xen")


def table(without: Recorded, with_agent: Recorded) -> Iterator[str]:
    """The figures of both sides beside each other."""
    one, other = without.figures(), with_agent.figures()
    labels = {
        "asked_mib": "the host asks for",
        "lowest_mib": "the least the guest had",
        "in_the_end_mib": "it has in the end",
        "killed_after_s": "the workload is killed",
        "ended_after_s": "it ends by itself",
        "stalled_percent": "stalled, the worst 10 s",
        "first_floor_mib": "the host is told how far, first",
        "held_floor_mib": "  ... while the workload runs",
        "last_floor_mib": "  ... in the end",
    }
    for key, label in labels.items():
        if one[key] is not None or other[key] is not None:
            yield _row(label, _value(key, one[key]), _value(key, other[key]))


def _value(key: str, value: float | None) -> str:
    if value is None:
        return "nothing" if key.endswith("_mib") else "no"
    if key.endswith("_mib"):
        return f"{value:.0f} MiB"
    if key.endswith("_s"):
        return f"after {value:.0f} s"
    return f"{value:.0f} %"


def _row(label: str, of_one: str, of_other: str) -> str:
    return f"   {label:<{LABEL}}{of_one:>{COLUMN}}{of_other:>{COLUMN}}".rstrip()
