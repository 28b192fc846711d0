# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests whose memory map or kernel is out of the ordinary, and a silent xenstored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.core.facts.memory_map import SYSTEM_RAM, Region
from agent.core.facts.units import PAGE_KIB
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.kernel_images import DEBIAN_12, image_of
from sim_backend.host.other_toolstacks import Xend
from sim_backend.stories import checks
from sim_backend.stories.scenario import Check, Scenario, Stage
from sim_backend.stories.stages import stage_for


def _released(seed: int, name: str) -> Stage:
    image = image_of("2.6.32-5-xen-amd64")
    stage = stage_for(seed, name, GuestConfig(image=image, released_pages=1000))
    stage.mem_set(5.0, 768)
    return stage


def _released_judged(stage: Stage) -> Sequence[Check]:
    domain = stage.domain
    overstated_kib = domain.current_kib - domain.reservation.pages * PAGE_KIB
    return (
        checks.settles_at(stage, 768 * MIB, within_s=15.0),
        checks.writes_at_most(stage, 0),
        Check(
            "current overstates by the pages released at boot",
            overstated_kib == 4000,
            f"by {overstated_kib} KiB",
        ),
    )


def _pci_hole(seed: int, name: str) -> Stage:
    stage = stage_for(seed, name, GuestConfig(e820_host=True))
    stage.mem_set(5.0, 1024)
    return stage


def _pci_hole_judged(stage: Stage) -> Sequence[Check]:
    holes = len(stage.domain.blocks.firmware.holes())
    return (
        checks.settles_at(stage, 1024 * MIB, within_s=15.0),
        checks.writes_at_most(stage, 0),
        Check("the map has a hole below 4 GiB", holes == 2, f"{holes} holes"),
    )


def _dom0(seed: int, name: str) -> Stage:
    stage = stage_for(seed, name, GuestConfig("dom0-pv", 1024 * MIB, 1536 * MIB))

    def autoballoon() -> None:
        stage.toolstack.fill_dom0_keys(stage.domain)
        stage.toolstack.mem_set(stage.domain, 800 * MIB)

    stage.at(20.0, autoballoon)
    return stage


def _dom0_judged(stage: Stage) -> Sequence[Check]:
    before = [s.current_kib for s in stage.samples if s.when_s < 20.0]
    return (
        Check(
            "without a host target nothing moves",
            set(before) == {1024 * MIB},
            f"{len(set(before))} values before the toolstack wrote",
        ),
        checks.settles_at(stage, 800 * MIB, within_s=30.0),
        checks.writes_at_most(stage, 8),
    )


def _dom0_grants(seed: int, name: str) -> Stage:
    """A backend that opens more and more."""
    image = image_of("5.8.0", hotplug=False)
    stage = stage_for(seed, name, GuestConfig("dom0-pv", 1024 * MIB, 1024 * MIB, image=image))
    stage.at(2.0, lambda: stage.toolstack.fill_dom0_keys(stage.domain))

    def opens() -> None:
        stage.domain.map_foreign(1024)

    for second in range(5, 15):
        stage.at(second, opens)
    return stage


def _dom0_grants_judged(stage: Stage) -> Sequence[Check]:
    return (
        checks.settles_at(stage, (1024 - 40) * MIB, within_s=20.0),
        checks.writes_at_most(stage, 0),
    )


def _dom0_refused(seed: int, name: str) -> Stage:
    stage = stage_for(seed, name, GuestConfig("dom0-pv", 1024 * MIB, 1536 * MIB))
    host = stage.domain.host
    taken = host.take_for_another(host.free_kib - 100 * MIB)

    def asked_up() -> None:
        stage.toolstack.fill_dom0_keys(stage.domain)
        stage.toolstack.mem_set(stage.domain, 1280 * MIB)

    stage.at(5.0, asked_up)
    stage.at(60.0, lambda: host.return_from_another(taken))
    return stage


def _dom0_refused_judged(stage: Stage) -> Sequence[Check]:
    return (checks.settles_at(stage, 1280 * MIB, within_s=150.0), checks.writes_at_most(stage, 16))


def _narrow(seed: int, name: str) -> Stage:
    image = image_of("3.6.0-1-686-pae")
    stage = stage_for(seed, name, GuestConfig("pv", 512 * MIB, 4096 * MIB, bits=32, image=image))
    stage.mem_set(5.0, 1024)
    return stage


def _narrow_judged(stage: Stage) -> Sequence[Check]:
    high_kib = stage.domain.driver.high_pages * PAGE_KIB
    return (
        checks.settles_at(stage, 1024 * MIB, within_s=15.0),
        checks.writes_at_most(stage, 0),
        Check("the balloon lies in high memory", high_kib == 3072 * MIB, f"high_kb {high_kib}"),
    )


def _no_driver(seed: int, name: str) -> Stage:
    image = DEBIAN_12._replace(balloon=False)
    stage = stage_for(seed, name, GuestConfig(image=image))
    stage.mem_set(5.0, 384)
    return stage


def _no_driver_judged(stage: Stage) -> Sequence[Check]:
    return (
        checks.settles_at(stage, 512 * MIB, within_s=1.0),
        checks.writes_at_most(stage, 0),
        checks.no_oom(stage),
    )


