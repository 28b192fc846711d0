# SPDX-License-Identifier: GPL-2.0-or-later
"""Fuzzes the targets, one on each processor, each in a process of its own and for a bounded time.

With atheris installed the fuzzer is guided by coverage; without, the kept corpus is mutated at
random.  At the end inputs are grown, and what takes time with their square is told; and some
schedules of a host's are played against mode guard (`tests.fuzz.guard`).  An input that breaks a
target is written to tests/fuzz/found/ and ends the run with status 1; corrected, it belongs into
tests/corpus/TARGET/, under a name that says what is odd.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tests.fuzz.one import GUIDED
from tests.fuzz.targets import TARGETS

_GUARD_RUNS: Final = 25


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="*", help=f"of {', '.join(TARGETS)}; all without one")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each target (default: 5)")
    parser.add_argument("--inputs", type=int, default=0, help="over all targets; not by time then")
    parser.add_argument("--seed", type=int, default=0, help="of chance; 0: another every time")
    arguments = parser.parse_args()
    unknown = set(arguments.target) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    print("guided by coverage (atheris)" if GUIDED else "random mutations (atheris: not installed)")
    seed = arguments.seed or random.SystemRandom().getrandbits(31)
    names = arguments.target or list(TARGETS)
    inputs = -(-arguments.inputs // len(names))
    with ThreadPoolExecutor(os.cpu_count()) as side_by_side:
        held = side_by_side.map(lambda n: run_apart(n, arguments.seconds, inputs, seed), names)
        broken = [name for name, whole in zip(names, held) if not whole]
    if not arguments.target and not grows_in_proportion(arguments.seconds, seed):
        broken.append("growth")
    if not arguments.target and not guards(seed):
        broken.append("guard")
    return 1 if broken else 0


def run_apart(name: str, seconds: float, inputs: int, seed: int) -> bool:
    """One target in a fresh interpreter; whether it held."""
    return _runs(name, ["tests.fuzz.one", name, str(seconds), str(inputs), str(seed)])


def grows_in_proportion(seconds: float, seed: int) -> bool:
    """Whether no input that is grown takes time with the square of its size."""
    return _runs("growth", ["tests.fuzz.growth", str(seconds), str(seed)])


def guards(seed: int) -> bool:
    """Whether mode guard keeps its promise in as many schedules as take some seconds."""
    words = ["tests.fuzz.guard", "--runs", str(_GUARD_RUNS), "--first", str(seed)]
    return _runs("guard", words)


def _runs(name: str, words: list[str]) -> bool:
    """A module in a fresh interpreter; whether it held."""
    begin_s = time.monotonic()
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    held = done.returncode == 0
    outcome = "held" if held else "BROKEN"
    took_s = time.monotonic() - begin_s
    print(f"{name:18} {outcome} {took_s:6.1f} s  {done.stdout.strip()}", flush=True)
    if not held:
        print(done.stderr[-4000:], file=sys.stderr)
    return held


if __name__ == "__main__":
    sys.exit(main())
