# SPDX-License-Identifier: GPL-2.0-or-later
"""Every capture of a real guest, of whatever kernel and size, comes out of the simulator.

Maps, counters, blocks and zones are equal to the page.  MemTotal is allowed one figure per boot,
because initrd and per-CPU areas lie elsewhere each time; it has to hold for every state of that
boot.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest

from agent.core.facts.snapshot import Snapshot
from sim_backend.clock import Clock
from sim_backend.guest.blocks import SCRATCH
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.host.libxl import Libxl
from sim_backend.hypervisor import Host
from tests import captures
from tests.sim_backend.guests import MEASURED
from tests.support.captured import as_xen_417_has_it, load, snapshot_of

MOVING = re.compile(r"moving-(\d+)-to-(\d+)|memset-(\d+)-still-moving")
MEM_SET = re.compile(r"(?:hotplugged-)?memset-(\d+)")
# Hot-added sections stay, so where memory is hot-added the order of the commands shows; this is
# the order in which they were given.
ORDER = {
    "pv-256-4096-k612": ("768", "256"),
    "pv-512-1024-e820host-k612": ("768", "384"),
    "pv-512-1024-e820host-k72": ("768", "384"),
    "pv-512-1024-k510": ("768", "1024", "384", "512"),
    "pv-512-1024-k510-onlined": ("768", "384", "512"),
    "pv-512-1024-k612": ("768", "1024", "384", "512"),
    "pv-512-1024-k612-unaligned": ("700", "600"),
    "pv-512-1024-k612-xen420": ("768", "384"),
    "pv-512-1024-k72": ("768", "1024", "384", "512"),
    "pv-512-1024-k72-unaligned": ("700", "600"),
}
# What one boot differs from another by, and what further processors cost.
MOST_VARIATION_KIB = 128
FOUR_CPUS_KIB = 1024
DRIVER_FILES = (
    "current_kib", "target_kib", "low_kib", "high_kib", "retry_count", "schedule_delay_s",
    "max_retry_count", "max_schedule_delay_s", "target_bytes",
)  # fmt: skip


Act = Callable[[], object]


class Seen(NamedTuple):
    name: str
    guest: str
    state: str
    snapshot: Snapshot


def seen(name: str) -> Seen:
    guest, _, state = name.partition("/")
    return Seen(name, guest, state, snapshot_of(name))


def config_of(capture: Seen) -> GuestConfig:
    meta = load(capture.name).meta
    release = capture.snapshot.domain.kernel
    assert release
    return GuestConfig(
        domain_type=meta["domain_type"],
        memory_kib=int(meta.get("memory_mib", 1024)) * MIB,
        maxmem_kib=int(meta.get("maxmem_mib", 1536)) * MIB,
        image=MEASURED[f"{release.major}.{release.minor}"],
        videoram_kib=max(0, capture.snapshot.host.videoram_kib or 0),
        e820_host="e820host" in capture.guest,
    )


class Scene:
    """The simulated guest of a capture, and the commands that led to it."""

    def __init__(self, capture: Seen) -> None:
        self.toolstack = Libxl(Clock(), Host())
        self.domain = self.toolstack.create(config_of(capture))
        self.capture = capture
        iomem = capture.snapshot.iomem
        if iomem and any(region.kind == SCRATCH for region in iomem.regions):
            self.domain.map_foreign(1)  # dom0, once it has served a guest

    def reach(self) -> SimulatedDomain:
        """The captures were taken 8 s after the last command."""
        acts = self._acts(self.capture.state)
        for number, act in enumerate(acts, start=1):
            act()
            after_s = 8.0 if number == len(acts) else 60.0
            self.domain.clock.run_until(self.domain.clock.now_s + after_s)
        return self.domain

    def mem_set(self, mib: str) -> None:
        self.toolstack.mem_set(self.domain, int(mib) * MIB)

    def online(self) -> None:
        for block in self.domain.blocks.reading().offline:
            self.domain.online_block(block)

    def _acts(self, state: str) -> list[Act]:
        """What was done before the capture, in order."""
        guest = self.capture.guest
        if state == "boot":
            return []
        if state == "xl-list-l":
            return [self._fill_dom0_keys]
        if guest == "pv-512-1024-hotplug":
            return self._hotplug_acts(state)
        found = MEM_SET.fullmatch(state)
        if found is None:
            return self._odd_acts(state)
        before: list[Act] = [self._fill_dom0_keys] if self.domain.config.is_dom0 else []
        order = ORDER.get(guest, (found[1],))
        for mib in order[: order.index(found[1])]:
            before.append(partial(self.mem_set, mib))
            if "onlined" in guest:
                before.append(self.online)
        return [*before, partial(self.mem_set, found[1])]

    def _fill_dom0_keys(self) -> None:
        self.toolstack.fill_dom0_keys(self.domain)

    def _hotplug_acts(self, state: str) -> list[Act]:
        """static-max was raised beyond the map; what was hot-added was put online by hand."""
        acts: list[Act] = [partial(self.toolstack.mem_max, self.domain, 1536 * MIB)]
        acts.append(partial(self.mem_set, "1280"))
        if state.startswith("hotplugged"):
            acts.append(self.online)
        found = MEM_SET.fullmatch(state)
        return [*acts, partial(self.mem_set, found[1])] if found else acts

    def _odd_acts(self, state: str) -> list[Act]:
        if state == "online-768":
            return [partial(self.mem_set, "768"), self.online]
        low = partial(self.mem_set, "384")
        if state == "guest-target_kb-655360":
            return [low, partial(self.domain.set_target_kib, 655360)]
        write = partial(self.domain.store.write, "memory/target")
        if state == "target-garbled":
            return [partial(write, "393216x")]
        assert state == "xenstore-raw-beyond-maxmem"
        return [low, partial(write, "327680"), partial(write, "2097152")]


# How far these had come depends on what their programs used, or on the moment between attempts.
UNDER_WAY = {"pv-512-1024-units/target-in-mib", "pv-512-1024-units/target-in-bytes"}
IN_MOTION = {name for name in captures.names() if MOVING.fullmatch(name.partition("/")[2])}
# The simulated host gives its PVH dom0 no map of a real machine's memory.
OF_THE_HOST = {name for name in captures.names() if name.startswith("dom0-pvh")}
NAMES = sorted(set(captures.names()) - IN_MOTION - UNDER_WAY - OF_THE_HOST)


def shown(snapshot: Snapshot) -> dict[str, Any]:
    balloon, blocks, zones = snapshot.balloon, snapshot.blocks, snapshot.zones
    assert balloon
    assert blocks
    assert zones
    assert snapshot.firmware_map
    assert snapshot.iomem
    return {
        "driver": {name: getattr(balloon, name) for name in DRIVER_FILES},
        "firmware_map": [*map(as_xen_417_has_it, snapshot.firmware_map.in_order_read)],
        "iomem": [
            region
            for region in snapshot.iomem.regions
            if region.kind in ("System RAM", "Xen scratch")
        ],
        "blocks": (blocks.block_bytes, blocks.online, blocks.offline, blocks.auto_online),
        "zones": (zones.spanned_pages, zones.present_pages),
        "host": (snapshot.host.target_kib, snapshot.host.static_max_kib),
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_captured_guest_is_reproduced_to_the_page(name: str) -> None:
    capture = seen(name)
    assert shown(Scene(capture).reach().snapshot()) == shown(capture.snapshot)


def test_what_a_boot_reserves_differs_by_one_figure_for_all_its_states() -> None:
    variations: dict[str, set[int]] = defaultdict(set)
    for name in NAMES:
        capture = seen(name)
        assert capture.snapshot.memory
        simulated = Scene(capture).reach().memory.managed_kib
        variations[capture.guest].add(capture.snapshot.memory.total_kib - simulated)
    assert {guest for guest, found in variations.items() if len(found) > 1} == set()
    for guest, (variation_kib,) in variations.items():
        most_kib = FOUR_CPUS_KIB if "4cpus" in guest else MOST_VARIATION_KIB
        assert abs(variation_kib) <= most_kib, guest


@pytest.mark.parametrize("name", sorted(IN_MOTION))
def test_a_guest_captured_in_motion_was_at_a_place_the_simulated_one_passes(name: str) -> None:
    capture = seen(name)
    found = MOVING.fullmatch(capture.state)
    assert found
    scene = Scene(capture)
    domain, before, after = scene.domain, found[1] or "1024", found[2] or found[3]
    scene.mem_set(before)
    domain.settle()
    scene.mem_set(after)
    passed: set[int] = set()
    until_s = domain.clock.now_s + 60.0
    while (due_s := domain.clock.next_event_s()) is not None and due_s <= until_s:
        domain.clock.step()
        passed.add(domain.current_kib)
    assert capture.snapshot.balloon
    assert capture.snapshot.balloon.current_kib in passed
    assert capture.snapshot.balloon.target_kib == domain.target_kib
