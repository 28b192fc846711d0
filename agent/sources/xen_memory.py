# SPDX-License-Identifier: GPL-2.0-or-later
"""/sys/devices/system/xen_memory/xen_memory0: the balloon driver's own numbers.

    info/current_kb 524288    info/low_kb 524288       info/high_kb 0
    target_kb 524288          target 536870912 (bytes) scrub_pages 1
    retry_count 1             schedule_delay 1
    max_retry_count 4         max_schedule_delay 20  (hexadecimal: 32 s)

drivers/xen/xen-balloon.c.  Kernels differ in which attributes there are; an absent one is no
error.  The last four are DEVICE_ULONG_ATTR, which prints hexadecimal without a prefix
(drivers/base/core.c, device_show_ulong).  `target` reads in bytes although Documentation/ABI says
pages.  There is no such directory without CONFIG_XEN_BALLOON (which is never a module) or outside
Xen.

Relies on docs/design.md A11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, Optional

from agent.core.facts.bounds import LARGEST_ADDRESS, unwrapped
from agent.core.facts.numbers import parse_decimal, parse_hex, parse_kib
from agent.core.facts.snapshot import BalloonReading
from agent.core.facts.units import GIB_KIB
from agent.sources.outcome import ABSENT, parsed
from agent.sources.system_root import SystemRoot

DIRECTORY: Final = "sys/devices/system/xen_memory/xen_memory0"
TARGET_FILE: Final = f"{DIRECTORY}/target_kb"

# The balloon moves in batches of at most 512 pages per hypercall; a quiet moment between two
# batches is found within a few tries.
TRIES_FOR_A_QUIET_MOMENT: Final = 8
# The driver sleeps between attempts only after a failure, and then retry_count tells; a balloon
# that is moving changes within this time.
WATCH_FOR_MOTION_S: Final = 0.3

_OF_A_MOVE: Final = ("info/current_kb", "target_kb", "info/low_kb", "info/high_kb")

_WRAPPED_32_KIB: Final = 1 << 32
_WRAPPED_32_BYTES: Final = 1 << 44  # `target` has the 64 bits of a size, computed of 32 of pages
_MOST_32_KIB: Final = 64 * GIB_KIB

Numbers = dict[str, Optional[int]]
Motion = Literal["still", "moved", "unknown"]


def parse_target_kib(text: str) -> int:
    """The driver's target, below zero where its 64 bits have wrapped.

    Raises:
        MalformedError: it is not a number.
    """
    return unwrapped(parse_decimal(text))


def parse_target_bytes(text: str) -> int:
    """As `parse_target_kib`.

    Raises:
        MalformedError: it is not a number.
    """
    return unwrapped(parse_decimal(text), LARGEST_ADDRESS)


_PARSERS: Final[Mapping[str, Callable[[str], int]]] = {
    "info/current_kb": parse_kib,
    "target_kb": parse_target_kib,
    "target": parse_target_bytes,
    "info/low_kb": parse_kib,
    "info/high_kb": parse_kib,
    "schedule_delay": parse_hex,
    "max_schedule_delay": parse_hex,
    "retry_count": parse_hex,
    "max_retry_count": parse_hex,
    "scrub_pages": parse_decimal,
}


def read_xen_memory(
    root: SystemRoot, sleep: Callable[[float], None] | None = None
) -> tuple[BalloonReading | None, dict[str, str]]:
    """The balloon's state, its parts read so that they belong together, and what became of each.

    `sleep` (seconds) lets a balloon that is off its target be watched for a moment, to tell one
    that moves from one that has stopped; None reads once, as from a capture.
    """
    numbers, statuses = _read_once(root)
    if all(status == ABSENT for status in statuses.values()):
        return None, {"balloon": ABSENT}
    moving = False
    for _ in range(TRIES_FOR_A_QUIET_MOMENT if root.is_live or sleep else 1):
        moving = read_current_kib(root) != numbers["info/current_kb"]
        if not moving:
            break
        numbers, statuses = _read_once(root)
    motion = _watch(root, numbers, sleep) if not moving else "moved"
    return _reading(numbers, moving, motion), statuses


def _of_32_bits(target_kib: int | None, current_kib: int | None) -> int | None:
    """A target below zero of a kernel of 32 bits, which has 64 GiB at most: almost 4 TiB."""
    if target_kib is None or current_kib is None or current_kib > _MOST_32_KIB:
        return target_kib
    below_kib = _WRAPPED_32_KIB - target_kib
    return -below_kib if 0 < below_kib <= _MOST_32_KIB else target_kib


def read_current_kib(root: SystemRoot) -> int | None:
    """What the guest has, by the one file that says so."""
    return parsed(root.read(f"{DIRECTORY}/info/current_kb"), parse_kib).value


def refresh_xen_memory(
    root: SystemRoot, known: BalloonReading, known_statuses: Mapping[str, str]
) -> tuple[BalloonReading | None, dict[str, str]]:
    """The balloon as `read_xen_memory` finds it, by fewer files: for who is in a hurry.

    A balloon that is at its target, as it was, retries nothing, and the rest changes only when
    somebody writes it.  `target`, which is target_kb again, is None when that is another.
    """
    if known.retry_count not in (None, 1):
        return read_xen_memory(root)
    numbers, statuses = _read_once(root, _OF_A_MOVE)
    current = numbers["info/current_kb"]
    again = read_current_kib(root)
    if current is None or not (current == again == numbers["target_kb"]):
        return read_xen_memory(root)
    kept = {name: status for name, status in known_statuses.items() if name.startswith("balloon.")}
    return known._replace(
        current_kib=current,
        target_kib=current,
        target_bytes=known.target_bytes if known.target_kib == current else None,
        low_kib=numbers["info/low_kb"],
        high_kib=numbers["info/high_kb"],
        read_while_moving=False,
        motion="still",
    ), kept | statuses


def _read_once(
    root: SystemRoot, attributes: Iterable[str] = _PARSERS
) -> tuple[Numbers, dict[str, str]]:
    """Every attribute, current_kb first."""
    numbers: Numbers = {}
    statuses: dict[str, str] = {}
    for attribute in attributes:
        outcome = parsed(root.read(f"{DIRECTORY}/{attribute}"), _PARSERS[attribute])
        numbers[attribute] = outcome.value
        statuses[f"balloon.{attribute.rpartition('/')[2]}"] = outcome.status
    return numbers, statuses


def _watch(root: SystemRoot, numbers: Numbers, sleep: Callable[[float], None] | None) -> Motion:
    """Whether a balloon off its target moves while it is looked at."""
    current, target = numbers["info/current_kb"], numbers["target_kb"]
    if current == target:
        return "still"
    if sleep is None:
        return "unknown"
    sleep(WATCH_FOR_MOTION_S)
    return "still" if read_current_kib(root) == current else "moved"


def _reading(numbers: Numbers, moving: bool, motion: Motion) -> BalloonReading:
    scrub, target_bytes = numbers["scrub_pages"], numbers["target"]
    target_kib = _of_32_bits(numbers["target_kb"], numbers["info/current_kb"])
    if target_bytes is not None and target_kib != numbers["target_kb"]:
        target_bytes -= _WRAPPED_32_BYTES
    return BalloonReading(
        current_kib=numbers["info/current_kb"],
        target_kib=target_kib,
        target_bytes=target_bytes,
        low_kib=numbers["info/low_kb"],
        high_kib=numbers["info/high_kb"],
        schedule_delay_s=numbers["schedule_delay"],
        max_schedule_delay_s=numbers["max_schedule_delay"],
        retry_count=numbers["retry_count"],
        max_retry_count=numbers["max_retry_count"],
        scrub_pages=None if scrub is None else bool(scrub),
        read_while_moving=moving,
        motion=motion,
    )


def read_target_kib(root: SystemRoot) -> int | None:
    """The kernel's target alone: one small file, and another where it may be one below zero."""
    target_kib = parsed(root.read(TARGET_FILE), parse_target_kib).value
    if target_kib is None or target_kib < _WRAPPED_32_KIB - _MOST_32_KIB:
        return target_kib
    return _of_32_bits(target_kib, read_current_kib(root))
