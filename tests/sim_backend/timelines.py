# SPDX-License-Identifier: GPL-2.0-or-later
"""Reader of the captured timelines in tests/captures/timelines."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

DIRECTORY = Path(__file__).parents[1] / "captures" / "timelines"


class Moment(NamedTuple):
    """One sample; times in seconds after the command was issued, sizes in KiB."""

    when_s: float
    current_kib: int
    target_kib: int
    host_target: str
    total_kib: int
    free_kib: int


class Timeline(NamedTuple):
    """One command and what the guest saw."""

    command: str
    output: str
    moments: tuple[Moment, ...]


def read_timeline(name: str) -> Timeline:
    """`GUEST/STATE` -> its timeline."""
    head, _, body = (DIRECTORY / f"{name}.txt").read_text().partition("--- guest\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
    issued_s = float(fields["issued"])
    moments = []
    for line in body.splitlines()[1:]:
        parts = line.split("\t")
        if len(parts) == 6:
            wall, current, target, host, total, free = parts
            moments.append(
                Moment(
                    round(float(wall) - issued_s, 3),
                    int(current), int(target), host, int(total), int(free),
                )
            )  # fmt: skip
    return Timeline(fields["cmd"], head, tuple(moments))
