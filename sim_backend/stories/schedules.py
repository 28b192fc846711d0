# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts that ask a guest for more than it can give, not once but as hosts do: again, and again.

squeezed asks each second, qmemman each 0.1 s, an administrator when nothing seems to happen; a
script goes down in small steps.  With each ask the toolstack has lowered what Xen lets the guest
have, so whatever the kernel gives away before it is stopped is gone for good.  `FAMILIES` makes as
many of these stories as one likes, over guests of all sizes; a few stand in the catalogue.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from random import Random
from typing import Final

from agent.core.facts.numbers import is_digits
from agent.core.facts.snapshot import DomainType
from agent.core.facts.units import format_kib
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.kernel_images import DEBIAN_13
from sim_backend.guest.machine import HEARS_LATE_S, HEARS_S
from sim_backend.host.libxl import Libxl, ToolstackError
from sim_backend.host.qubes import Qubes
from sim_backend.stories.acts import busy, mem_max, mem_set, script_writes
from sim_backend.stories.checks import alive, no_lasting_stall, no_oom
from sim_backend.stories.scenario import Act, Acts, Check, Judge, Scenario, Stage

GIVES_SHARE: Final = 8  # a guard that keeps more than that of a guest keeps too much,
COSTS_KIB: Final = 4 * MIB  # and two batches for each ask
AFTERWARDS_S: Final = 60.0
MOST_DIGITS: Final = 9
ALREADY: Final = float("-inf")  # an ask so early was there before the daemon started


