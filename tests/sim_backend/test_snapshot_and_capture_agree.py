# SPDX-License-Identifier: GPL-2.0-or-later
"""The snapshot built in process equals the one read back from the capture of the same domain."""

from pathlib import Path

import pytest

from agent.core.snapshot import Origin, Snapshot
from agent.gather import gather
from agent.sources.key_store import CapturedKeys
from agent.sources.system_root import SystemRoot
from sim_backend.capture import write_capture
from sim_backend.domain import SimulatedDomain
from sim_backend.guest_config import MIB, GuestConfig
from sim_backend.kernel_images import image_of
from sim_backend.toolstacks import simple_guest
from tests.sim_backend.guests import LAB

ORIGIN = Origin("capture", "here")


def read_back(domain: SimulatedDomain, directory: Path) -> Snapshot:
    write_capture(domain, directory)
    root = SystemRoot(str(directory))
    return gather(root, CapturedKeys(root), ORIGIN)


def comparable(snapshot: Snapshot) -> Snapshot:
    """Without what a capture cannot tell: origin, and whether the balloon moves."""
    assert snapshot.balloon is not None
    balloon = snapshot.balloon._replace(motion="unknown")
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
