# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever a kernel makes of targets, it is told few, and what it was told lately in one direction.

Kernels that cut a target to whole units, or take one back that they cannot reach: the same quarter
of an hour on each, in the modes that have targets of their own.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.policy.settings import HOLDING_MODES, Mode, PolicySettings
from sim_backend.guest.kernel_images import DEBIAN_11, DEBIAN_12, KernelImage, image_of
from tests.daemon.test_whole_runs import Run

MIB = 1024
ENDS_S = 160.0
QUIET_S = 460.0  # when it has become quiet for good
LASTS_S = 960.0
MOST_WRITES = 60
PAGES_OF_64_KIB = 16
LAST_ASKED_MIB = {"guard": 250, "self": 1500}  # less than it needs, more than there is

KERNELS = {
    "6.1": (DEBIAN_12, "ro", 1),
    "6.1 without hotplug": (DEBIAN_12._replace(hotplug=False), "ro", 1),
    "6.1 with pages of 64 KiB": (DEBIAN_12, "ro", PAGES_OF_64_KIB),
    "2.6.32 with balloon_hugepages": (image_of("2.6.32"), "balloon_hugepages", 1),
}


def quarter(mode: Mode, image: KernelImage, cmdline: str, unit_pages: int) -> Run:
    """The host asks for less, for more than the map holds, and once more; so does a hand."""
    run = Run(PolicySettings(mode=mode), image=image, cmdline=cmdline)
    run.virtual.peeks_idly = False
    run.domain.change_workload(anon_kib=100 * MIB + 20)
    if unit_pages > 1:
        driver = run.domain.driver
        driver._start = replace(driver._start, unit_pages=unit_pages)
    run.plan(20.0, "host-asks", 200)
    run.plan(20.3, "host-asks", 200)
    run.at(60.0, lambda: run.toolstack.mem_max(run.domain, 2048 * MIB))
    run.plan(60.1, "host-asks", 1500)
    run.plan(100.0, "by-hand", 300)
    run.plan(130.0, "by-hand", 9000)
    run.plan(ENDS_S, "host-asks", LAST_ASKED_MIB[mode])
    run.virtual.start()
    run.virtual.run(run.began_s + LASTS_S)
    return run


@pytest.mark.parametrize("kernel", sorted(KERNELS))
@pytest.mark.parametrize("mode", HOLDING_MODES)
def test_a_kernel_of_any_kind_is_told_few_targets(mode: Mode, kernel: str) -> None:
    run = quarter(mode, *KERNELS[kernel])
    virtual = run.virtual
    late_kib = [w.target_kib for w in virtual.root.writes if w.when_s > run.began_s + QUIET_S]
    assert virtual.root.all_writes <= MOST_WRITES
    assert late_kib == sorted(late_kib, reverse=True)
    assert virtual.daemon._failed_turns == 0
    assert run.domain.memory.oom_kills == 0
    assert run.domain.store.read("data/balloon/target_kb") == str(run.domain.target_kib)


@pytest.mark.parametrize("image", [DEBIAN_11, DEBIAN_12], ids=["5.10", "6.1"])
def test_a_guest_that_xen_keeps_below_its_own_target_is_told_it_less_and_less_often(
    image: KernelImage,
) -> None:
    """Somebody writes memory/target without xl: the limit that mem-set lowered stays."""
    run = Run(PolicySettings(mode="self"), domain_type="pvh", image=image)
    run.plan(61.0, "xenstored-silent", True)
    run.at(62.0, lambda: run.toolstack.mem_set(run.domain, 319 * MIB))
    run.plan(75.0, "host-asks", 512)
    run.plan(80.0, "xenstored-silent", False)
    run.virtual.start()
    run.virtual.run(run.began_s + LASTS_S)
    assert run.domain.current_kib < 320 * MIB < run.domain.target_kib < 500 * MIB
    assert run.virtual.root.all_writes <= 20
