# SPDX-License-Identifier: GPL-2.0-or-later
"""What the one file costs beside the installed wheel: its start, and its daemon's memory.

    make onefile wheel
    python3 -m venv V && V/bin/pip install dist/balloon_agent-*.whl
    python3 -m tests.bench.one_file V dist/balloon-agent.pyz [--pairs 20] [--check]

The environment's Python runs both, in turn, so that both see the same load. Medians count.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from tests import captures
from tests.bench.daemon_under_test import rollup_kib
from tests.bench.memory import SETTLING_S
from tests.bench.rows import Row, tell
from tests.support.published_domain import published

GUEST: Final = "pv-512-1024/boot"
MOST_TIMES_START: Final = 1.5
MOST_TIMES_MEMORY: Final = 1.1
PATIENCE_S: Final = 60.0
STATUS: Final = "run/balloon-agent/status.json"


def start_s(program: Sequence[str], root: Path) -> float:
    """The time of one `status --json`."""
    began = time.perf_counter()
    words = [*program, "--root", str(root), "status", "--json"]
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def private_kib(program: Sequence[str]) -> int:
    """What a daemon that rests has for itself."""
    with published("balloon-up") as there:
        words = ["--root", str(there.root), "--xenstore", there.xenstore, "run"]
        with subprocess.Popen([*program, *words, "--config", os.devnull]) as daemon:
            until_s = time.monotonic() + PATIENCE_S
            while not (there.root / STATUS).exists():
                assert time.monotonic() < until_s, "no status"
                time.sleep(0.1)
            time.sleep(SETTLING_S)
            found = rollup_kib(daemon.pid)
            daemon.terminate()
    return found["Private_Clean"] + found["Private_Dirty"]


def rows(environment: Path, one_file: Path, pairs: int) -> list[Row]:
    """The one file beside the wheel that is installed in the environment."""
    python = str(environment / "bin" / "python")
    wheel = (python, "-I", str(environment / "bin" / "balloon-agent"))
    file = (python, "-I", str(one_file))
    with tempfile.TemporaryDirectory() as directory:
        root = captures.load(GUEST).write_to(Path(directory))
        times = [(start_s(wheel, root), start_s(file, root)) for _ in range(pairs + 1)][1:]
    memory = [(private_kib(wheel), private_kib(file)) for _ in range(max(1, pairs // 5))]
    wheel_s, file_s = (median(column) for column in zip(*times))
    wheel_kib, file_kib = (median(column) for column in zip(*memory))
    return [
        Row("start of the one file / of the wheel", file_s / wheel_s, MOST_TIMES_START),
        Row("start of the wheel", wheel_s * 1000, None, "ms"),
        Row("daemon's private memory / of the wheel's", file_kib / wheel_kib, MOST_TIMES_MEMORY),
        Row("of the wheel's", wheel_kib, None, "KiB"),
    ]


def main() -> int:
    """Measure and print; 1 if a limit is passed and it is to be checked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.one_file", description=__doc__)
    parser.add_argument("environment", type=Path)
    parser.add_argument("one_file", type=Path)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    python = given.environment / "bin" / "python"
    version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True)
    title = f"one file, {version.stdout.strip()}"
    return tell(title, rows(given.environment, given.one_file, given.pairs))


if __name__ == "__main__":
    sys.exit(main())
