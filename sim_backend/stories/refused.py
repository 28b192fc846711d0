# SPDX-License-Identifier: GPL-2.0-or-later
"""Somebody does not give: the host is exhausted, a limit too small, a driver asleep."""

from __future__ import annotations

from typing import Final

from agent.core.facts.units import KIB
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.kernel_images import DEBIAN_11, DEBIAN_12, DEBIAN_13
from sim_backend.host.other_toolstacks import IgnoresMaxmem
from sim_backend.host.qubes import Qubes
from sim_backend.host.xapi import Xapi
from sim_backend.stories.acts import busy, host_is_full, mem_max, mem_set, script_writes
from sim_backend.stories.checks import available_stays_above, no_oom, settles_at, writes_at_most
from sim_backend.stories.scenario import Check, Scenario, Stage

_BEYOND_THE_LIMIT: Final = script_writes(
    str(700 * MIB), "memory/target becomes 700 MiB, the limit stays 513"
)


class _HotplugQubes(Qubes):
    hotplug_max_kib = 4000 * MIB


def _asks_for_more_than_it_allows(stage: Stage) -> None:
    stage.toolstack.mem_set(stage.domain, 768 * MIB)
    stage.domain.reservation.max_pages -= 512


def _limit_is_short(stage: Stage) -> None:
    assert isinstance(stage.toolstack, Xapi)
    stage.domain.store.guest_write("control/feature-balloon", "1")
    stage.toolstack.squeezed.limit_error_kib = MIB


def _limit_is_corrected(stage: Stage) -> None:
    assert isinstance(stage.toolstack, Xapi)
    stage.toolstack.squeezed.limit_error_kib = 0
    stage.toolstack.squeezed.apply_limit(stage.domain)
    stage.domain.tell("host-limit", "the administrator corrects the limit")


def _is_cooperative_again(stage: Stage) -> Check:
    marked = stage.domain.store.read("memory/uncooperative") is not None
    return Check("squeezed takes its mark back", not marked, "marked" if marked else "not marked")


SCENARIOS: Final = (
    Scenario(
        name="host-exhausted",
        summary="the host promises 1024 MiB and has 100 MiB free, for a minute",
        good_agent="waits, and wakes the driver that gave up once there is memory again",
        duration_s=180.0,
        show_at_s=40.0,
        acts=((0.0, host_is_full(until_s=60.0)), (5.0, mem_set(1024))),
        checks=(settles_at(1024, within_s=150.0), writes_at_most(16)),
    ),
    Scenario(
        name="cancelled-driver",
        summary="a target beyond the limit makes the driver give up; later the limit is raised",
        good_agent="sees the sleeping driver and wakes it by aiming a page aside for a moment",
        duration_s=150.0,
        show_at_s=40.0,
        acts=((5.0, _BEYOND_THE_LIMIT), (60.0, mem_max(1024))),
        checks=(settles_at(700, within_s=120.0), writes_at_most(12)),
    ),
    Scenario(
        name="stuck",
        summary="a toolstack's limit is 2 MiB too small: the target is never reached",
        good_agent="reports the cause and tries now and then; it does not hammer",
        duration_s=300.0,
        show_at_s=60.0,
        acts=((5.0, _asks_for_more_than_it_allows),),
        checks=(settles_at(767, within_s=30.0), writes_at_most(32), no_oom),
    ),
    Scenario(
        name="target-in-mib",
        summary="a script writes memory/target in MiB: the guest is told to live in 768 KiB",
        good_agent="names the unit that was meant, and keeps what the guest needs",
        duration_s=120.0,
        show_at_s=40.0,
        guest=GuestConfig(workload=busy(150)),
        acts=((5.0, script_writes("768")), (60.0, mem_set(768))),
        checks=(
            settles_at(768, within_s=90.0),
            available_stays_above(16),
            no_oom,
            writes_at_most(24),
        ),
        mode="guard",
    ),
    Scenario(
        name="target-in-bytes",
        summary="a script writes memory/target in bytes: the guest is told to take 768 GiB",
        good_agent="names the unit that was meant, and does not hammer",
        duration_s=120.0,
        show_at_s=40.0,
        acts=((5.0, script_writes(str(768 * MIB * KIB))), (60.0, mem_set(768))),
        checks=(settles_at(768, within_s=90.0), writes_at_most(12)),
    ),
    Scenario(
        name="hotplug-offline",
        summary="Linux 5.10 hot-adds memory and leaves it offline",
        good_agent="puts the blocks online",
        duration_s=60.0,
        show_at_s=20.0,
        guest=GuestConfig(image=DEBIAN_11),
        acts=((5.0, mem_set(768)),),
        checks=(settles_at(768, within_s=20.0), writes_at_most(2)),
    ),
    Scenario(
        name="maxmem-many-times-memory",
        summary="maxmem is sixteen times memory: the map stops at eleven, the rest is hot-added",
        good_agent="puts the hot-added rest online",
        duration_s=90.0,
        show_at_s=40.0,
        guest=GuestConfig("pv", 256 * MIB, 4096 * MIB),
        acts=((5.0, mem_set(4096)),),
        checks=(settles_at(4096, within_s=40.0), writes_at_most(2)),
    ),
    Scenario(
        name="maxmem-ignored",
        summary="a toolstack forgot maxmem in the map, and the kernel cannot hot-add",
        good_agent="sees the target snap back, says why, and does not fight",
        duration_s=60.0,
        show_at_s=20.0,
        guest=GuestConfig(image=DEBIAN_12._replace(hotplug=False)),
        toolstack=IgnoresMaxmem,
        acts=((5.0, mem_set(1024)),),
        checks=(settles_at(512, within_s=1.0), writes_at_most(5)),
    ),
    Scenario(
        name="xapi-uncooperative",
        summary="squeezed's limit is 1 MiB short, so it calls the guest uncooperative",
        good_agent="reports it, and wakes the driver once the limit is right",
        duration_s=150.0,
        show_at_s=45.0,
        toolstack=Xapi,
        acts=((0.0, _limit_is_short), (5.0, mem_set(768)), (60.0, _limit_is_corrected)),
        checks=(settles_at(768, within_s=110.0), _is_cooperative_again, writes_at_most(12)),
    ),
    Scenario(
        name="qubes-static-max-moves",
        summary="qmemman moves static-max with the target; it is no maximum",
        good_agent="keeps the constant it learned at boot and leaves the kernel alone",
        duration_s=80.0,
        show_at_s=30.0,
        guest=GuestConfig("pvh", 400 * MIB, 400 * MIB, image=DEBIAN_13, workload=busy(120)),
        toolstack=_HotplugQubes,
        acts=((5.0, mem_set(800)), (40.0, mem_set(600))),
        checks=(settles_at(600 - 16, within_s=60.0), writes_at_most(6), no_oom),
    ),
)
