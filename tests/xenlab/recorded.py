# SPDX-License-Identifier: GPL-2.0-or-later
"""What dom0/recorder.py recorded of a guest: the host's and the guest's samples side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from sim_backend.stories.chart import Chart, Curve, Mark

KIB: Final = 1024
FRESH_S: Final = 4.0
"""For how long a sample of the guest is taken to hold: one that thrashes does not answer."""
COLUMNS: Final = (
    "seconds", "host_target_kib", "has_kib", "floor_kib", "kernel_target_kib", "current_kib",
    "available_kib", "stalled_percent",
)  # fmt: skip


class Moment(NamedTuple):
    """One second; what the guest did not say in time is None."""

    when_s: float
    host_target_kib: int | None
    has_kib: int
    """What `xl list` says, whole MiB."""
    floor_kib: int | None
    """data/balloon/floor_kb, as dom0 reads it."""
    kernel_target_kib: int | None
    current_kib: int | None
    available_kib: int | None
    stalled_percent: float | None


class Recorded(NamedTuple):
    """One guest."""

    moments: tuple[Moment, ...]
    marks: tuple[Mark, ...]

    def highest_mib(self) -> float:
        """Return the most that anybody had or asked for."""
        wanted = [moment.host_target_kib or 0 for moment in self.moments]
        return max(*wanted, *(moment.has_kib for moment in self.moments)) / KIB

    def as_object(self) -> dict[str, Any]:
        """Return it as JSON has it; `from_object` reads it."""
        return {
            "events": [[round(mark.when_s, 1), mark.text] for mark in self.marks],
            "figures": self.figures(),
            "columns": COLUMNS,
            "moments": self.moments,
        }

    def figures(self) -> dict[str, float | None]:
        """Return what the story says; None for what there was not."""
        last = self.moments[-1]
        floors = [m.floor_kib / KIB for m in self.moments if m.floor_kib is not None]
        killed, ended = self._when("OOM"), self._when("ends by itself")
        held = [
            m.floor_kib / KIB
            for m in self.moments
            if m.floor_kib is not None and ended is not None and m.when_s < ended
        ]
        asked = self._when("mem-set") or 0.0
        return {
            "asked_mib": (last.host_target_kib or 0) / KIB,
            "lowest_mib": min(moment.has_kib for moment in self.moments) / KIB,
            "in_the_end_mib": last.has_kib / KIB,
            "killed_after_s": None if killed is None else killed - asked,
            "ended_after_s": None if ended is None else ended - asked,
            "stalled_percent": max(m.stalled_percent or 0.0 for m in self.moments),
            "first_floor_mib": floors[0] if floors else None,
            "held_floor_mib": held[-1] if held else None,
            "last_floor_mib": floors[-1] if floors else None,
        }

    def chart(self, title: str, note: str, ceiling_mib: float) -> Chart:
        """Return it as something to draw."""
        curves = [
            Curve("host target", "#888888", "7 4", self._mib("host_target_kib")),
            Curve("kernel target", "#d1710c", "3 3", self._mib("kernel_target_kib")),
            Curve("has (xl list)", "#1b62a5", "", self._mib("has_kib")),
            Curve("available", "#2b8a3e", "", self._mib("available_kib")),
        ]
        if any(moment.floor_kib is not None for moment in self.moments):
            curves.append(
                Curve("floor, as dom0 reads it", "#8e44ad", "2 2", self._mib("floor_kib"))
            )
        stalled = [(moment.when_s, moment.stalled_percent) for moment in self.moments]
        return Chart(
            title,
            "",
            self.moments[-1].when_s,
            ceiling_mib,
            curves,
            stalled,
            self.marks,
            note,
        )

    def _mib(self, name: str) -> list[tuple[float, float | None]]:
        values = [(moment.when_s, getattr(moment, name)) for moment in self.moments]
        return [(when_s, None if kib is None else kib / KIB) for when_s, kib in values]

    def _when(self, words: str) -> float | None:
        return next((mark.when_s for mark in self.marks if words in mark.text), None)


def load(path: Path) -> Recorded:
    """Read a record; each second of the host's gets what the guest said last."""
    record = json.loads(path.read_text())
    began = record["host"][0]["at"]
    guest = record["guest"]
    moments, said = [], 0
    for seen in record["host"]:
        while said < len(guest) and guest[said]["at"] <= seen["at"]:
            said += 1
        own = guest[said - 1] if said else {}
        fresh = own if own and seen["at"] - own["at"] <= FRESH_S else {}
        moments.append(
            Moment(
                round(seen["at"] - began, 2),
                seen["target_kib"],
                seen["has_mib"] * KIB,
                seen["floor_kib"],
                fresh.get("target_kib"),
                fresh.get("current_kib"),
                fresh.get("available_kib"),
                fresh.get("stalled_percent"),
            )
        )
    marks = tuple(Mark(event["at"] - began, event["text"]) for event in record["events"])
    return Recorded(tuple(moments), marks)


def from_object(found: Mapping[str, Any]) -> Recorded:
    """Read what `as_object` wrote."""
    moments = tuple(Moment(*moment) for moment in found["moments"])
    return Recorded(moments, tuple(Mark(*event) for event in found["events"]))
