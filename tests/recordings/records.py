# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the recordings, and counts in how many a model agrees.

Others of the same kinds can be tried: `python -m tests.recordings FILE...`.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

Record = dict[str, Any]
DIRECTORY: Final = Path(os.environ.get("BALLOON_AGENT_RECORDINGS", Path(__file__).parent))


@cache
def records(name: str) -> tuple[Record, ...]:
    """All of a file, in its order; packed or not."""
    packed = DIRECTORY / f"{name}.jsonl.gz"
    return read(packed if packed.exists() else packed.with_suffix(""))


def read(path: Path) -> tuple[Record, ...]:
    """One JSON object a line; packed or not."""
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    return tuple(json.loads(line) for line in text.splitlines() if line.strip())


class Agreement(NamedTuple):
    """In how many records a model answers as recorded; the first few where it does not."""

    agree: int
    of: int
    others: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.agree} of {self.of} agree" + "".join(f"\n  {one}" for one in self.others)


def name_of(record: Record) -> str:
    """As a person finds it again."""
    words = ("n", "run", "name", "label", "kind", "mode", "source", "capture")
    return " ".join(str(record[word]) for word in words if record.get(word) not in (None, ""))


def agreement(judge: Callable[[Record], str], recorded: Iterable[Record]) -> Agreement:
    """`judge` says what differs in a record, or nothing; one that fails does not agree."""
    told = []
    for record in recorded:
        try:
            told.append((name_of(record), judge(record)))
        except Exception as error:  # noqa: BLE001 -- whatever it is, the others are tried as well
            told.append((name_of(record), f"cannot be played: {error!r}"))
    others = [f"{name}: {what}" for name, what in told if what]
    return Agreement(len(told) - len(others), len(told), tuple(others[:20]))
