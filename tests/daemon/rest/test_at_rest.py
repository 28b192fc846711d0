# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon at rest, on Debian's real xenstored, over a socket and over a device."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Final

import pytest

from tests.daemon.rest.conftest import QUIET, Kernel
from tests.support.daemon_process import PATIENCE_S, DaemonProcess
from tests.support.host_view import BALLOON, HOME, wait_until
from tests.support.xenstored.guest import Guest
from tests.support.xenstored.raw_client import RawClient

pytestmark = pytest.mark.xenstored

CYCLES: Final = int(os.environ.get("BALLOON_AGENT_RESTS", "3"))
MOST_DESCRIPTORS: Final = 10


def ask(dom0: RawClient, kernel: Kernel, target_kib: int) -> None:
    """The host asks, the kernel follows, and the host hears of it."""
    kernel.follows(target_kib)
    dom0.write(f"{HOME}/memory/target", target_kib)
    wait_until(dom0, f"{BALLOON}/host_target_kb", b"%d" % target_kib)


def private_kib(daemon: DaemonProcess) -> int:
    rollup = Path(f"/proc/{daemon.process.pid}/smaps_rollup").read_text()
    return int(rollup.partition("Private_Dirty:")[2].split()[0])


def test_a_target_written_at_rest_is_decided_and_published_and_it_rests_again(
    daemon: DaemonProcess, dom0: RawClient, kernel: Kernel
) -> None:
    pid, kib = daemon.process.pid, []
    for cycle in range(CYCLES):
        ask(dom0, kernel, 524288 - 4 * (cycle % 2 + 1))
        daemon.wait_for_rest()
        kib.append(private_kib(daemon))
        assert len(os.listdir(f"/proc/{pid}/fd")) <= MOST_DESCRIPTORS
        assert not Path(f"/proc/{pid}/task/{pid}/children").read_text()
    assert max(kib) - min(kib) <= 96  # what the kernel maps at once differs from time to time
    assert daemon.end() == 0
    told = daemon.status()["daemon"]
    assert (told["pid"], told["rests"]) == (pid, CYCLES + 1)
    assert (told["connections"], told["failed_ticks"]) == (1, 0)
    assert [one["cause"] for one in told["decisions"]][:2] == ["start", "host"]
    assert dom0.read(f"{BALLOON}/state") == b"stopped"


def test_whatever_is_written_while_it_goes_to_rest_is_decided(
    daemon: DaemonProcess, dom0: RawClient, kernel: Kernel
) -> None:
    for step in range(4):
        ask(dom0, kernel, 524288 - 4 * (step % 2 + 1))
        time.sleep(0.1 + 0.02 * step)  # about when it goes
    assert daemon.end() == 0


@pytest.mark.parametrize("wait_s", [None, 0.11, 0.14])
def test_a_signal_at_rest_or_while_it_goes_there_is_heard(
    root: Path, config: Path, guest: Guest, wait_s: float | None
) -> None:
    with DaemonProcess(root, guest.path, "--config", str(config)) as process:
        process.ready()
        if wait_s is None:
            process.wait_for_rest()
        else:
            time.sleep(wait_s)
        config.write_text(f'mode = "observe"\n{QUIET}')
        process.send(signal.SIGHUP)
        process.wait_for("RELOADING=1")
        process.ready()
        process.wait_for_status(mode="observe")
        if wait_s is None:
            process.wait_for_rest()
        else:
            time.sleep(wait_s)
        assert process.end() == 0
        process.wait_for("STOPPING=1")


def test_killed_at_rest_it_loses_nothing_but_time(
    daemon: DaemonProcess, config: Path, dom0: RawClient, kernel: Kernel, path: str
) -> None:
    ask(dom0, kernel, 393216)
    daemon.wait_for_rest()
    sequence = int(dom0.read(f"{BALLOON}/seq"))
    assert daemon.end(signal.SIGKILL) == -signal.SIGKILL
    kernel.follows(400000)
    dom0.write(f"{HOME}/memory/target", 400000)
    time.sleep(0.1)  # the kernel in between takes the device back
    with DaemonProcess(daemon.root, path, "--config", str(config)) as second:
        second.ready()
        wait_until(dom0, f"{BALLOON}/host_target_kb", b"400000")
        assert int(dom0.read(f"{BALLOON}/seq")) > sequence


def test_killed_at_any_moment_around_a_rest_the_next_one_tells_what_the_host_asked_last(
    kernel: Kernel, config: Path, guest: Guest, dom0: RawClient
) -> None:
    chance = random.Random(19)
    sequence, target_kib = 0, 524288
    for cycle in range(CYCLES):
        with DaemonProcess(kernel.root, guest.path, "--config", str(config)) as process:
            process.ready()
            wait_until(dom0, f"{BALLOON}/host_target_kb", b"%d" % target_kib)
            target_kib = 524288 - 4 * (cycle % 2 + 1)
            time.sleep(chance.random() * 0.3)
            dom0.write(f"{HOME}/memory/target", target_kib)
            time.sleep(chance.random() * 0.2)
            assert process.end(signal.SIGKILL) == -signal.SIGKILL
            assert process.status()["schema"] == 1
        guest.wait_until_closed()
        before, sequence = sequence, int(dom0.read(f"{BALLOON}/seq"))
        assert sequence >= before


@pytest.mark.parametrize("damage", [b"", b"garbage"])
def test_where_what_was_handed_on_is_damaged_it_starts_afresh_in_the_same_process(
    kernel: Kernel, config: Path, guest: Guest, dom0: RawClient, damage: bytes
) -> None:
    with DaemonProcess(kernel.root, guest.path, "--config", str(config)) as process:
        process.ready()
        process.wait_for_rest()
        assert process.memory_file is not None
        process.memory_file.write_bytes(damage)
        ask(dom0, kernel, 393216)
        assert "cannot go on and starts afresh" in process.stderr
        process.ready()
        assert process.status()["daemon"]["rests"] == 0
        process.wait_for_rest()
        assert process.end() == 0


def test_a_signal_to_end_is_heard_even_where_it_has_to_start_afresh(
    root: Path, config: Path, guest: Guest
) -> None:
    with DaemonProcess(root, guest.path, "--config", str(config)) as process:
        process.ready()
        process.wait_for_rest()
        assert process.memory_file is not None
        process.memory_file.write_bytes(b"")
        assert process.end() == 0


def test_where_it_cannot_rest_it_says_so_once_and_works_on(
    root: Path, config: Path, guest: Guest, dom0: RawClient, kernel: Kernel
) -> None:
    """A limit on the size of files holds for those in memory, too."""
    with DaemonProcess(
        root, guest.path, "--config", str(config), prefix=("prlimit", "--fsize=400")
    ) as process:
        process.ready()
        until_s = time.monotonic() + PATIENCE_S
        while (said := process.stderr.count("cannot rest and stays loaded")) == 0:
            assert time.monotonic() < until_s
            time.sleep(0.02)
        ask(dom0, kernel, 400000)
        time.sleep(0.3)
        assert process.stderr.count("cannot rest and stays loaded") == said == 1
        assert process.end() == 0


def test_the_configuration_keeps_it_loaded(root: Path, config: Path, guest: Guest) -> None:
    config.write_text(f'rest = "never"\n{QUIET}')
    with DaemonProcess(root, guest.path, "--config", str(config)) as process:
        process.ready()
        time.sleep(0.5)
        assert not process.rests
        assert process.end() == 0