def _past_4_gib(seed: int, name: str) -> Stage:
    image = image_of("3.7.6-2.pvops", auto_online="online")  # a udev rule did that in its time
    config = GuestConfig("pv", 256 * MIB, 8192 * MIB, image=image)
    stage = stage_for(seed, name, config, Xend)
    stage.mem_set(5.0, 5120)
    return stage


def _past_4_gib_judged(stage: Stage) -> Sequence[Check]:
    said = [text for _, text in stage.domain.kernel_said]
    return (
        checks.settles_at(stage, 2816 * MIB, within_s=30.0),
        checks.writes_at_most(stage, 6),
        Check("the kernel's log tells of the crash", len(said) == 1, "; ".join(said) or "silent"),
        checks.alive(stage),
    )


def _overlapping(seed: int, name: str) -> Stage:
    passed_on = (Region(0xF0000, 0xFFFFF, "Reserved"), Region(0x1FF00000, 0x1FF0FFFF, SYSTEM_RAM))
    stage = stage_for(seed, name, GuestConfig(e820_host=True, odd_regions=passed_on))
    stage.mem_set(5.0, 768)
    return stage


def _overlapping_judged(stage: Stage) -> Sequence[Check]:
    oddities = stage.domain.blocks.firmware.oddities
    return (
        checks.settles_at(stage, 768 * MIB, within_s=15.0),
        checks.writes_at_most(stage, 0),
        Check("the map is odd in two places", len(oddities) == 2, "; ".join(oddities)),
    )


def _restart(seed: int, name: str) -> Stage:
    stage = stage_for(seed, name)
    store = stage.domain.store

    def goes() -> None:
        store.silent = True
        stage.domain.tell("xenstored", "xenstored stops answering")

    def comes() -> None:
        store.silent = False
        stage.domain.tell("xenstored", "xenstored is back, every watch fires")
        store.fire_all()

    stage.at(10.0, goes)
    stage.at(30.0, comes)
    stage.mem_set(45.0, 640)
    return stage


def _restart_judged(stage: Stage) -> Sequence[Check]:
    meanwhile = {s.current_kib for s in stage.samples if s.when_s < 45.0}
    return (
        Check(
            "nothing moves while xenstored is silent",
            meanwhile == {512 * MIB},
            f"{len(meanwhile)} values",
        ),
        checks.settles_at(stage, 640 * MIB, within_s=55.0),
        checks.writes_at_most(stage, 0),
    )


SCENARIOS: Final = (
    Scenario(
        name="released-pages",
        summary="Linux 2.6.32 gave 1000 pages in a hole back to Xen and still counts them",
        good_agent="explains the difference and leaves the target alone",
        duration_s=30.0,
        show_at_s=2.0,
        build=_released,
        judge=_released_judged,
    ),
    Scenario(
        name="pci-hole",
        summary="e820_host: RAM below and above a hole of PCI addresses",
        good_agent="counts RAM, not addresses",
        duration_s=30.0,
        show_at_s=20.0,
        build=_pci_hole,
        judge=_pci_hole_judged,
    ),
    Scenario(
        name="dom0",
        summary="dom0 has no memory/target until a toolstack makes room for a guest",
        good_agent="takes the absence for normal, and follows once there is a target",
        duration_s=60.0,
        show_at_s=10.0,
        build=_dom0,
        judge=_dom0_judged,
    ),
    Scenario(
        name="dom0-grants",
        summary="dom0's backends have borrowed 40 MiB of its own memory, as before Linux 5.9",
        good_agent="knows lent from refused, and leaves the target alone",
        duration_s=120.0,
        show_at_s=60.0,
        build=_dom0_grants,
        judge=_dom0_grants_judged,
    ),
    Scenario(
        name="dom0-refused",
        summary="dom0 is asked up while another domain has the memory, and its driver gives up",
        good_agent="sees that the balloon still holds the pages, and wakes the driver",
        duration_s=180.0,
        show_at_s=40.0,
        build=_dom0_refused,
        judge=_dom0_refused_judged,
    ),
    Scenario(
        name="32-bit",
        summary="a 32-bit kernel: page structures crowd low memory, the balloon is in high memory",
        good_agent="adds low_kb and high_kb",
        duration_s=30.0,
        show_at_s=2.0,
        build=_narrow,
        judge=_narrow_judged,
    ),
    Scenario(
        name="no-driver",
        summary="a kernel built without the balloon driver is asked down and does not hear of it",
        good_agent="says that there is no driver, and tries nothing",
        duration_s=30.0,
        show_at_s=20.0,
        build=_no_driver,
        judge=_no_driver_judged,
    ),
    Scenario(
        name="past-4-gib",
        summary="Linux 3.7 under xend puts hot-added memory at 4 GiB to use: its worker crashes",
        good_agent="says so and leaves the target alone: only another kernel helps",
        duration_s=60.0,
        show_at_s=40.0,
        build=_past_4_gib,
        judge=_past_4_gib_judged,
    ),
    Scenario(
        name="overlapping-map",
        summary="a toolstack passes the host's map on as it is: ranges in it overlap",
        good_agent="counts each address once and says what is odd",
        duration_s=30.0,
        show_at_s=20.0,
        build=_overlapping,
        judge=_overlapping_judged,
    ),
    Scenario(
        name="xenstored-restart",
        summary="xenstored is silent for 20 s and comes back",
        good_agent="goes on with what it knows, and reads again when the watches fire",
        duration_s=80.0,
        show_at_s=20.0,
        build=_restart,
        judge=_restart_judged,
    ),
)
