# SPDX-License-Identifier: GPL-2.0-or-later
"""A settled guest of 512 MiB, and its daemon that goes to rest after a tenth of a second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sim_backend.host.libxl import simple_guest
from tests.support.daemon_process import DaemonProcess, kernel_files
from tests.support.xenstored.guest import Guest

QUIET = '[timing]\nquiet = "100ms"\ngrace = "100ms"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "quiet.toml"
    path.write_text(QUIET)
    return path


class Kernel:
    """A guest's kernel that follows the host at once: its files show it."""

    def __init__(self, root: Path) -> None:
        _, self._domain = simple_guest()
        self.root = kernel_files(self._domain, root)

    def follows(self, target_kib: int) -> None:
        self._domain.store.write("memory/target", str(target_kib))
        self._domain.clock.run_until(self._domain.clock.now_s + 5.0)
        kernel_files(self._domain, self.root)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path / "root")


@pytest.fixture
def root(kernel: Kernel) -> Path:
    """The guest's kernel files."""
    return kernel.root


@pytest.fixture(params=["socket", "device"])
def path(request: pytest.FixtureRequest, guest: Guest) -> str:
    return guest.path if request.param == "socket" else guest.pty_path


@pytest.fixture
def daemon(root: Path, config: Path, path: str) -> Iterator[DaemonProcess]:
    """The daemon, when it is at rest."""
    with DaemonProcess(root, path, "--config", str(config), "--mode", "observe") as process:
        process.ready()
        process.wait_for_rest()
        yield process
