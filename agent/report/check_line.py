# SPDX-License-Identifier: GPL-2.0-or-later
"""`check`: the one line that Nagios, Icinga and their kin read, with its performance data.

BALLOON OK - settled at 512 MiB, 371 MiB available | available=389394432B;46699315:;...
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from agent.core.account.situation import Situation
from agent.core.facts.units import KIB, format_apart, format_kib, parse_size_kib
from agent.core.findings.assessment import Assessment, Verdict, why_unknown
from agent.report.top import gravest_codes

Level = Literal["OK", "WARNING", "CRITICAL", "UNKNOWN"]
_LEVELS: Final[Mapping[Verdict, Level]] = {
    "ok": "OK",
    "warning": "WARNING",
    "critical": "CRITICAL",
    "unknown": "UNKNOWN",
}
_BY_GRAVITY: Final = ("OK", "UNKNOWN", "WARNING", "CRITICAL")
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?) ?%", re.ASCII)
_STUCK: Final = ("retrying", "cancelled", "unreachable")


class Threshold(NamedTuple):
    """A size, or a share of something that is known later."""

    kib: int = 0
    percent: float | None = None

    def of(self, whole_kib: int) -> int:
        """In KiB; of a whole below zero there is no share."""
        return self.kib if self.percent is None else int(max(0, whole_kib) * self.percent / 100)


class Thresholds(NamedTuple):
    """When to warn beyond what the findings say; None: never.

    Less available than this; further from the target than this and stuck.
    """

    available_warning: Threshold | None = None
    available_critical: Threshold | None = None
    distance_warning: Threshold | None = None
    distance_critical: Threshold | None = None


class CheckResult(NamedTuple):
    """What to print and how to end."""

    level: Level
    line: str


def parse_threshold(text: str) -> Threshold:
    """`10%`, `256M`, `1.5G`; a bare number is in MiB.

    Raises:
        ValueError: neither a size nor a percentage; the message says what would be one.
    """
    match = _PERCENT.fullmatch(text.strip())
    if match is None:
        try:
            return Threshold(parse_size_kib(text, bare_unit="M"))
        except ValueError:
            raise ValueError(f"{text!r} is neither a size like 256M nor a share like 10%") from None
    percent = float(match[1])
    if percent > 100:
        raise ValueError(f"{text!r} is more than 100 %")
    return Threshold(percent=percent)


def check(assessment: Assessment, thresholds: Thresholds) -> CheckResult:
    """Judge by the findings, as `status` and `doctor` do, and by thresholds that were given."""
    situation = assessment.situation
    words = gravest_codes(assessment.findings)
    if not words and assessment.verdict == "unknown":
        words = why_unknown(situation).replace("|", "/")  # behind one, performance data begin
    found = CheckResult(_LEVELS[assessment.verdict], words)
    available = _judge_available(situation, thresholds)
    balloon = _judge_balloon(situation, thresholds)
    parts = sorted(
        (found, available, balloon), key=lambda part: _BY_GRAVITY.index(part.level), reverse=True
    )
    level = parts[0].level
    words = ", ".join(part.line for part in parts if part.line)
    return CheckResult(level, f"BALLOON {level} - {words} | {_performance(situation, thresholds)}")


def unknown_line(sentence: str) -> str:
    """The line for what keeps the check from being made."""
    flat = " ".join(sentence.split()).replace("|", "/")
    return f"BALLOON UNKNOWN - {flat}"


def _judge_available(situation: Situation, thresholds: Thresholds) -> CheckResult:
    memory = situation.snapshot.memory
    if memory is None:
        asked = thresholds.available_warning or thresholds.available_critical
        return CheckResult("UNKNOWN" if asked else "OK", "available memory not readable")
    level = _level(
        memory.available_kib < _of(thresholds.available_warning, memory.total_kib, 0),
        memory.available_kib < _of(thresholds.available_critical, memory.total_kib, 0),
    )
    total = format_kib(memory.total_kib)
    return CheckResult(level, f"{format_kib(memory.available_kib)} of {total} available")


def _judge_balloon(situation: Situation, thresholds: Thresholds) -> CheckResult:
    """By state, and when stuck by the distance that is left."""
    balloon = situation.snapshot.balloon
    if balloon is None:
        return CheckResult("OK", "")
    if balloon.current_kib is None or balloon.target_kib is None:
        return CheckResult("UNKNOWN", "the balloon's numbers not readable")
    at_kib = situation.populated_kib or balloon.current_kib
    at = format_kib(at_kib)
    if situation.state not in _STUCK:
        if situation.state == "settled":
            return CheckResult("OK", f"settled at {at}")
        word = "moving" if situation.state == "moving" else "not seen moving"
        whence = format_apart(at_kib, balloon.target_kib)
        return CheckResult(
            "OK", f"{word} from {whence} to {format_apart(balloon.target_kib, at_kib)}"
        )
    distance_kib = abs(balloon.target_kib - balloon.current_kib)
    level = _level(
        distance_kib >= _of(thresholds.distance_warning, balloon.target_kib, distance_kib + 1),
        distance_kib >= _of(thresholds.distance_critical, balloon.target_kib, distance_kib + 1),
    )
    words = f"{situation.state} at {at}, {format_kib(distance_kib)} from its target"
    return CheckResult(level, words)


def _level(warns: bool, is_critical: bool) -> Level:
    return "CRITICAL" if is_critical else "WARNING" if warns else "OK"


def _of(threshold: Threshold | None, whole_kib: int, without_kib: int) -> int:
    """The threshold in KiB, or what stands for none."""
    return without_kib if threshold is None else threshold.of(whole_kib)


def _limit(threshold: Threshold | None, whole_kib: int, end: str = "") -> str:
    """The threshold as performance data have it."""
    return "" if threshold is None else f"{threshold.of(whole_kib) * KIB}{end}"


def _performance(situation: Situation, thresholds: Thresholds) -> str:
    """`name=value;warning;critical;min;max`, in bytes; a range `N:` warns below N."""
    snapshot = situation.snapshot
    balloon, memory, host = snapshot.balloon, snapshot.memory, snapshot.host
    values: list[str] = []
    if memory is not None:
        low = _limit(thresholds.available_warning, memory.total_kib, ":")
        least = _limit(thresholds.available_critical, memory.total_kib, ":")
        limits = f"{low};{least};0;{memory.total_kib * KIB}"
        values.append(f"available={memory.available_kib * KIB}B;{limits}")
    if balloon is not None and balloon.current_kib is not None and balloon.target_kib is not None:
        most = "" if host.static_max_kib is None else str(host.static_max_kib * KIB)
        far = _limit(thresholds.distance_warning, balloon.target_kib)
        furthest = _limit(thresholds.distance_critical, balloon.target_kib)
        distance = abs(balloon.target_kib - balloon.current_kib) * KIB
        values += [
            f"current={balloon.current_kib * KIB}B;;;0;{most}",
            f"target={balloon.target_kib * KIB}B;;;0;{most}",
            f"distance={distance}B;{far};{furthest};0;",
            f"ballooned={(balloon.ballooned_kib or 0) * KIB}B;;;0;",
        ]
    if snapshot.pressure is not None:
        values.append(f"pressure_some={snapshot.pressure.some_avg10:g}%;;;0;100")
        values.append(f"pressure_full={snapshot.pressure.full_avg10:g}%;;;0;100")
    return " ".join(values)
