# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests whose memory map or kernel is out of the ordinary, and a silent xenstored."""

from __future__ import annotations

from typing import Final

from agent.core.facts.memory_map import SYSTEM_RAM, Region
from agent.core.facts.units import PAGE_KIB
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.kernel_images import DEBIAN_12, image_of
from sim_backend.host.other_toolstacks import Xend
from sim_backend.stories.acts import dom0_is_set, host_is_full, mem_set
from sim_backend.stories.checks import alive, no_oom, settles_at, writes_at_most
from sim_backend.stories.scenario import Check, Scenario, Stage

# A udev rule put blocks online in its time.
_LINUX_3_7: Final = image_of("3.7.6-2.pvops", auto_online="online")
_OVERLAPPING: Final = (
    Region(0xF0000, 0xFFFFF, "Reserved"),
    Region(0x1FF00000, 0x1FF0FFFF, SYSTEM_RAM),
)


def _backend_opens(stage: Stage) -> None:
    stage.domain.map_foreign(1024)


def _xenstored_goes(stage: Stage) -> None:
    stage.domain.store.silent = True
    stage.domain.tell("xenstored", "xenstored stops answering")


def _xenstored_comes(stage: Stage) -> None:
    stage.domain.store.silent = False
    stage.domain.tell("xenstored", "xenstored is back, every watch fires")
    stage.domain.store.fire_all()


def _overstates(stage: Stage) -> Check:
    overstated_kib = stage.domain.current_kib - stage.domain.reservation.pages * PAGE_KIB
    return Check(
        "current overstates by the pages released at boot",
        overstated_kib == 4000,
        f"by {overstated_kib} KiB",
    )


def _has_a_hole(stage: Stage) -> Check:
    holes = len(stage.domain.blocks.firmware.holes())
    return Check("the map has a hole below 4 GiB", holes == 2, f"{holes} holes")


def _rests_without_a_target(stage: Stage) -> Check:
    seen = {s.current_kib for s in stage.samples if s.when_s < 20.0}
    return Check(
        "without a host target nothing moves",
        seen == {1024 * MIB},
        f"{len(seen)} values before the toolstack wrote",
    )


def _rests_meanwhile(stage: Stage) -> Check:
    seen = {s.current_kib for s in stage.samples if s.when_s < 45.0}
    return Check(
        "nothing moves while xenstored is silent", seen == {512 * MIB}, f"{len(seen)} values"
    )


def _is_high(stage: Stage) -> Check:
    high_kib = stage.domain.driver.high_pages * PAGE_KIB
    return Check("the balloon lies in high memory", high_kib == 3072 * MIB, f"high_kb {high_kib}")


def _log_tells(stage: Stage) -> Check:
    said = [text for _, text in stage.domain.kernel_said]
    return Check("the kernel's log tells of the crash", len(said) == 1, "; ".join(said) or "silent")


def _is_odd(stage: Stage) -> Check:
    oddities = stage.domain.blocks.firmware.oddities
    return Check("the map is odd in two places", len(oddities) == 2, "; ".join(oddities))


