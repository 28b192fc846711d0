# SPDX-License-Identifier: GPL-2.0-or-later
"""Somebody does not give: the host is exhausted, a limit too small, a driver asleep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.core.facts.units import KIB, PAGE_KIB
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.kernel_images import DEBIAN_11, DEBIAN_12, DEBIAN_13
from sim_backend.host.other_toolstacks import IgnoresMaxmem
from sim_backend.host.qubes import Qubes
from sim_backend.host.xapi import Xapi
from sim_backend.stories import checks
from sim_backend.stories.scenario import Check, Scenario, Stage
from sim_backend.stories.stages import busy, script_writes, stage_for


def _exhausted(seed: int, name: str) -> Stage:
    stage = stage_for(seed, name)
    host = stage.domain.host
    taken = host.take_for_another(host.free_kib - 100 * MIB)
    stage.mem_set(5.0, 1024)
    stage.at(60.0, lambda: host.return_from_another(taken))
    return stage


def _exhausted_judged(stage: Stage) -> Sequence[Check]:
    return (checks.settles_at(stage, 1024 * MIB, within_s=150.0), checks.writes_at_most(stage, 16))


def _cancelled(seed: int, name: str) -> Stage:
    """The limit is raised later, without a word to the guest."""
    stage = stage_for(seed, name)

    def beyond() -> None:
        stage.domain.tell("host-target", "memory/target becomes 700 MiB, the limit stays 513")
        stage.domain.store.write("memory/target", str(700 * MIB))

    stage.at(5.0, beyond)
    stage.at(60.0, lambda: stage.toolstack.mem_max(stage.domain, 1024 * MIB))
    return stage


def _cancelled_judged(stage: Stage) -> Sequence[Check]:
    return (checks.settles_at(stage, 700 * MIB, within_s=120.0), checks.writes_at_most(stage, 12))


def _stuck(seed: int, name: str) -> Stage:
    """A toolstack whose limit is 1 MiB below what it asks for."""
    stage = stage_for(seed, name)

    def ask() -> None:
        stage.toolstack.mem_set(stage.domain, 768 * MIB)
        stage.domain.reservation.max_pages -= 512

    stage.at(5.0, ask)
    return stage


def _stuck_judged(stage: Stage) -> Sequence[Check]:
    return (
        checks.settles_at(stage, 767 * MIB, within_s=30.0),
        checks.writes_at_most(stage, 32),
        checks.no_oom(stage),
    )


def _uncooperative(seed: int, name: str) -> Stage:
    stage = stage_for(seed, name, toolstack=Xapi)
    xapi = stage.toolstack
    assert isinstance(xapi, Xapi)
    stage.domain.store.guest_write("control/feature-balloon", "1")
    xapi.squeezed.limit_error_kib = MIB
    stage.mem_set(5.0, 768)

    def repair() -> None:
        xapi.squeezed.limit_error_kib = 0
        xapi.squeezed.apply_limit(stage.domain)
        stage.domain.tell("host-limit", "the administrator corrects the limit")

    stage.at(60.0, repair)
    return stage


def _uncooperative_judged(stage: Stage) -> Sequence[Check]:
    marked = stage.domain.store.read("memory/uncooperative") is not None
    return (
        checks.settles_at(stage, 768 * MIB, within_s=110.0),
        Check("squeezed takes its mark back", not marked, "marked" if marked else "not marked"),
        checks.writes_at_most(stage, 12),
    )


def _qubes(seed: int, name: str) -> Stage:
    class HotplugQubes(Qubes):
        hotplug_max_kib = 4000 * MIB

    config = GuestConfig("pvh", 400 * MIB, 400 * MIB, image=DEBIAN_13, workload=busy(120))
    stage = stage_for(seed, name, config, HotplugQubes)
    stage.mem_set(5.0, 800)
    stage.mem_set(40.0, 600)
    return stage


def _qubes_judged(stage: Stage) -> Sequence[Check]:
    offset_kib = stage.domain.driver.target_offset_pages * PAGE_KIB
    return (
        checks.settles_at(stage, (600 - 16) * MIB - offset_kib, within_s=60.0),
        checks.writes_at_most(stage, 6),
        checks.no_oom(stage),
    )


def _offline(seed: int, name: str) -> Stage:
    stage = stage_for(seed, name, GuestConfig(image=DEBIAN_11))
    stage.mem_set(5.0, 768)
    return stage


def _offline_judged(stage: Stage) -> Sequence[Check]:
    return (checks.settles_at(stage, 768 * MIB, within_s=20.0), checks.writes_at_most(stage, 2))


def _many_times(seed: int, name: str) -> Stage:
    stage = stage_for(seed, name, GuestConfig("pv", 256 * MIB, 4096 * MIB))
    stage.mem_set(5.0, 4096)
    return stage


def _many_times_judged(stage: Stage) -> Sequence[Check]:
    return (checks.settles_at(stage, 4096 * MIB, within_s=40.0), checks.writes_at_most(stage, 2))


def _ignored(seed: int, name: str) -> Stage:
    image = DEBIAN_12._replace(hotplug=False)
    stage = stage_for(seed, name, GuestConfig(image=image), IgnoresMaxmem)
    stage.mem_set(5.0, 1024)
    return stage


def _ignored_judged(stage: Stage) -> Sequence[Check]:
    return (checks.settles_at(stage, 512 * MIB, within_s=1.0), checks.writes_at_most(stage, 5))


def _in_mib(seed: int, name: str) -> Stage:
    stage = stage_for(seed, name, GuestConfig(workload=busy(150)))
    stage.at(5.0, lambda: script_writes(stage, "768"))
    stage.mem_set(60.0, 768)
    return stage


def _in_mib_judged(stage: Stage) -> Sequence[Check]:
    return (
        checks.settles_at(stage, 768 * MIB, within_s=90.0),
        checks.available_stays_above(stage, 16 * MIB),
        checks.no_oom(stage),
        checks.writes_at_most(stage, 24),
    )


def _in_bytes(seed: int, name: str) -> Stage:
    stage = stage_for(seed, name)
    stage.at(5.0, lambda: script_writes(stage, str(768 * MIB * KIB)))
    stage.mem_set(60.0, 768)
    return stage


def _in_bytes_judged(stage: Stage) -> Sequence[Check]:
    return (checks.settles_at(stage, 768 * MIB, within_s=90.0), checks.writes_at_most(stage, 12))


SCENARIOS: Final = (
    Scenario(
        name="host-exhausted",
        summary="the host promises 1024 MiB and has 100 MiB free, for a minute",
        good_agent="waits, and wakes the driver that gave up once there is memory again",
        duration_s=180.0,
        show_at_s=40.0,
        build=_exhausted,
        judge=_exhausted_judged,
    ),
    Scenario(
        name="cancelled-driver",
        summary="a target beyond the limit makes the driver give up; later the limit is raised",
        good_agent="sees the sleeping driver and wakes it by aiming a page aside for a moment",
        duration_s=150.0,
        show_at_s=40.0,
        build=_cancelled,
        judge=_cancelled_judged,
    ),
    Scenario(
        name="stuck",
        summary="a toolstack's limit is 2 MiB too small: the target is never reached",
        good_agent="reports the cause and tries now and then; it does not hammer",
        duration_s=300.0,
        show_at_s=60.0,
        build=_stuck,
        judge=_stuck_judged,
    ),
    Scenario(
        name="target-in-mib",
        summary="a script writes memory/target in MiB: the guest is told to live in 768 KiB",
        good_agent="names the unit that was meant, and keeps what the guest needs",
        duration_s=120.0,
        show_at_s=40.0,
        build=_in_mib,
        judge=_in_mib_judged,
        mode="guard",
    ),
    Scenario(
        name="target-in-bytes",
        summary="a script writes memory/target in bytes: the guest is told to take 768 GiB",
        good_agent="names the unit that was meant, and does not hammer",
        duration_s=120.0,
        show_at_s=40.0,
        build=_in_bytes,
        judge=_in_bytes_judged,
    ),
    Scenario(
        name="hotplug-offline",
        summary="Linux 5.10 hot-adds memory and leaves it offline",
        good_agent="puts the blocks online",
        duration_s=60.0,
        show_at_s=20.0,
        build=_offline,
        judge=_offline_judged,
    ),
    Scenario(
        name="maxmem-many-times-memory",
        summary="maxmem is sixteen times memory: the map stops at eleven, the rest is hot-added",
        good_agent="puts the hot-added rest online",
        duration_s=90.0,
        show_at_s=40.0,
        build=_many_times,
        judge=_many_times_judged,
    ),
    Scenario(
        name="maxmem-ignored",
        summary="a toolstack forgot maxmem in the map, and the kernel cannot hot-add",
        good_agent="sees the target snap back, says why, and does not fight",
        duration_s=60.0,
        show_at_s=20.0,
        build=_ignored,
        judge=_ignored_judged,
    ),
    Scenario(
        name="xapi-uncooperative",
        summary="squeezed's limit is 1 MiB short, so it calls the guest uncooperative",
        good_agent="reports it, and wakes the driver once the limit is right",
        duration_s=150.0,
        show_at_s=45.0,
        build=_uncooperative,
        judge=_uncooperative_judged,
    ),
    Scenario(
        name="qubes-static-max-moves",
        summary="qmemman moves static-max with the target; it is no maximum",
        good_agent="keeps the constant it learned at boot and leaves the kernel alone",
        duration_s=80.0,
        show_at_s=30.0,
        build=_qubes,
        judge=_qubes_judged,
    ),
)
