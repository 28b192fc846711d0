# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel takes what the host writes some time later: no look is to be in the way of that."""

from __future__ import annotations

from typing import Final

import pytest

from agent.core.policy.settings import PolicySettings
from agent.sources.outcome import Outcome
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.host.libxl import Libxl, simple_guest
from tests.support.virtual_daemon import Root, VirtualDaemon

MIB: Final = 1024
BATCH_KIB: Final = 2 * MIB
LOOK_TAKES_S: Final = 0.03  # under emulation, in the lab


@pytest.fixture(autouse=True)
def _slow_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    read_bytes = Root.read_bytes

    def slowly(root: Root, relative: str, limit_bytes: int = 4096) -> Outcome[bytes]:
        if relative == "proc/meminfo":  # which every look reads
            root.domain.clock.run_until(root.domain.clock.now_s + LOOK_TAKES_S)
        return read_bytes(root, relative, limit_bytes)

    monkeypatch.setattr(Root, "read_bytes", slowly)


def guarded(hears_s: float) -> tuple[Libxl, SimulatedDomain, VirtualDaemon]:
    toolstack, domain = simple_guest(domain_type="pv", memory_kib=512 * MIB, maxmem_kib=1024 * MIB)
    domain.hears_s = (hears_s, hears_s)
    domain.change_workload(anon_kib=250 * MIB)
    virtual = VirtualDaemon(domain, PolicySettings(mode="guard"))
    virtual.start()
    virtual.run(domain.clock.now_s + 20.0)
    return toolstack, domain, virtual


@pytest.mark.parametrize("hears_s", [0.0005, 0.005, 0.02, 0.06])
def test_each_ask_of_a_host_that_goes_on_costs_one_batch(hears_s: float) -> None:
    """Ten times `xl mem-set`, 10 MiB less each second, which cannot be had back."""
    toolstack, domain, virtual = guarded(hears_s)
    size_kib, now_s, had_kib = domain.current_kib, domain.clock.now_s, []
    for count in range(1, 12):
        toolstack.mem_set(domain, size_kib - 10 * MIB * count)
        virtual.run(now_s + count)
        had_kib.append(domain.current_kib)
    assert had_kib[0] - had_kib[-1] <= 10 * BATCH_KIB  # for the first one there was room
