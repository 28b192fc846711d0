# SPDX-License-Identifier: GPL-2.0-or-later
"""Tells the demonstration on a real Xen from what the scenarios of scenarios/demo.py recorded.

    squeezed.svg, grown.svg   each story, without the agent and with it side by side
    samples.csv               every second or two of every guest, as dom0 and the guest saw it
    demonstration.json        the same with events, figures, and what it was made with

The last one is enough to draw and tell everything again; that of a run to be shown in the documents
is kept as last-demonstration.json.
"""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sim_backend.stories import chart
from tests.xenlab import paths
from tests.xenlab.errors import LabError
from tests.xenlab.recorded import COLUMNS, Recorded, from_object, load
from tests.xenlab.results import FILE as RESULTS

SCHEMA: Final = 1
FILE: Final = "demonstration.json"
STORIES: Final = {
    "squeezed": (
        "The host asks for more than the guest can give",
        "A guest has 512 MiB, and its workload uses 300 to 320 of them all the time.",
        "Without the agent the workload is killed; what it leaves is the host's.",
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
FIGURES: Final = {
    "asked_mib": "the host asks for",
    "lowest_mib": "the least the guest had",
    "in_the_end_mib": "it has in the end",
    "killed_after_s": "the workload is killed",
    "ended_after_s": "the workload ends by itself",
    "stalled_percent": "stalled, the worst 10 s",
    "first_floor_mib": "the host reads how far, before",
    "held_floor_mib": "  ... while the workload runs",
    "last_floor_mib": "  ... in the end",
}
LABEL: Final = 36
COLUMN: Final = 22


def collect(folders: Sequence[Path]) -> dict[str, Any]:
    """Gather what runs left in their folders; of a scenario played twice the later one counts.

    Raises:
        LabError: a scenario left no record.
    """
    results = [json.loads((folder / RESULTS).read_text()) for folder in folders]
    last = results[-1]
    return {
        "schema": SCHEMA,
        "xen": last["xen"],
        "kernels": {suite: v for found in results for suite, v in found["kernels"].items()},
        "commit": ", ".join(dict.fromkeys(str(found.get("commit")) for found in results)),
        "day": time.strftime("%Y-%m-%d", time.gmtime(last["started"])),
        "runs": {
            f"{story}-{side}": _record(folders, f"demo-{story}-{side}").as_object()
            for story in STORIES
            for side in SIDES
        },
    }


def _record(folders: Sequence[Path], scenario: str) -> Recorded:
    """What was recorded of a scenario, whichever machine played it."""
    record = f"machine-*/share/kept/{scenario}/record.json"
    found = [path for folder in folders for path in sorted(folder.glob(record))]
    if not found:
        raise LabError(f"{scenario} left no record in {', '.join(map(str, folders))}")
    return load(found[-1])


def write(told: Mapping[str, Any], into: Path) -> None:
    """Write plots, samples and figures."""
    into.mkdir(parents=True, exist_ok=True)
    for name in STORIES:
        (into / f"{name}.svg").write_text(picture(told, name))
    with (into / "samples.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["run", *COLUMNS])
        for run, record in told["runs"].items():
            writer.writerows([run, *moment] for moment in record["moments"])
    (into / FILE).write_text(json_text(told))


def keep(told: Mapping[str, Any]) -> None:
    """Make it the one that the documents show."""
    paths.LAST_DEMONSTRATION.write_text(json_text(told))
    for name in STORIES:
        (paths.PICTURES / f"xen-{name}.svg").write_text(picture(told, name))


def json_text(told: Mapping[str, Any]) -> str:
    """Return it as JSON with a sample a line, so that versions of it can be compared."""
    packed = json.dumps(told, indent=1)
    return re.sub(r"\[\s+([^\[\]{}]+?)\s+\]", _in_one_line, packed) + "\n"


def _in_one_line(found: re.Match[str]) -> str:
    return f"[{', '.join(part.strip() for part in found[1].split(','))}]"


def picture(told: Mapping[str, Any], name: str) -> str:
    """Draw both sides of a story, with the same axis."""
    title = STORIES[name][0]
    runs = _sides(told, name)
    ceiling = max(run.highest_mib() for run in runs.values()) * chart.ROOM
    note = f"real: Xen {told['xen']}, Linux {told['kernels'][KERNELS[name]]}"
    charts = [run.chart(f"{title}: {SIDES[side]}", note, ceiling) for side, run in runs.items()]
    return chart.svg(charts, f"{title}, without the agent and with it, on a real Xen")


def story_lines(told: Mapping[str, Any]) -> Iterator[str]:
    """Tell all of it, line by line."""
    for number, (name, (title, setting, *moral)) in enumerate(STORIES.items(), 1):
        yield from (f"{number}. {title}", f"   {setting}", "")
        yield from table_lines(told, name)
        yield from ("", *(f"   {line}" for line in moral), "")
    kernels = ", ".join(told["kernels"][suite] for suite in sorted({*KERNELS.values()}))
    yield f"Seen on {told['day']}: Xen {told['xen']}, Linux {kernels}, commit {told['commit']}."


def table_lines(told: Mapping[str, Any], name: str) -> Iterator[str]:
    """The figures of both sides beside each other."""
    one, other = (run.figures() for run in _sides(told, name).values())
    yield _row("", *SIDES.values())
    for key, label in FIGURES.items():
        if one[key] is not None or other[key] is not None:
            yield _row(label, _value(key, one[key]), _value(key, other[key]))


def _sides(told: Mapping[str, Any], name: str) -> dict[str, Recorded]:
    return {side: from_object(told["runs"][f"{name}-{side}"]) for side in SIDES}


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
