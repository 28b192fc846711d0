# SPDX-License-Identifier: GPL-2.0-or-later
"""Work is bounded by the input's size: inputs are grown, and the time's exponent is taken.

    python -m tests.fuzz.growth SECONDS SEED

An input is a part of the kept corpus, or of a real guest's file, repeated between a beginning and
an end, as somebody would who wants a parser to work with the square of what he sends.  Whole
guests grow by ranges of the map and by offline blocks.  1 is linear, 2 the square; sorting and
noise stay well below `MOST`.
"""

from __future__ import annotations

import gc
import json
import math
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from agent.core.account.situation import understand
from agent.core.facts.memory_map import Region, memory_map
from agent.core.facts.snapshot import MemoryBlocks, Snapshot
from agent.core.findings.assessment import judge
from agent.core.findings.diagnosis import diagnose
from agent.core.findings.examination import Examination
from agent.core.policy.decide import decide
from agent.core.policy.history import EMPTY
from agent.core.policy.settings import PolicySettings
from agent.report.doctor_text import doctor_lines
from agent.report.memmap_json import memmap_object
from agent.report.memmap_text import memmap_lines
from agent.report.status_json import status_object
from agent.report.status_text import status_lines
from agent.sources.kernel_log import is_relevant, without_names
from tests.sources.parsers import PARSERS, REFUSALS
from tests.support.snapshots import BLOCK, GIB, RAM, a_pv_guest, guest_map

CORPUS: Final = Path(__file__).parents[1] / "corpus"
MOST: Final = 1.6  # the exponent
QUICK_S: Final = 0.02  # what is done in less says nothing of how it grows
_LONG_S: Final = 2.0
SIZES: Final = (1 << 14, 1 << 16, 1 << 18)
GUEST_SIZES: Final = (4096, 16384)  # below, what grows with the square hides behind the rest

Work = Callable[[int], Callable[[], object]]
"""For a size, what is to be timed."""


class Growth(NamedTuple):
    """How long the largest size took, in seconds, and with which power of the size time grew."""

    longest_s: float
    exponent: float

    @property
    def is_too_fast(self) -> bool:
        """Whether the time grows faster than the input."""
        return self.longest_s > QUICK_S and self.exponent > MOST


def growth(work: Work, sizes: tuple[int, ...]) -> Growth:
    """Time the work at growing sizes, and stop where it has become long.

    The power is that from the first size that could be timed at all, so that one step in which the
    processor had something else to do does not decide.
    """
    first: tuple[int, float] | None = None
    found = Growth(0.0, 0.0)
    for size in sizes:
        took_s = _least_s(work(size))
        if first is not None:
            found = Growth(took_s, math.log(took_s / first[1]) / math.log(size / first[0]))
        elif took_s > QUICK_S / 10:
            first = size, took_s
        if took_s > _LONG_S:
            break
    return found


def _least_s(act: Callable[[], object]) -> float:
    """The processor's time for it, without the collector's; the least of three if it is short."""
    times = []
    gc.disable()
    try:
        for _ in range(3):
            begin_s = time.process_time()
            act()
            times.append(max(1e-6, time.process_time() - begin_s))
            if times[0] > 10 * QUICK_S:
                break
    finally:
        gc.enable()
    return min(times)


def of_parser(name: str, head: bytes, part: bytes, tail: bytes) -> Work:
    """A parser on a part that is repeated as often as fits into a size."""

    def at(size: int) -> Callable[[], object]:
        raw = head + part * (size // max(1, len(part))) + tail

        def act() -> None:
            with suppress(*REFUSALS):
                PARSERS[name](raw)

        return act

    return at


def of_log_filter(part: str) -> Work:
    """What `capture` keeps of a kernel's log."""

    def at(size: int) -> Callable[[], object]:
        line = part * (size // max(1, len(part)))
        return lambda: is_relevant(line) and without_names(line)

    return at


def guest_with_offline_blocks(count: int) -> Snapshot:
    """A guest to which so many blocks were hot-added, and nobody has put them online."""
    first = GIB * 1024 // BLOCK
    blocks = range(first, first + count)
    added = ((block * BLOCK, (block + 1) * BLOCK - 1) for block in blocks)
    return a_pv_guest(
        firmware_map=guest_map(GIB, *added),
        blocks=MemoryBlocks(BLOCK, tuple(range(first)), tuple(blocks), "offline"),
    )


def guest_with_ranges(count: int) -> Snapshot:
    """A guest whose map has so many ranges, in the order that is worst for what looks at them."""
    pages = range(count * 2, 0, -2)
    regions = [Region(page << 20, (page << 20) + 0xFFFF, RAM) for page in pages]
    return a_pv_guest(firmware_map=memory_map(regions), iomem=memory_map(regions))


def judged_and_shown(snapshot: Snapshot) -> None:
    """Everything that commands make of one look at a guest, and what the daemon decides."""
    situation = understand(snapshot)
    decide(situation, EMPTY, PolicySettings(), 100.0)
    assessment = judge(situation)
    json.dumps(status_object(assessment))
    json.dumps(memmap_object(situation))
    doctor_lines(diagnose(Examination(situation, snapshot.sources)), 80)
    status_lines(assessment, 80)
    memmap_lines(situation, 80)


GUESTS: Final[dict[str, Callable[[int], Snapshot]]] = {
    "offline blocks": guest_with_offline_blocks,
    "ranges": guest_with_ranges,
}


def of_guest(make: Callable[[int], Snapshot]) -> Work:
    """A whole guest of a size, judged and shown."""

    def at(size: int) -> Callable[[], object]:
        snapshot = make(size)
        return lambda: judged_and_shown(snapshot)

    return at


def a_parser_at_random(rng: random.Random) -> tuple[str, Work]:
    """One parser, and a part of one of its inputs to be repeated."""
    name = rng.choice(list(PARSERS))
    seeds = [file.read_bytes() for file in sorted((CORPUS / name).iterdir())]
    raw = rng.choice(seeds) or b"0"
    start = rng.randrange(len(raw))
    part = raw[start : start + rng.choice((1, 4, 16, 64, 256))]
    head, tail = rng.choice((b"", raw[:start])), rng.choice((b"", raw[start:], b"\n"))
    return f"{name}: {part[:64]!r} between {head[-32:]!r} and {tail[:32]!r}", of_parser(
        name, head, part, tail
    )


def search(seconds: float, seed: int) -> list[str]:
    """What grows too fast, in words: all guests, and parsers at random until the time is over."""
    rng = random.Random(seed)
    end_s = time.monotonic() + seconds
    works = [(name, of_guest(make), GUEST_SIZES) for name, make in GUESTS.items()]
    found = [f"{name}: {how}" for name, work, sizes in works if (how := _told(work, sizes))]
    tried = len(works)
    while time.monotonic() < end_s:
        name, work = a_parser_at_random(rng)
        how = _told(work, SIZES)
        found += [f"{name}: {how}"] if how else []
        tried += 1
    print(f"{tried} inputs grown")
    return found


def _told(work: Work, sizes: tuple[int, ...]) -> str:
    """How it grows, if that is too fast, and again when it is looked at once more."""
    if not growth(work, sizes).is_too_fast:
        return ""
    again = growth(work, sizes)
    return f"{again.longest_s:.2f} s, exponent {again.exponent:.2f}" if again.is_too_fast else ""


if __name__ == "__main__":
    sys.exit("\n".join(search(float(sys.argv[1]), int(sys.argv[2]))) or None)