SCENARIOS: Final = (
    Scenario(
        name="released-pages",
        summary="Linux 2.6.32 gave 1000 pages in a hole back to Xen and still counts them",
        good_agent="explains the difference and leaves the target alone",
        duration_s=30.0,
        show_at_s=2.0,
        guest=GuestConfig(image=image_of("2.6.32-5-xen-amd64"), released_pages=1000),
        acts=((5.0, mem_set(768)),),
        checks=(settles_at(768, within_s=15.0), writes_at_most(0), _overstates),
    ),
    Scenario(
        name="pci-hole",
        summary="e820_host: RAM below and above a hole of PCI addresses",
        good_agent="counts RAM, not addresses",
        duration_s=30.0,
        show_at_s=20.0,
        guest=GuestConfig(e820_host=True),
        acts=((5.0, mem_set(1024)),),
        checks=(settles_at(1024, within_s=15.0), writes_at_most(0), _has_a_hole),
    ),
    Scenario(
        name="dom0",
        summary="dom0 has no memory/target until a toolstack makes room for a guest",
        good_agent="takes the absence for normal, and follows once there is a target",
        duration_s=60.0,
        show_at_s=10.0,
        guest=GuestConfig("dom0-pv", 1024 * MIB, 1536 * MIB),
        acts=((20.0, dom0_is_set(800)),),
        checks=(_rests_without_a_target, settles_at(800, within_s=30.0), writes_at_most(8)),
    ),
    Scenario(
        name="dom0-grants",
        summary="dom0's backends have borrowed 40 MiB of its own memory, as before Linux 5.9",
        good_agent="knows lent from refused, and leaves the target alone",
        duration_s=120.0,
        show_at_s=60.0,
        guest=GuestConfig(
            "dom0-pv", 1024 * MIB, 1024 * MIB, image=image_of("5.8.0", hotplug=False)
        ),
        acts=(
            (2.0, lambda stage: stage.toolstack.fill_dom0_keys(stage.domain)),
            *((float(second), _backend_opens) for second in range(5, 15)),
        ),
        checks=(settles_at(1024 - 40, within_s=20.0), writes_at_most(0)),
    ),
    Scenario(
        name="dom0-refused",
        summary="dom0 is asked up while another domain has the memory, and its driver gives up",
        good_agent="sees that the balloon still holds the pages, and wakes the driver",
        duration_s=180.0,
        show_at_s=40.0,
        guest=GuestConfig("dom0-pv", 1024 * MIB, 1536 * MIB),
        acts=((0.0, host_is_full(until_s=60.0)), (5.0, dom0_is_set(1280))),
        checks=(settles_at(1280, within_s=150.0), writes_at_most(16)),
    ),
    Scenario(
        name="32-bit",
        summary="a 32-bit kernel: page structures crowd low memory, the balloon is in high memory",
        good_agent="adds low_kb and high_kb",
        duration_s=30.0,
        show_at_s=2.0,
        guest=GuestConfig("pv", 512 * MIB, 4096 * MIB, bits=32, image=image_of("3.6.0-1-686-pae")),
        acts=((5.0, mem_set(1024)),),
        checks=(settles_at(1024, within_s=15.0), writes_at_most(0), _is_high),
    ),
    Scenario(
        name="no-driver",
        summary="a kernel built without the balloon driver is asked down and does not hear of it",
        good_agent="says that there is no driver, and tries nothing",
        duration_s=30.0,
        show_at_s=20.0,
        guest=GuestConfig(image=DEBIAN_12._replace(balloon=False)),
        acts=((5.0, mem_set(384)),),
        checks=(settles_at(512, within_s=1.0), writes_at_most(0), no_oom),
    ),
    Scenario(
        name="past-4-gib",
        summary="Linux 3.7 under xend puts hot-added memory at 4 GiB to use: its worker crashes",
        good_agent="says so and leaves the target alone: only another kernel helps",
        duration_s=60.0,
        show_at_s=40.0,
        guest=GuestConfig("pv", 256 * MIB, 8192 * MIB, image=_LINUX_3_7),
        toolstack=Xend,
        acts=((5.0, mem_set(5120)),),
        checks=(settles_at(2816, within_s=30.0), writes_at_most(6), _log_tells, alive),
    ),
    Scenario(
        name="overlapping-map",
        summary="a toolstack passes the host's map on as it is: ranges in it overlap",
        good_agent="counts each address once and says what is odd",
        duration_s=30.0,
        show_at_s=20.0,
        guest=GuestConfig(e820_host=True, odd_regions=_OVERLAPPING),
        acts=((5.0, mem_set(768)),),
        checks=(settles_at(768, within_s=15.0), writes_at_most(0), _is_odd),
    ),
    Scenario(
        name="xenstored-restart",
        summary="xenstored is silent for 20 s and comes back",
        good_agent="goes on with what it knows, and reads again when the watches fire",
        duration_s=80.0,
        show_at_s=20.0,
        acts=((10.0, _xenstored_goes), (30.0, _xenstored_comes), (45.0, mem_set(640))),
        checks=(_rests_meanwhile, settles_at(640, within_s=55.0), writes_at_most(0)),
    ),
)
