# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever the daemon remembers can be handed on, wherever it has come from."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from agent.core.account.situation import understand
from agent.core.policy.history import EMPTY, noticed
from agent.core.policy.settings import RESTING_MODES, Mode, PolicySettings
from agent.daemon.link import Link
from agent.daemon.loop import Daemon
from agent.daemon.observer import Observer
from agent.daemon.rest.state import kept, packed, unpacked
from agent.daemon.wakeups import Woken
from agent.sources.host_keys import read_host
from agent.sources.system_root import SystemRoot
from agent.sources.xenstore.key_store import CapturedKeys
from sim_backend.stories.catalogue import load, scenario_names
from tests import captures
from tests.daemon.rest.kinds import with_kinds
from tests.support.captured import QUICK
from tests.support.virtual_daemon import VirtualDaemon


def comes_back(one: Any) -> None:
    assert with_kinds(unpacked(packed(one))) == with_kinds(one)


@pytest.mark.parametrize("mode", RESTING_MODES)
@pytest.mark.parametrize("name", scenario_names())
def test_after_each_turn_of_any_story_all_that_is_remembered_comes_back(
    name: str, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when it goes to rest, which some stories never let it."""
    serve, turns = Daemon.serve, set()

    def and_look(daemon: Daemon, woken: Woken) -> None:
        serve(daemon, woken)
        if daemon._turns not in turns:
            turns.add(daemon._turns)
            comes_back(kept(daemon))

    monkeypatch.setattr(Daemon, "serve", and_look)
    scenario = load(name)
    stage = scenario.build(0)
    virtual = VirtualDaemon(stage.domain, PolicySettings(mode=mode))
    virtual.start()
    virtual.run(stage.start_s + scenario.duration_s)
    assert turns
    assert "failed" not in "".join(text for _, text in virtual.lines.lines)


@pytest.mark.parametrize("name", captures.names())
def test_what_a_real_guest_and_its_host_say_comes_back(name: str) -> None:
    link = Link("/nonexistent")
    with tempfile.TemporaryDirectory(dir=QUICK) as directory:
        root = SystemRoot(str(captures.load(name).write_to(Path(directory))))
        link.facts, link.statuses = read_host(CapturedKeys(root))
        observer = Observer(root)
        snapshot = observer.look(link, 0.0)
    comes_back(kept(link))
    comes_back(kept(observer))
    comes_back(noticed(EMPTY, understand(snapshot), 1.0, asked=True))
