# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon as a process in a simulated domain that lives in another process."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.support.daemon_process import PATIENCE_S, DaemonProcess
from tests.support.published_domain import published
from tests.support.xenstored.raw_client import RawClient


def wait_until(dom0: RawClient, key: str, value: str, patience_s: float = PATIENCE_S) -> None:
    dom0.watch(key, key)
    until_s = time.monotonic() + patience_s
    while not (dom0.exists(key) and dom0.read(key) == value.encode()):
        assert time.monotonic() < until_s
        dom0.next_event()


def test_a_mem_set_is_followed_by_the_kernel_and_told_to_the_host() -> None:
    with (
        published("balloon-up") as there,
        there.dom0() as dom0,
        DaemonProcess(there.root, there.xenstore, "--config", "/dev/null") as daemon,
    ):
        daemon.ready()
        balloon = f"{there.home}/data/balloon"
        dom0.write(f"{there.home}/memory/target", 400 * 1024)
        wait_until(dom0, f"{balloon}/actual_kb", str(400 * 1024))
        wait_until(dom0, f"{balloon}/state", "settled")
        assert daemon.end(signal.SIGTERM) == 0
        assert daemon.status()["daemon"]["failed_ticks"] == 0
        assert all(d["action"] == "none" for d in daemon.status()["daemon"]["decisions"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may take precedence")
def test_it_takes_precedence_over_other_programs() -> None:
    with (
        published("balloon-up", held=True) as there,
        DaemonProcess(there.root, there.xenstore, "--config", "/dev/null") as daemon,
    ):
        daemon.ready()
        assert os.getpriority(os.PRIO_PROCESS, daemon.process.pid) == -20
        assert daemon.end() == 0


def test_a_guarded_shrink_stops_at_the_floor_and_says_which() -> None:
    words = ("--config", "/dev/null", "--mode", "guard")
    with (
        published("down-below-working-set", speed=2.0) as there,
        there.dom0() as dom0,
        DaemonProcess(there.root, there.xenstore, *words) as daemon,
    ):
        daemon.ready()
        until_s = time.monotonic() + PATIENCE_S
        near_kib = 40 * 1024  # more air until it has watched for 15 s, and while the host may go on
        while True:
            assert time.monotonic() < until_s
            daemon.message(0.2)
            status = daemon.status()
            held_kib = status["balloon"]["current_kib"]
            floor_kib = int(dom0.read(f"{there.home}/data/balloon/floor_kb"))
            held = status["daemon"]["decisions"][-1]["rule"] == "held-at-floor"
            if held and held_kib - floor_kib <= near_kib:
                break
        assert status["host"]["target_kib"] == 200 * 1024
        assert 400 * 1024 < held_kib < 512 * 1024
        assert held_kib >= floor_kib
        assert daemon.end() == 0


def test_a_target_that_changed_while_xenstored_was_away_is_followed() -> None:
    with (
        published("balloon-up") as there,
        DaemonProcess(there.root, there.xenstore, "--config", "/dev/null") as daemon,
    ):
        daemon.ready()
        there.say("stop")
        while "xenstore is lost" not in daemon.stderr:
            assert daemon.message() is not None
        there.say("mem-set 400")
        there.say("start")
        daemon.wait_for_status(connections=2, xenstore="connected")
        with there.dom0() as dom0:
            wait_until(dom0, f"{there.home}/data/balloon/actual_kb", str(400 * 1024))
            assert dom0.read(f"{there.home}/data/balloon/host_target_kb") == b"409600"
        assert daemon.stderr.count("xenstore is lost") == 1
        assert daemon.end() == 0
