# SPDX-License-Identifier: GPL-2.0-or-later
"""Breaks the core in small ways, drawn at random, and tells whether a test notices each.

    python3 -m tests.mutants [COUNT] [--seed N] [--from N]

In a copy of the tree, in which every test passes before; this one stays as it is.  Each kind of
break has its turn.  What no test
notices either wants one, or changes nothing that could be seen: then the code can be simpler.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice, zip_longest
from pathlib import Path
from typing import Final, NamedTuple

from tests.mutants.breaks import KINDS, Break, breaks_of, is_another_program
from tests.support.copied_tree import TOP, copied_tree

CORE: Final = "agent/core"
PATIENCE_S: Final = 600.0
TELLING: Final = (
    "tests/core/findings/test_what_is_said.py",
    "tests/core/policy/test_what_is_decided.py",
    "tests/core/policy/test_what_is_remembered.py",
    "tests/report/test_whole_guests.py",
)
OF_ALL: Final = ("tests/core", "tests/report", "tests/captures", "tests/cases", "tests/sources")
BESIDE: Final = {
    "policy": ("tests/daemon",),
    "host": ("tests/cli/test_host_walk.py", "tests/cli/test_host.py"),
}
ALSO: Final = ("tests/cli/test_every_finding.py", "tests/cli/test_plan.py", "tests/fixes")


class Drawn(NamedTuple):
    """A break of one file."""

    file: str
    one: Break


def drawn(seed: int, count: int) -> list[Drawn]:
    """`count` of them, of each kind about as many; always the same for a seed and a tree."""
    of_kind: dict[str, list[Drawn]] = {kind: [] for kind in KINDS}
    for path in sorted((TOP / CORE).rglob("*.py")):
        for one in breaks_of(path.read_bytes()):
            of_kind[one.kind].append(Drawn(str(path.relative_to(TOP)), one))
    chance = random.Random(seed)
    for some in of_kind.values():
        chance.shuffle(some)
    in_turn = (one for row in zip_longest(*of_kind.values()) for one in row if one is not None)
    other = (one for one in in_turn if is_another_program(one.one, (TOP / one.file).read_bytes()))
    return list(islice(other, count))


def stages(file: str) -> Iterator[tuple[str, ...]]:
    """What may notice: what is quick and sees much, the room's own tests, all that judges."""
    room = file.removeprefix(f"{CORE}/").split("/")[0]
    yield TELLING
    if (TOP / "tests/core" / room).is_dir():
        yield (f"tests/core/{room}",)
    yield OF_ALL
    yield BESIDE.get(room, ALSO)


def noticed_by(broken: Drawn, tree: Path) -> str | None:
    """The test that fails first, or why there is none to name; None where all of them pass."""
    file = tree / broken.file
    source = file.read_bytes()
    file.write_bytes(broken.one.done_to(source))
    try:
        for tests in stages(broken.file):
            failed = _first_failure(tests, tree)
            if failed is not None:
                return failed
    finally:
        file.write_bytes(source)
    return None


def _first_failure(tests: tuple[str, ...], tree: Path) -> str | None:
    words = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            words, cwd=tree, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"hangs in {tests[0]}"
    if done.returncode == 0:
        return None
    told = [row for row in done.stdout.splitlines() if row.startswith(("FAILED ", "ERROR "))]
    return told[0].split(" - ")[0] if told else f"ends in {tests[0]}"


def main() -> int:
    """Tell of each; 1 when one was not noticed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("count", type=int, nargs="?", default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--from", type=int, default=0, dest="first", help="leave out so many")
    given = parser.parse_args()
    breaks, unnoticed = drawn(given.seed, given.count)[given.first :], 0
    with copied_tree() as tree:
        for tests in {tests: None for broken in breaks for tests in stages(broken.file)}:
            failed = _first_failure(tests, tree)
            if failed is not None:
                raise SystemExit(f"nothing is broken yet, and {failed}")
        for broken in breaks:
            found = noticed_by(broken, tree)
            unnoticed += found is None
            said = f"noticed: {broken.file} {broken.one}\n    {found}"
            print(said if found else f"UNNOTICED: {broken.file} {broken.one}", flush=True)
    print(f"{len(breaks)} breaks, {unnoticed} unnoticed")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
