# SPDX-License-Identifier: GPL-2.0-or-later
"""A settled guest of 512 MiB, and its daemon on Debian's real xenstored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sim_backend.host.libxl import simple_guest
from tests.support.daemon_process import DaemonProcess, kernel_files
from tests.support.xenstored.guest import Guest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The guest's kernel files."""
    (tmp_path / "empty.toml").touch()
    return kernel_files(simple_guest()[1], tmp_path / "root")


@pytest.fixture
def config(root: Path) -> Path:
    """The daemon's configuration: nothing is set."""
    return root.parent / "empty.toml"


@pytest.fixture
def daemon(root: Path, config: Path, guest: Guest) -> Iterator[DaemonProcess]:
    """The daemon, when it is ready."""
    with DaemonProcess(root, guest.path, "--config", str(config)) as process:
        yield process.ready()
