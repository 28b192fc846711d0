# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the recordings, and counts in how many a model agrees.

Other recordings of the same kinds can be tried: BALLOON_AGENT_RECORDINGS=DIRECTORY pytest
tests/recordings.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

Record = dict[str, Any]
DIRECTORY: Final = Path(os.environ.get("BALLOON_AGENT_RECORDINGS", Path(__file__).parent))


@cache
def records(name: str) -> tuple[Record, ...]:
    """All of a file, in its order; packed or not."""
    packed = DIRECTORY / f"{name}.jsonl.gz"
    if packed.exists():
        text = gzip.decompress(packed.read_bytes()).decode()
    else:
        text = packed.with_suffix("").read_text(encoding="utf-8")
    return tuple(json.loads(line) for line in text.splitlines())


class Agreement(NamedTuple):
    """In how many records a model answers as recorded; the first few where it does not."""

    agree: int
    of: int
    others: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.agree} of {self.of} agree" + "".join(f"\n  {one}" for one in self.others)


def agreement(verdicts: Iterable[tuple[str, str]]) -> Agreement:
    """Of (name of the record, what differs or nothing)."""
    told = list(verdicts)
    others = [f"{name}: {what}" for name, what in told if what]
    return Agreement(len(told) - len(others), len(told), tuple(others[:20]))
