# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the recordings, and counts in how many a model agrees.

A file's kind is the beginning of its name: `squeezed-host-2.jsonl.gz` is one of `squeezed-host`.
The tests try each that lies here, and each in the directory that BALLOON_AGENT_RECORDINGS names.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

Record = dict[str, Any]
KEPT: Final = Path(__file__).parent
LEAST: Final = 0.97
"""The share of a file's records that have to agree where the file is none of those kept here."""
_PACKED: Final = b"\x1f\x8b"


def files_in(directory: Path, kind: str) -> tuple[Path, ...]:
    """Those of that kind in a directory, packed or not."""
    return tuple(sorted(directory.glob(f"{kind}*.jsonl*")))


def files(kind: str) -> tuple[Path, ...]:
    """Those of that kind that the tests try.

    Raises:
        FileNotFoundError: none is kept here.
    """
    kept = files_in(KEPT, kind)
    if not kept:
        raise FileNotFoundError(KEPT / f"{kind}.jsonl.gz")
    others = os.environ.get("BALLOON_AGENT_RECORDINGS")
    return (*kept, *files_in(Path(others), kind)) if others else kept


def name_of_file(path: Path) -> str:
    """As a test is called that tries it."""
    return path.name.partition(".")[0]


@cache
def records(kind: str) -> tuple[Record, ...]:
    """All of that kind, file by file, in their order."""
    return tuple(record for path in files(kind) for record in read(path))


def read(path: Path) -> tuple[Record, ...]:
    """One JSON object a line; packed or not.

    Raises:
        OSError: it cannot be read or unpacked.
        ValueError: a line is no JSON object.
    """
    content = path.read_bytes()
    try:
        text = (gzip.decompress(content) if content.startswith(_PACKED) else content).decode()
    except (EOFError, zlib.error) as error:
        raise OSError("it is not whole") from error
    found = tuple(json.loads(line) for line in text.splitlines() if line.strip())
    if not all(isinstance(record, dict) for record in found):
        raise ValueError("a line is no JSON object")
    return found


class Agreement(NamedTuple):
    """In how many records a model answers as recorded; the first few where it does not."""

    agree: int
    of: int
    others: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.agree} of {self.of} agree" + "".join(f"\n  {one}" for one in self.others)

    def is_enough(self, least: float) -> bool:
        """Whether that share agrees; of nothing, none does."""
        return self.of > 0 and self.agree >= least * self.of


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


def must_agree(judge: Callable[[Record], str], path: Path) -> None:
    """Print how far a file agrees: one that is kept here in all, another in `LEAST` of it.

    Raises:
        AssertionError: in less.
    """
    found = agreement(judge, read(path))
    print(f"{path.name}: {found}")
    assert found.is_enough(1.0 if path.parent == KEPT else LEAST), str(found)
