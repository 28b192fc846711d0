# SPDX-License-Identifier: GPL-2.0-or-later
"""Start and stop in time though each answer of xenstored takes long; in virtual time.

1.4 s an answer is just within what one request is given.  The unit allows 30 s for a start and 5 s
for a stop (systemd/balloon-agent.service).
"""

from __future__ import annotations

import pytest

from agent.core.policy.settings import PolicySettings
from sim_backend.host.libxl import simple_guest
from tests.support.virtual_daemon import VirtualDaemon

SLOW_S = 1.4
START_S = 25.0
STOP_S = 3.0


def slow_daemon(slow_s: float) -> VirtualDaemon:
    _, domain = simple_guest()
    virtual = VirtualDaemon(domain, PolicySettings(mode="guard"))
    virtual.session.slow_s = slow_s
    virtual.start()
    return virtual


@pytest.mark.parametrize("slow_s", [0.3, SLOW_S])
def test_it_starts_in_time_and_says_the_rest_later(slow_s: float) -> None:
    virtual = slow_daemon(slow_s)
    assert virtual.manager.ready_s is not None
    assert virtual.manager.ready_s < START_S
    virtual.run(virtual.domain.clock.now_s + 120.0)
    assert virtual.daemon._parts.link.is_up
    assert virtual.domain.store.read("data/balloon/state") == "settled"


@pytest.mark.parametrize("looks", [False, True], ids=["at rest", "within a look"])
def test_it_ends_in_time(looks: bool) -> None:
    virtual = slow_daemon(0.0)
    clock = virtual.domain.clock
    virtual.run(clock.now_s + 5.0)
    virtual.session.slow_s = SLOW_S
    told_s: list[float] = []

    def end() -> None:
        told_s.append(clock.now_s)
        virtual.daemon._stop()

    if looks:
        clock.after(0.1, lambda: virtual.domain.store.write("memory/target", str(400 * 1024)))
        clock.after(0.1 + 3 * SLOW_S, end)
        virtual.run(clock.now_s + 0.2)
    else:
        with virtual.clock_of_the_domain():
            end()
    virtual.stop()
    assert clock.now_s - told_s[0] < STOP_S


def test_protection_does_not_wait_for_a_slow_answer() -> None:
    virtual = slow_daemon(0.0)
    domain = virtual.domain
    domain.change_workload(anon_kib=300 * 1024)
    virtual.run(domain.clock.now_s + 30.0)
    virtual.session.slow_s = SLOW_S
    domain.store.write("memory/target", str(200 * 1024))
    virtual.run(domain.clock.now_s + 30.0)
    assert domain.memory.oom_kills == 0
