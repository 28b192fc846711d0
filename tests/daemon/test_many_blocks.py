# SPDX-License-Identifier: GPL-2.0-or-later
"""More memory blocks that the kernel left offline than one turn puts online; in virtual time."""

from __future__ import annotations

import pytest

from agent.core.policy import follow
from agent.core.policy.settings import PolicySettings
from sim_backend.guest.kernel_images import DEBIAN_11
from sim_backend.host.libxl import simple_guest
from tests.support.virtual_daemon import VirtualDaemon

GIB_KIB = 1 << 20
A_FEW = 4


def test_more_blocks_than_one_turn_puts_online_all_go_online(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(follow, "_BLOCKS_AT_ONCE", A_FEW)
    toolstack, domain = simple_guest(
        memory_kib=GIB_KIB // 2, maxmem_kib=3 * GIB_KIB, image=DEBIAN_11
    )
    toolstack.mem_set(domain, 3 * GIB_KIB)
    domain.clock.run_until(domain.clock.now_s + 60.0)
    assert len(domain.blocks.reading().offline) > 3 * A_FEW
    virtual = VirtualDaemon(domain, PolicySettings())
    virtual.manager.ping_every_s = float("inf")
    virtual.start()
    virtual.run(domain.clock.now_s + 60.0)
    assert domain.blocks.reading().offline == ()
