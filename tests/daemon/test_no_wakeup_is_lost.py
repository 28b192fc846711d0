# SPDX-License-Identifier: GPL-2.0-or-later
"""Every reason to wake is followed, also those that come together; and the lock is root's alone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from agent.core.policy.settings import PolicySettings
from agent.daemon.deadlines import Deadlines
from agent.daemon.link import Down
from agent.daemon.runtime_directory import RuntimeDirectory
from agent.daemon.wakeups import Woken
from agent.sources.xenstore.errors import XenstoreUnreachable
from sim_backend.host.libxl import simple_guest
from tests.support.virtual_daemon import VirtualDaemon


def test_a_stall_is_looked_at_when_a_try_to_reconnect_fails_in_the_same_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, domain = simple_guest()
    virtual = VirtualDaemon(domain, PolicySettings(mode="guard"))
    virtual.start()

    def gone() -> None:
        raise XenstoreUnreachable("xenstore", "gone")

    with virtual.clock_of_the_domain():
        virtual.session.close()
        monkeypatch.setattr(virtual.session, "connect", gone)
        daemon = virtual.daemon
        daemon._parts.link.state = Down("gone", domain.clock.now_s)
        turns = daemon._turns
        daemon.serve(Woken(pressure=True))
    assert daemon._turns == turns + 1
    assert daemon._turn._short_s > float("-inf")
    link_state = daemon._parts.link.state
    assert isinstance(link_state, Down)
    assert (link_state.retry_at_s or 0.0) > domain.clock.now_s


def test_what_sleeps_longest_and_what_is_due_come_from_one_list() -> None:
    deadlines = Deadlines(look=5.0, ping=3.0, publish=None)
    assert deadlines.first_s() == 3.0
    assert deadlines.due(4.0) == {"ping"}
    assert deadlines.due(5.0) == {"ping", "look"}
    assert Deadlines().first_s() is None


@pytest.mark.parametrize("left", [None, 0o644])
def test_nobody_but_its_owner_can_open_the_lock(tmp_path: Path, left: int | None) -> None:
    lock = tmp_path / "lock"
    if left is not None:  # as an older version made it
        lock.touch()
        lock.chmod(left)
    runtime = RuntimeDirectory(str(tmp_path))
    runtime.lock()
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    runtime.close()
