# SPDX-License-Identifier: GPL-2.0-or-later
"""What balloon-agent costs, measured in one run: `make bench`.

    python3 -m tests.bench                everything, to read; some minutes
    python3 -m tests.bench --markdown     what has a limit or is a ratio, as Markdown
    python3 -m tests.bench --readme       writes it into docs/cost.md
    python3 -m tests.bench --looks 10000 --events 100000    with fewer of them, to be done sooner

What needs Debian's real xenstored is "not measured" without it; `make xenstored` fetches it.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench import events, idle, memory, reaction, simulated_day, status_speed, ticks, waking
from tests.bench.rows import Row
from tests.support.xenstored.daemon import XenstoredMissing

TOP: Final = Path(__file__).parents[2]
BEGIN: Final = "<!-- cost: made by python3 -m tests.bench --readme -->"
END: Final = "<!-- cost: end -->"
MISSED: Final = "(missed)"
BUSY: Final = 1.5  # load per core from which a time says more of the machine than of the agent


class Measurement(NamedTuple):
    """A group of rows below one name; `timed` by the clock on the wall, which others slow."""

    name: str
    rows: Callable[[], list[Row]]
    timed: bool = False


class Line(NamedTuple):
    """A row in words."""

    what: str
    value: str
    wanted: str


def measurements(looks: int = ticks.TICKS, heard: int = events.EVENTS) -> tuple[Measurement, ...]:
    """Everything there is to measure, with that many looks, and events heard."""
    simulated = partial(reaction.rows, "published", 60)
    return (
        Measurement("start", status_speed.rows, timed=True),
        Measurement("daemon at rest", memory.rows),
        Measurement("daemon that never rests", memory.loaded_rows),
        Measurement("reaction from rest", waking.rows, timed=True),
        Measurement("reaction to the host", reaction.rows, timed=True),
        Measurement("reaction in the published simulation", simulated, timed=True),
        Measurement("idle for 30 s", idle.rows),
        Measurement(f"{looks:,} looks", partial(ticks.rows, looks)),
        Measurement(f"{heard:,} watch events", partial(events.rows, heard)),
        Measurement("simulation", simulated_day.rows),
    )


MEASUREMENTS: Final = measurements()


def measured(
    of: Iterable[Measurement] | None = None, *, quiet_only: bool = False
) -> Iterator[Line]:
    """Every line, as soon as it is known; `quiet_only`: no times while others keep it busy."""
    for measurement in MEASUREMENTS if of is None else of:
        if quiet_only and measurement.timed and load() > BUSY * cores():
            busy = f"not measured: the machine was busy (load {load():.0f}, {cores()} cores)"
            yield Line(measurement.name, busy, "")
            continue
        try:
            rows = measurement.rows()
        except XenstoredMissing:
            yield Line(measurement.name, "not measured: run `make xenstored` first", "")
            continue
        except TimeoutError:
            yield Line(measurement.name, "not measured: this machine is too busy", "")
            continue
        yield from (in_words(measurement.name, row) for row in rows)


def in_words(name: str, row: Row) -> Line:
    """A figure with its unit; a ratio counts times."""
    number = f"{row.value:,.0f}" if abs(row.value) >= 1000 else f"{row.value:.3g}"
    unit = row.unit or ("times" if " / " in row.what else "")
    wanted = "" if row.wanted is None else f"at most {row.wanted:g}" if row.wanted else "0"
    missed = "" if row.is_good else f" {MISSED}"
    return Line(f"{name}: {row.what}", f"{number} {unit}".rstrip() + missed, wanted)


def load() -> float:
    """How many were running or waiting to, over the last minute."""
    return os.getloadavg()[0]


def cores() -> int:
    """Processors of this machine."""
    return os.cpu_count() or 1


def circumstances() -> str:
    """Which machine, how busy, and which commit."""
    machine = f"{processor()} ({cores()} cores, load {load():.0f})"
    return (
        f"{machine}, Linux {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}, {commit()}"
    )


def processor() -> str:
    """Its name, as Linux knows it."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def commit() -> str:
    """The commit that is measured; changes beside it are named."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty=, with changes"],
            cwd=TOP,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "not from a git repository"
    return f"commit {said.stdout.strip()}"


def markdown(rows: Iterable[Line]) -> Iterator[str]:
    """The lines of the table, as soon as they are known, and what it was measured on."""
    where = circumstances()  # before: the tree may change while this measures
    yield "| | measured | wanted |"
    yield "|---|---|---|"
    for row in rows:
        if is_telling(row):
            yield f"| {row.what} | {row.value} | {row.wanted} |"
    yield ""
    yield f"Measured by `make bench` on {where}."


def is_telling(row: Line) -> bool:
    """Whether it belongs on the label: what has a limit, or is a ratio, or was not measured."""
    return (
        bool(row.wanted) or any(word in row.what for word in (" / ", "map")) or ":" not in row.what
    )


def into_readme(table: str, file: Path = TOP / "docs" / "cost.md") -> None:
    """Put the table in the place of the one that is there."""
    text = file.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    file.write_text(f"{before}{BEGIN}\n{table}{END}{after}", encoding="utf-8")


def main() -> int:
    """Measure and print; 1 where a limit is passed, unless it is for the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    parser.add_argument("--readme", action="store_true", help="write the table into docs/cost.md")
    parser.add_argument("--looks", type=int, default=ticks.TICKS, metavar="COUNT")
    parser.add_argument("--events", type=int, default=events.EVENTS, metavar="COUNT")
    options = parser.parse_args()
    if options.readme or options.markdown:
        table = []
        for line in markdown(measured(quiet_only=True)):
            print(line, flush=True)
            table.append(f"{line}\n")
        if options.readme:
            into_readme("".join(table))
        return 0
    print(circumstances())
    missed = False
    for row in measured(measurements(options.looks, options.events)):
        missed = missed or row.value.endswith(MISSED)
        wanted = f"  ({row.wanted})" if row.wanted else ""
        print(f"  {row.what.replace('`', ''):<58} {row.value}{wanted}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
