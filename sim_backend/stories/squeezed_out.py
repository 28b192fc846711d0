# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest needs more than it has: stories that end with the OOM killer when nobody acts."""

from __future__ import annotations

from typing import Final

from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.stories.acts import busy, mem_set, programs_use, script_writes, squeeze_by_hand
from sim_backend.stories.checks import (
    alive,
    no_lasting_stall,
    no_oom,
    settles_at,
    writes_at_most,
)
from sim_backend.stories.scenario import Check, Scenario, Stage


def _gets_what_can_be_spared(stage: Stage) -> Check:
    need_kib = stage.domain.memory.used_kib + stage.domain.boot.overhead_kib
    ended_kib = stage.samples[-1].current_kib
    return Check(
        "the host gets what the guest can spare",
        ended_kib < min(need_kib + 96 * MIB, 512 * MIB),
        f"current {ended_kib} KiB, needed {need_kib} KiB",
    )


def _leaks(stage: Stage) -> None:
    """From now on a program leaks 2 MiB a second."""

    def more() -> None:
        anon_kib = stage.domain.memory.workload.anon_kib
        if 0 < anon_kib < 480 * MIB:
            stage.domain.change_workload(anon_kib=anon_kib + 2 * MIB)

    more()
    stage.clock.every(1.0, more)


# The kernel reads decimal digits and stops: 0x80000 is 0 to it, and it shrinks to nothing.
_GARBAGE: Final = ((5.0, "abc"), (8.0, ""), (11.0, "-1"), (14.0, "0x80000"))

SCENARIOS: Final = (
    Scenario(
        name="down-below-working-set",
        summary="a guest that needs 420 MiB is asked down to 200",
        good_agent="stops the kernel at what the guest needs, and says so",
        duration_s=90.0,
        show_at_s=12.0,
        guest=GuestConfig(workload=busy(300)),
        acts=((5.0, mem_set(200)),),
        checks=(no_oom, no_lasting_stall, writes_at_most(8), _gets_what_can_be_spared),
        mode="guard",
    ),
    Scenario(
        name="leak",
        summary="a program leaks 2 MiB a second in a guest that was squeezed by hand",
        good_agent="takes back what the host allows before the leak bites",
        duration_s=260.0,
        show_at_s=80.0,
        guest=GuestConfig("pv", 768 * MIB, 1024 * MIB, workload=busy(120)),
        acts=((1.0, squeeze_by_hand), (1.0, _leaks)),
        checks=(no_oom, alive, no_lasting_stall, writes_at_most(20)),
    ),
    Scenario(
        name="burst",
        summary="the guest suddenly needs 400 MiB more while it is shrinking",
        good_agent="stops the shrinking at once, and lets it go on when the burst is over",
        duration_s=120.0,
        show_at_s=20.0,
        guest=GuestConfig("pvh", 1024 * MIB, 1024 * MIB, workload=busy(80)),
        acts=((5.0, mem_set(400)), (6.0, programs_use(480)), (40.0, programs_use(80))),
        checks=(no_oom, settles_at(400, within_s=90.0), writes_at_most(20)),
        mode="guard",
    ),
    Scenario(
        name="sudden-allocation",
        summary="a guest that shrank to what it needed is asked for 600 MiB at once by a program",
        good_agent="takes everything the host allows as soon as programs wait",
        duration_s=480.0,
        show_at_s=399.0,
        guest=GuestConfig("pv", 1024 * MIB, 1024 * MIB, workload=busy(120)),
        acts=((1.0, squeeze_by_hand), (400.0, programs_use(720))),
        checks=(no_oom, alive, no_lasting_stall, writes_at_most(40)),
    ),
    Scenario(
        name="garbage-target",
        summary="memory/target is abc, empty, -1, and then 0x80000, which the kernel takes for 0",
        good_agent="keeps the last sound target and stops the kernel from shrinking to nothing",
        duration_s=60.0,
        show_at_s=12.0,
        guest=GuestConfig(workload=busy(200)),
        acts=tuple(
            (when_s, script_writes(text, f"memory/target becomes {text!r}"))
            for when_s, text in _GARBAGE
        ),
        checks=(no_oom, alive, writes_at_most(4), no_lasting_stall),
    ),
)
