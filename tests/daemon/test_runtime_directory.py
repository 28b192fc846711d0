# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's directory below /run by itself, where no daemon has to run."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from agent.daemon.runtime_directory import AlreadyRunningError, RuntimeDirectory


def test_the_second_to_lock_it_is_told_who_was_first(tmp_path: Path) -> None:
    first, second = RuntimeDirectory(str(tmp_path)), RuntimeDirectory(str(tmp_path))
    first.lock()
    with pytest.raises(AlreadyRunningError, match=f"pid {os.getpid()}"):
        second.lock()
    first.close()
    second.close()


def test_a_file_system_that_has_no_locks_is_no_other_daemon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def without(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", without)
    directory = RuntimeDirectory(str(tmp_path))
    directory.lock()
    assert directory.lock_descriptor is None
    assert directory.problem == f"{tmp_path}/lock: {os.strerror(errno.ENOLCK)}"
    assert directory.replace("status.json", b"{}")
    directory.close()
