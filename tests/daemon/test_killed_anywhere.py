# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 between any two things the daemon does, again and again: the guest is no worse off.

In virtual time, against the simulated kernel.  Every read, write and message of the daemon is a
moment in which it may die, before or after it took effect; the service manager starts another one
two seconds later.  What a file takes to stay whole is told by `test_killed`.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from agent.core.account.situation import understand
from agent.core.policy.settings import PolicySettings
from sim_backend.guest.kernel_images import DEBIAN_11, DEBIAN_12, KernelImage
from tests.daemon.test_whole_runs import MIB, Run, check_writes
from tests.support.virtual_daemon import Killed

DIES_UNTIL_S = 60.0
LASTS_S = 110.0
# How often something is the last that it did: an act or a message, or one of many reads.
DOES = 1 / 10
READS = 1 / 200
SEEDS = range(3)
LEAST_DEATHS = 5


class Story(NamedTuple):
    """What happens to the guest, and when."""

    policy: PolicySettings
    happens: tuple[tuple[float, str, Any], ...]
    image: KernelImage = DEBIAN_12


STORIES = {
    "follow, refused": Story(
        PolicySettings(mode="follow"),
        ((1.0, "host-is-full", True), (2.0, "host-asks", 768), (40.0, "host-is-full", False)),
    ),
    "follow, offline": Story(
        PolicySettings(mode="follow"),
        tuple((5.0 + 10 * step, "host-asks", 650 + 50 * step) for step in range(6)),
        DEBIAN_11,
    ),
    "guard": Story(
        PolicySettings(mode="guard"),
        (
            (1.0, "workload", 120),
            *((5.0 + 10 * step, "host-asks", 280 - 10 * (step % 3)) for step in range(6)),
        ),
    ),
    "self": Story(
        PolicySettings(mode="self", self_interval_s=2.0, self_calm_s=4.0),
        ((1.0, "workload", 120), (30.0, "workload", 200), (50.0, "workload", 100)),
    ),
}


class Mortal(Run):
    """A run whose daemon dies when `chance` says so; without it, one that is left in peace."""

    def __init__(self, story: Story, chance: random.Random | None = None) -> None:
        super().__init__(story.policy, image=story.image)
        self.deaths = 0
        self._chance = chance
        for when_s, kind, value in story.happens:
            self.plan(when_s, kind, value)
        virtual = self.virtual
        for edge, names in (
            (virtual.root, ("write",)),
            (virtual.session, ("connect", "watch", "write", "remove")),
            (virtual.files, ("replace",)),
            (virtual.lines, ("_write",)),
            (virtual.manager, ("alive", "ready", "status")),
        ):
            for name in names:
                self._make_deadly(edge, name, DOES)
        self._make_deadly(virtual.root, "read_bytes", READS)
        self._make_deadly(virtual.session, "read", READS)

    def _make_deadly(self, edge: Any, name: str, likely: float) -> None:
        alive: Callable[..., Any] = getattr(edge, name)

        def mortal(*arguments: Any, **named: Any) -> Any:
            dies = self._dies(likely)
            if dies == "before":
                raise Killed
            result = alive(*arguments, **named)
            if dies == "after":
                raise Killed
            return result

        setattr(edge, name, mortal)

    def _dies(self, likely: float) -> str | None:
        now_s = self.domain.clock.now_s
        if self._chance is None or now_s > self.began_s + DIES_UNTIL_S:
            return None
        if self._chance.random() >= likely:
            return None
        self.deaths += 1
        self.afresh_s.append(now_s)
        return self._chance.choice(("before", "after"))

    @property
    def current_mib(self) -> int:
        return self.domain.current_kib // MIB

    def play(self) -> None:
        self.virtual.start()
        self.virtual.run(self.began_s + LASTS_S)


@functools.cache
def undisturbed_mib(name: str) -> int:
    """What the guest ends with when the daemon is left in peace."""
    run = Mortal(STORIES[name])
    run.play()
    return run.current_mib


@functools.cache
def unattended_mib(name: str) -> int:
    """What the guest ends with without a daemon; nothing is killed in it, either."""
    run = Mortal(STORIES[name])
    run.domain.clock.run_until(run.began_s + LASTS_S)
    assert run.domain.memory.oom_kills == 0
    return run.current_mib


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("seed", SEEDS)
def test_killed_anywhere_again_and_again_it_leaves_the_guest_no_worse_off(
    name: str, seed: int
) -> None:
    run = Mortal(STORIES[name], random.Random(seed))
    run.play()

    assert run.deaths >= LEAST_DEATHS
    assert run.virtual.runs
    assert run.domain.memory.oom_kills == 0
    check_writes(run)
    assert run.domain.store.read("data/balloon/actual_kb") == str(run.domain.current_kib)
    if run.policy.mode == "follow":
        assert run.current_mib == undisturbed_mib(name) > unattended_mib(name)
    elif run.policy.mode == "guard":
        assert unattended_mib(name) <= run.current_mib <= undisturbed_mib(name)
    else:
        floor_kib = understand(run.domain.snapshot()).headroom.floor_kib
        assert (floor_kib or 0) <= run.domain.current_kib < unattended_mib(name) * MIB
