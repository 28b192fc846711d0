# SPDX-License-Identifier: GPL-2.0-or-later
"""The snapshot built in process equals the one read back from the capture of the same domain."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.facts.snapshot import DomainType, Origin, Snapshot
from agent.gather import gather
from agent.sources.system_root import SystemRoot
from agent.sources.xenstore.key_store import CapturedKeys
from sim_backend.clock import Clock
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.guest.kernel_images import image_of
from sim_backend.guest.memory import Workload
from sim_backend.host.libxl import Libxl, simple_guest
from sim_backend.host.other_toolstacks import Xend
from sim_backend.host.qubes import Qubes
from sim_backend.host.xapi import Xapi
from sim_backend.hypervisor import Host
from sim_backend.stories.catalogue import load, scenario_names
from tests.sim_backend.guests import LAB
from tests.support.simulated_capture import write_capture

ORIGIN = Origin("capture", "here")


def read_back(domain: SimulatedDomain, directory: Path) -> Snapshot:
    write_capture(domain, directory)
    root = SystemRoot(str(directory))
    return gather(root, CapturedKeys(root), ORIGIN)


def comparable(snapshot: Snapshot) -> Snapshot:
    """Without what a capture cannot tell: origin, and whether the balloon moves."""
    balloon = snapshot.balloon._replace(motion="unknown") if snapshot.balloon else None
    sources = dict(sorted(snapshot.sources.items()))
    return snapshot._replace(origin=ORIGIN, balloon=balloon, sources=sources)


@pytest.mark.parametrize("name", LAB)
def test_a_settled_guest_reads_the_same_through_its_files(name: str, tmp_path: Path) -> None:
    _, domain = simple_guest(LAB[name])
    assert comparable(read_back(domain, tmp_path)) == comparable(domain.snapshot())


@pytest.mark.parametrize("name", ["pv-512-1024", "pv-512-1024-k510", "pvh-512-1024-k612"])
def test_a_guest_in_motion_reads_the_same_through_its_files(name: str, tmp_path: Path) -> None:
    toolstack, domain = simple_guest(LAB[name])
    toolstack.mem_set(domain, 768 * MIB)
    domain.clock.run_until(domain.clock.now_s + 0.3)
    assert comparable(read_back(domain, tmp_path)) == comparable(domain.snapshot())


@pytest.mark.parametrize("release", ["2.6.32-5-xen-amd64", "3.2.0-4", "4.4.0-21", "4.19.0-27"])
def test_an_old_kernel_reads_the_same_through_its_files(release: str, tmp_path: Path) -> None:
    _, domain = simple_guest(GuestConfig(image=image_of(release, hotplug=False)))
    assert comparable(read_back(domain, tmp_path)) == comparable(domain.snapshot())


def under(toolstack: type[Libxl], config: GuestConfig) -> SimulatedDomain:
    return toolstack(Clock(), Host()).create(config)


@pytest.mark.parametrize("toolstack", [Libxl, Xapi, Qubes, Xend])
@pytest.mark.parametrize("kind", ["pv", "pvh", "hvm"])
def test_every_toolstack_reads_the_same_through_its_files(
    kind: DomainType, toolstack: type[Libxl], tmp_path: Path
) -> None:
    domain = under(toolstack, GuestConfig(kind))
    assert comparable(read_back(domain, tmp_path)) == comparable(domain.snapshot())
    assert domain.snapshot().domain.toolstack == toolstack.name


@pytest.mark.parametrize("kind", ["pv", "pvh"])
@pytest.mark.parametrize(
    "text", ["abc", "", "-1", "0x80000", "9" * 40, "1e6", "\u0661", "5 ", "0", str(1 << 55)]
)
def test_an_odd_target_reads_the_same_through_its_files(
    text: str, kind: DomainType, tmp_path: Path
) -> None:
    domain = under(Libxl, GuestConfig(kind))
    domain.store.write("memory/target", text)
    domain.settle()
    assert comparable(read_back(domain, tmp_path)) == comparable(domain.snapshot())


def test_dom0_as_pvh_and_a_guest_with_swap_read_the_same(tmp_path: Path) -> None:
    for number, config in enumerate(
        (
            GuestConfig("dom0-pvh", 1024 * MIB, 1024 * MIB),
            GuestConfig(swap_kib=256 * MIB, workload=Workload(anon_kib=420 * MIB)),
        )
    ):
        domain = under(Libxl, config)
        domain.clock.run_until(domain.clock.now_s + 7.0)
        read = read_back(domain, tmp_path / str(number))
        assert comparable(read) == comparable(domain.snapshot())


@pytest.mark.parametrize("name", scenario_names())
def test_the_telling_moment_of_a_scenario_reads_the_same(name: str, tmp_path: Path) -> None:
    domain = load(name).domain()
    domain.store.silent = False
    assert comparable(read_back(domain, tmp_path)) == comparable(domain.snapshot())
