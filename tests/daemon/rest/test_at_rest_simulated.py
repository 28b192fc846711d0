# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon at rest as a process, in a simulated domain that lives in another one."""

from __future__ import annotations

import time
from pathlib import Path

from tests.daemon.rest.conftest import QUIET
from tests.support.daemon_process import DaemonProcess
from tests.support.host_view import wait_until
from tests.support.published_domain import published

START_KIB = 524288


def test_it_wakes_for_each_change_and_rests_again(config: Path) -> None:
    with (
        published("balloon-up") as there,
        there.dom0() as dom0,
        DaemonProcess(there.root, there.xenstore, "--config", str(config)) as process,
    ):
        process.ready()
        for target_kib in (START_KIB + 1024, START_KIB):
            process.wait_for_rest()
            dom0.write(f"{there.home}/memory/target", target_kib)
            wait_until(dom0, f"{there.home}/data/balloon/actual_kb", b"%d" % target_kib)
        assert process.end() == 0
        assert process.status()["daemon"]["rests"] == 2
        assert "cannot rest" not in process.stderr


def test_after_a_change_that_woke_it_it_stays_as_long_as_after_any_other(tmp_path: Path) -> None:
    """The next change may follow soon, and is to be met by a daemon that is there."""
    config, quiet_s = tmp_path / "quiet.toml", 2.5
    config.write_text(QUIET.replace('quiet = "100ms"', f'quiet = "{quiet_s}s"'))
    with (
        published("balloon-up") as there,
        there.dom0() as dom0,
        DaemonProcess(there.root, there.xenstore, "--config", str(config)) as process,
    ):
        process.ready()
        process.wait_for_rest()
        asked_s = time.monotonic()
        dom0.write(f"{there.home}/memory/target", START_KIB + 1024)
        wait_until(dom0, f"{there.home}/data/balloon/actual_kb", b"%d" % (START_KIB + 1024))
        process.wait_for_rest()
        assert time.monotonic() - asked_s >= quiet_s
        assert process.end() == 0
