# SPDX-License-Identifier: GPL-2.0-or-later
"""How long `status` takes beside Python's own start, as a ratio that holds on any machine.

    python3 -m tests.bench.status_speed [--pairs 20] [--check]

Each command is run in turn with a bare `python3 -I -c pass`, so that both see the same load; what
counts are medians.  `--check` ends with 1 when a limit is passed.  The last line is the time to
read a firmware map of 10,000 entries, once, in this process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from agent.sources.firmware_memmap import DIRECTORY, read_firmware_memmap
from agent.sources.system_root import SystemRoot
from tests import captures
from tests.bench.rows import Row

TOP: Final = Path(__file__).parents[2]
GUEST: Final = "pv-512-1024/boot"
BARE: Final = (sys.executable, "-I", "-c", "pass")
ENTRIES: Final = 10_000


class Limit(NamedTuple):
    """A command and how many times a bare start it may take."""

    words: tuple[str, ...]
    times: float


LIMITS: Final = (Limit(("status", "--json"), 8.0), Limit(("status",), 12.0))


def seconds(command: tuple[str, ...], *, warns: bool = False) -> float:
    """The time one run takes, from its start to its end; `warns`: it may end in 1."""
    began = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
    if done.returncode not in (0, int(warns)):
        raise subprocess.CalledProcessError(done.returncode, command)
    return time.perf_counter() - began


def ratio(words: tuple[str, ...], pairs: int) -> tuple[float, float, float]:
    """Medians of the command and of a bare start in seconds, and their ratio."""
    command = (sys.executable, "-m", "agent", *words)
    times = [(seconds(BARE), seconds(command)) for _ in range(pairs + 1)][1:]  # the first warms up
    bare_s, command_s = (median(column) for column in zip(*times))
    return command_s, bare_s, command_s / bare_s


def large_map_s(directory: Path) -> float:
    """The time to read a map of `ENTRIES` entries."""
    for number in range(ENTRIES):
        entry = directory / DIRECTORY / str(number)
        entry.mkdir(parents=True)
        (entry / "start").write_text(f"{number << 13:#x}\n")
        (entry / "end").write_text(f"{(number << 13) + 0xFFF:#x}\n")
        (entry / "type").write_text("System RAM\n")
    began = time.perf_counter()
    found = read_firmware_memmap(SystemRoot(str(directory))).value
    assert found is not None
    assert len(found.regions) == ENTRIES
    return time.perf_counter() - began


def memory_ratio(words: tuple[str, ...]) -> tuple[float, int]:
    """The most memory that a command has resident, as a ratio to a bare start, and in KiB."""
    bare_kib = most_resident_kib("")
    command_kib = most_resident_kib(f"from agent.cli.main import main; main({list(words)!r})")
    return command_kib / bare_kib, command_kib


def most_resident_kib(code: str) -> int:
    """The peak of an interpreter's resident memory, as it reads it itself when it is done.

    Not wait4(2)'s: that begins with what this process had when it forked.
    """
    tell = "import sys; print(open('/proc/self/status').read(), file=sys.stderr)"
    said = subprocess.run(
        (sys.executable, "-c", f"{code}\n{tell}"),
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    return next(int(line.split()[1]) for line in said.splitlines() if line.startswith("VmHWM"))


def rows() -> list[Row]:
    """Start, memory and a large map."""
    found = []
    with tempfile.TemporaryDirectory() as directory:
        guest = captures.load(GUEST).write_to(Path(directory, "guest"))
        for limit in LIMITS:
            words = ("--root", str(guest), *limit.words)
            command_s, _, times = ratio(words, 20)
            name = " ".join(limit.words)
            found.append(Row(f"`{name}` / bare python", times, limit.times))
            found.append(Row(f"`{name}`, start to end", command_s * 1000, None, "ms"))
        times, kib = memory_ratio(("--root", str(guest), "status"))
        found.append(Row("`status`, most resident / bare python", times))
        found.append(Row("`status`, most resident", kib, None, "KiB"))
        map_s = large_map_s(Path(directory, "map"))
        found.append(Row(f"a map of {ENTRIES:,} entries", map_s * 1000, None, "ms"))
    return found


def main() -> int:
    """Measure and print; 1 if `--check` finds a limit passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    passed = True
    with tempfile.TemporaryDirectory() as directory:
        guest = captures.load(GUEST).write_to(Path(directory, "guest"))
        for limit in LIMITS:
            words = ("--root", str(guest), *limit.words)
            command_s, bare_s, times = ratio(words, options.pairs)
            passed = passed and times <= limit.times
            print(
                f"{' '.join(limit.words):<14} {command_s * 1000:6.0f} ms  "
                f"bare {bare_s * 1000:4.0f} ms  ratio {times:4.1f}  limit {limit.times:.0f}"
            )
        map_s = large_map_s(Path(directory, "map"))
        print(f"map of {ENTRIES} entries: {map_s * 1000:.0f} ms")
    return 1 if options.check and not passed else 0


if __name__ == "__main__":
    sys.exit(main())
