# SPDX-License-Identifier: GPL-2.0-or-later
"""The host hears what is wrong with a guest, after all else; in virtual time."""

from __future__ import annotations

import pytest

from agent.core.policy.settings import PolicySettings
from agent.daemon.key_table import ACTUAL, FINDING, SEQUENCE
from sim_backend.guest.kernel_images import DEBIAN_11
from tests.daemon.test_whole_runs import Run

WITHIN_S = 0.05


def test_the_host_hears_what_is_wrong_right_after_all_else_and_with_a_sequence_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(PolicySettings(mode="observe"), image=DEBIAN_11)
    written: list[tuple[str, float]] = []
    write = run.virtual.session.write

    def noted(key: str, value: bytes) -> None:
        written.append((key, run.domain.clock.now_s))
        write(key, value)

    monkeypatch.setattr(run.virtual.session, "write", noted)
    run.virtual.start()
    run.virtual.run(run.began_s + 20.0)
    assert run.domain.store.read(FINDING) is None

    run.at(21.0, lambda: run.toolstack.mem_set(run.domain, 2 * run.domain.current_kib))
    run.virtual.run(run.began_s + 90.0)
    assert run.domain.store.read(FINDING) == "hotplug-offline"
    keys = [key for key, _ in written]
    told = keys.index(FINDING)
    assert keys[told - 1] == keys[told + 1] == SEQUENCE
    assert ACTUAL in keys[:told]
    assert written[told][1] - written[told - 1][1] < WITHIN_S