@dataclass(frozen=True)
class Guest:
    """A guest whose programs use three fifths of its memory all the time."""

    memory_mib: int = 512
    domain_type: DomainType = "pv"
    hears_late: bool = False

    @property
    def name(self) -> str:
        return f"{self.domain_type}-{self.memory_mib}{'-late' if self.hears_late else ''}"

    def part_mib(self, share: float) -> int:
        """So much of its memory, in whole MiB."""
        return int(self.memory_mib * share)

    def config(self, toolstack: type[Libxl]) -> GuestConfig:
        config = GuestConfig(
            self.domain_type,
            self.memory_mib * MIB,
            2 * self.memory_mib * MIB,
            workload=busy(self.part_mib(0.58), cold_file_mib=24 + self.memory_mib // 64),
        )
        if toolstack is not Libxl:
            config = replace(config, image=DEBIAN_13, maxmem_kib=self.memory_mib * MIB)
        return config

    def hears(self, stage: Stage) -> None:
        """From the beginning it hears of a target as soon, or as late, as it does."""
        stage.domain.hears_s = HEARS_LATE_S if self.hears_late else HEARS_S


KINDS: Final[tuple[DomainType, ...]] = ("pv", "pvh")
GUESTS: Final = tuple(
    Guest(memory_mib, kind, late)
    for memory_mib, kind, late in product((512, 1024, 2048, 8192), KINDS, (False, True))
)


class _HotplugQubes(Qubes):
    hotplug_max_kib = 16 * 1024 * MIB


def schedule(
    name: str, summary: str, asks: Acts, guest: Guest, toolstack: type[Libxl] = Libxl
) -> Scenario:
    """The story of a guard whose host asks so.

    Nothing is killed, nothing waits, and yet the host gets what can be spared.
    """
    last_s = max(when_s for when_s, _ in asks)
    return Scenario(
        name=name,
        summary=summary,
        good_agent="stops the kernel each time, before the guest is short",
        duration_s=last_s + AFTERWARDS_S,
        show_at_s=last_s + 1.0,
        guest=guest.config(toolstack),
        toolstack=toolstack,
        acts=((0.0, guest.hears), *asks),
        checks=(no_oom, alive, no_lasting_stall, _never_short, _gives_what_it_can(len(asks))),
        mode="guard",
    )


def _never_short(stage: Stage) -> Check:
    lowest_kib = min(sample.available_kib for sample in stage.samples)
    return Check(
        "the guest is never short of memory",
        lowest_kib > stage.domain.memory.reserve_kib,
        f"at least {format_kib(lowest_kib)} were available",
    )


def _gives_what_it_can(asks: int) -> Judge:
    """What an ask may cost before the kernel is stopped may be kept for the next ones."""

    def judge(stage: Stage) -> Check:
        first = stage.samples[0]
        need_kib = first.current_kib - first.available_kib + first.total_kib // 20
        asked_kib = stage.samples[-1].host_target_kib or first.current_kib
        kept_kib = stage.domain.current_kib - max(need_kib, asked_kib)
        return Check(
            "the host gets what the guest can spare",
            kept_kib <= first.current_kib // GIVES_SHARE + asks * COSTS_KIB,
            f"the guest keeps {format_kib(max(0, kept_kib))} that it could spare",
        )

    return judge


def again(stage: Stage) -> None:
    """memory/target is written once more as it is."""
    stage.domain.store.write("memory/target", stage.domain.store.read("memory/target") or "0")


def writes_fail(for_s: float) -> Act:
    """For a while the kernel refuses whatever is written to target_kb."""

    def recover(stage: Stage) -> None:
        stage.domain.write_refusal = None

    def fail(stage: Stage) -> None:
        stage.domain.write_refusal = errno.EIO
        stage.domain.tell("fault", "writing target_kb fails (EIO)")
        stage.clock.after(for_s, lambda: recover(stage))

    return fail


# -- the families: each gives (what the host does, the asks) for a guest --------------------------

Plan = Callable[[Guest], Iterator[tuple[str, Acts]]]


def _second_values(guest: Guest) -> Iterator[tuple[str, Acts]]:
    low_mib = guest.part_mib(0.4)
    for gap_s, off_mib in product((0.05, 0.1, 0.3, 0.5, 0.9, 1.3, 1.7, 3.0), (-1, 1, 20)):
        yield (
            f"mem-set {low_mib}, {low_mib + off_mib} after {gap_s:g} s",
            ((0.0, mem_set(low_mib)), (gap_s, mem_set(low_mib + off_mib))),
        )


_AGAIN: Final = (
    *((0.1, 25), (0.2, 30), (0.5, 30), (1.0, 30)),
    *((2.0, 20), (5.0, 12), (7.0, 12), (30.0, 6)),
)


def _same_values(guest: Guest) -> Iterator[tuple[str, Acts]]:
    low_mib = guest.part_mib(0.4)
    for gap_s, times in _AGAIN:
        later = tuple((gap_s * number, again) for number in range(1, times))
        yield f"mem-set {low_mib}, again each {gap_s:g} s", ((0.0, mem_set(low_mib)), *later)


def _steps(guest: Guest) -> Iterator[tuple[str, Acts]]:
    for gap_s, part in product((0.1, 0.5, 1.0, 2.0, 5.0, 10.0), (10, 25, 50, 100)):
        step_mib = part * (guest.memory_mib // 512)
        yield f"{step_mib} MiB less each {gap_s:g} s", _downwards(guest, gap_s, step_mib)


def _downwards(guest: Guest, gap_s: float, step_mib: int) -> Acts:
    sizes = range(guest.memory_mib - step_mib, guest.part_mib(0.4), -step_mib)
    return tuple((gap_s * number, mem_set(size)) for number, size in enumerate(sizes))


def _lowered_maximum(guest: Guest) -> Iterator[tuple[str, Acts]]:
    first_mib, low_mib = guest.part_mib(0.78), guest.part_mib(0.4)
    for gap_s in (0.05, 0.5, 1.0, 3.0, 10.0):
        yield (
            f"mem-set {first_mib}, mem-max {first_mib}, mem-set {low_mib}, {gap_s:g} s apart",
            (
                (0.0, mem_set(first_mib)),
                (gap_s, _if_xl_lets(mem_max(first_mib))),
                (2 * gap_s, mem_set(low_mib)),
                (3 * gap_s, again),
            ),
        )


def _moving_maximum(guest: Guest) -> Iterator[tuple[str, Acts]]:
    """For Qubes, where static-max goes with the target."""
    for gap_s, part in ((0.1, 20), (0.5, 40), (1.0, 100), (3.0, 40)):
        step_mib = part * (guest.memory_mib // 512)
        asks = _downwards(guest, gap_s, step_mib)
        yield f"qmemman takes {step_mib} MiB each {gap_s:g} s", asks


def _bad_at_start(guest: Guest) -> Iterator[tuple[str, Acts]]:
    low_mib = guest.part_mib(0.4)
    for text in ("0x80000", "0", "1", str(low_mib), str(low_mib * MIB)):
        yield (
            f"memory/target is {text} when the daemon starts",
            ((ALREADY, script_writes(text)), (0.0, again)),
        )


def _failing_writes(guest: Guest) -> Iterator[tuple[str, Acts]]:
    low_mib = guest.part_mib(0.4)
    for for_s in (0.005, 0.02, 0.05):
        yield (
            f"mem-set {low_mib} while target_kb cannot be written for {for_s * 1000:g} ms",
            ((0.0, writes_fail(for_s)), (0.0, mem_set(low_mib)), (5.0, again)),
        )


FAMILIES: Final[Mapping[str, tuple[Plan, type[Libxl]]]] = {
    "second-value": (_second_values, Libxl),
    "same-value": (_same_values, Libxl),
    "steps": (_steps, Libxl),
    "lowered-maximum": (_lowered_maximum, Libxl),
    "moving-maximum": (_moving_maximum, _HotplugQubes),
    "bad-at-start": (_bad_at_start, Libxl),
    "failing-writes": (_failing_writes, Libxl),
}


def stories(family: str, guest: Guest, from_s: float) -> Iterator[Scenario]:
    """Every schedule of a family for that guest, beginning `from_s` after its daemon started."""
    plan, toolstack = FAMILIES[family]
    for number, (what, asks) in enumerate(plan(guest)):
        later = [(from_s + when_s, ask) for when_s, ask in asks]
        yield schedule(f"{family}-{number}@{guest.name}", what, later, guest, toolstack)


def variation(name: str) -> Scenario:
    """The story called FAMILY-N, FAMILY-N@GUEST or random-N.

    Raises:
        KeyError: there is none.
    """
    what, _, who = name.partition("@")
    family, _, number = what.rpartition("-")
    if not is_digits(number, MOST_DIGITS):
        raise KeyError(name)
    if family == "random" and not who:
        return random_story(int(number))
    guest = {guest.name: guest for guest in GUESTS}[who or Guest().name]
    told = {story.name: story for story in stories(family, guest, 5.0)}
    return told[f"{family}-{int(number)}@{guest.name}"]


def random_story(number: int) -> Scenario:
    """One of as many as one likes: some guest, and a host that asks as it pleases."""
    chance = Random(number)  # noqa: S311 -- chance in a model, no secret
    guest = chance.choice(GUESTS)
    now_s = chance.choice((0.5, 5.0, 20.0, 40.0))
    gap_s = chance.choice((0.02, 0.1, 0.3, 1.0, 3.0, 10.0))
    asks: list[tuple[float, Act]] = []
    for _ in range(chance.randint(1, 25)):
        asks.append((now_s, _some_ask(chance, guest)))
        now_s += gap_s * chance.uniform(0.3, 2.0)
    return schedule(f"random-{number}", f"{guest.name}: {len(asks)} asks", asks, guest)


def _some_ask(chance: Random, guest: Guest) -> Act:
    size_mib = guest.part_mib(chance.uniform(0.2, 1.0))
    odd = chance.choice(("0x80000", "0", "-1", "abc", str(size_mib), str(1 << 55)))
    return chance.choice(
        (
            *(4 * (_if_xl_lets(mem_set(size_mib)),)),
            *(2 * (again,)),
            _if_xl_lets(mem_max(size_mib)),
            script_writes(odd),
            writes_fail(chance.choice((0.002, 0.01, 0.03))),
        )
    )


def _if_xl_lets(ask: Act) -> Act:
    """Xl refuses some: a target above the maximum, a maximum below the target, a broken key."""

    def try_it(stage: Stage) -> None:
        try:
            ask(stage)
        except ToolstackError as error:
            stage.domain.tell("refused", str(error))

    return try_it
