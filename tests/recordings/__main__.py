# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.recordings [FILE...]`: in how many recordings the models answer as recorded.

A file's kind is told by its name: one of those here, perhaps with more behind it
(`qmemman-host-2.jsonl.gz`), or what is given as KIND=FILE.  Of a directory, all that are of these
kinds; without a word, all that are kept here.  The exit code is 1 where less than 97 % agree.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.recordings import test_beside_xe_daemon_as_recorded as beside_xe_daemon
from tests.recordings import test_qmemman_as_recorded as qmemman
from tests.recordings import test_squeezed_as_recorded as squeezed
from tests.recordings import test_use_as_recorded as use
from tests.recordings.records import KEPT, LEAST, Record, agreement, files_in, read

JUDGES: Final[dict[str, Callable[[Record], str]]] = {
    "qmemman-balance": qmemman.of_a_host,
    "qmemman-host": qmemman.of_a_run,
    "meminfo-captures": use.of_a_capture,
    "meminfo-timelines": use.of_a_timeline,
    "squeezed-balance": squeezed.of_the_policy,
    "squeezed-host": squeezed.of_a_run,
    "xe-daemon": beside_xe_daemon.of_a_run,
}


def kind_of(name: str) -> str | None:
    """Which of the kinds the file of that name is."""
    return next((kind for kind in JUDGES if name.startswith(kind)), None)


def named(word: str) -> list[str]:
    """The files that are meant by it."""
    directory = Path(word)
    if not directory.is_dir():
        return [word]
    return [str(path) for kind in JUDGES for path in files_in(directory, kind)]


def tried(word: str) -> bool:
    """Print how far one file agrees; whether that is enough."""
    given, _, rest = word.rpartition("=")
    path = Path(rest)
    kind = kind_of(given or path.name)
    if kind is None:
        print(f"{path}: of none of the kinds {', '.join(JUDGES)}; say KIND=FILE")
        return False
    try:
        recorded = read(path)
    except (OSError, ValueError) as error:
        print(f"{path}: cannot be read: {error}")
        return False
    found = agreement(JUDGES[kind], recorded)
    print(f"{path.name}: {found}")
    if kind == "meminfo-timelines" and found.of:
        print(f"  looking as the daemon does, {use.promptness(recorded):.1%} within 0.5 s")
    return found.is_enough(LEAST)


def main(words: list[str]) -> int:
    found = [one for word in words or [str(KEPT)] for one in named(word)]
    if not found:
        print(f"no recording of {', '.join(JUDGES)} there")
    verdicts = [tried(one) for one in found]
    return 0 if verdicts and all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
