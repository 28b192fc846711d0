# SPDX-License-Identifier: GPL-2.0-or-later
"""A write that is not permitted: only observing for a while, then another try; told once."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.core.policy.settings import PolicySettings
from agent.daemon.config.load import load_config
from agent.daemon.denial import RETRY_S
from agent.daemon.journal import Journal
from agent.daemon.link import Link
from agent.daemon.notify import Notifier
from agent.daemon.parts import Parts
from agent.daemon.record import DecisionLog
from agent.daemon.runtime_directory import RuntimeDirectory
from agent.daemon.turn import Turn
from agent.daemon.wakeups import Wakeups
from agent.sources.system_root import SystemRoot
from agent.sources.xen_memory import TARGET_FILE
from sim_backend.host.libxl import simple_guest
from tests.support.daemon_process import kernel_files
from tests.support.wakeups import give_back

ASKED_KIB = 786432


class Permitting(SystemRoot):
    """A root whose writes are permitted or not; counts the tries."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.permits = False
        self.tries = 0

    def write(self, relative: str, text: str) -> None:
        self.tries += 1
        if not self.permits:
            raise PermissionError(errno.EPERM, "Operation not permitted", relative)
        super().write(relative, text)


class Stage:
    """A turn whose host asks for something that the kernel does not do by itself."""

    def __init__(self, directory: Path) -> None:
        self.root = Permitting(str(kernel_files(simple_guest()[1], directory)))
        self.target = directory / TARGET_FILE
        self._told, write = os.pipe()
        os.set_blocking(self._told, False)
        self.parts = Parts(
            self.root,
            Link("/nowhere"),
            Wakeups(),
            RuntimeDirectory(str(directory / "run/balloon-agent")),
            Journal(write),
            Notifier({}),
            lambda: load_config(directory=str(directory)),
        )
        facts = self.parts.link.facts
        self.parts.link.facts = facts._replace(memory=facts.memory._replace(target_kib=ASKED_KIB))
        self.log = DecisionLog()
        self.turn = Turn(self.parts, PolicySettings(), self.log)

    def look_until(self, now_s: float, end_s: float) -> None:
        """Turn after turn, every 30 s."""
        while now_s < end_s:
            self.turn.take({"timer"}, now_s)
            now_s += 30.0

    def told(self) -> list[str]:
        try:
            return os.read(self._told, 1 << 16).decode().splitlines()
        except BlockingIOError:
            return []

    def close(self) -> None:
        give_back(self.parts.wakeups)
        self.parts.runtime.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()


def test_what_is_denied_is_tried_every_ten_minutes_and_told_once(stage: Stage) -> None:
    stage.look_until(0.0, 4 * RETRY_S + 60.0)
    assert stage.root.tries == 5
    assert stage.turn.settings.mode == "observe"
    assert stage.turn.denial.banner is not None
    assert "Operation not permitted" in stage.turn.denial.banner
    assert [line for line in stage.told() if "Nothing can be changed" in line] != []
    stage.look_until(5 * RETRY_S, 9 * RETRY_S)
    assert not any("Nothing can be changed" in line for line in stage.told())


def test_a_peek_is_not_due_for_ever_where_a_look_failed_after_it_gave_up_what_it_held(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn, look = stage.turn, stage.turn.observer.look
    turn.take({"timer"}, 0.0)
    turn.history = turn.history._replace(hold_kib=ASKED_KIB)
    turn.peek_s = 30.0

    def look_and_fail_the_next_time(*words: Any, **more: Any) -> Any:
        monkeypatch.setattr(turn.observer, "look", None)
        return look(*words, **more)

    monkeypatch.setattr(turn.observer, "look", look_and_fail_the_next_time)
    with pytest.raises(TypeError):
        turn.take({"timer"}, 30.0)
    assert not turn.guards
    assert not turn.peek(30.0)
    assert turn.peek_s is None


def test_once_it_is_permitted_the_next_try_succeeds_and_says_so(stage: Stage) -> None:
    stage.look_until(0.0, 60.0)
    stage.root.permits = True
    stage.look_until(60.0, RETRY_S)
    assert stage.root.tries == 1
    stage.look_until(RETRY_S, RETRY_S + 120.0)
    assert stage.target.read_text().startswith(f"{ASKED_KIB}\n")
    assert stage.turn.settings.mode == "follow"
    assert stage.turn.denial.banner is None
    assert sum("permitted again" in line for line in stage.told()) == 1


def test_a_reload_or_a_resume_tries_again_at_once(stage: Stage) -> None:
    stage.look_until(0.0, 60.0)
    stage.turn.configured(PolicySettings(mode="guard"))
    stage.look_until(60.0, 120.0)
    assert stage.root.tries == 2

    stage.turn.start_afresh()
    stage.look_until(120.0, 180.0)
    assert stage.root.tries == 3
    assert stage.turn.settings.mode == "observe"


def test_mode_observe_tries_nothing(stage: Stage) -> None:
    stage.turn.configured(PolicySettings(mode="observe"))
    stage.look_until(0.0, 2 * RETRY_S)
    assert stage.root.tries == 0
    assert stage.turn.denial.banner is None
