# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults the loop meets: garbage in the kernel's files, a full descriptor table, another host."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from agent.daemon.config.load import load_config
from agent.daemon.journal import Journal
from agent.daemon.link import BACKOFF_FIRST_S, BACKOFF_LAST_S, Down, Link, Up
from agent.daemon.loop import Daemon
from agent.daemon.notify import Notifier
from agent.daemon.parts import Parts
from agent.daemon.runtime_directory import RuntimeDirectory
from agent.daemon.wakeups import Wakeups
from agent.sources.system_root import SystemRoot
from agent.sources.xenstore.errors import XenstoreLost
from sim_backend.host.libxl import simple_guest
from tests.support.daemon_process import DaemonProcess, kernel_files
from tests.support.wakeups import give_back
from tests.support.xenstored.guest import Guest
from tests.support.xenstored.raw_client import RawClient

HOME = "/local/domain/5"
XEN = "sys/devices/system/xen_memory/xen_memory0"
FILES = (
    f"{XEN}/info/current_kb",
    f"{XEN}/target_kb",
    f"{XEN}/info/low_kb",
    f"{XEN}/retry_count",
    f"{XEN}/schedule_delay",
    "proc/meminfo",
    "proc/pressure/memory",
    "proc/uptime",
    "proc/zoneinfo",
    "sys/devices/system/memory/block_size_bytes",
)
CONTENTS = st.one_of(
    st.binary(max_size=100),
    st.integers(-(2**70), 2**70).map(lambda number: b"%d\n" % number),
    st.just(b"x" * 100_000),
    st.just(b"MemTotal: 0 kB\nMemFree: 0 kB\nMemAvailable: 0 kB\n"),
)


@contextmanager
def daemon_below(root: Path, journal: Journal) -> Iterator[Daemon]:
    config = load_config(directory=str(root))
    config = config._replace(policy=config.policy._replace(mode="guard"))
    wakeups = Wakeups()
    runtime = RuntimeDirectory(str(root / "run/balloon-agent"))
    parts = Parts(
        SystemRoot(str(root)),
        Link("/nowhere"),
        wakeups,
        runtime,
        journal,
        Notifier({}),
        lambda: config,
    )
    try:
        yield Daemon(parts, config)
    finally:
        give_back(wakeups)
        runtime.close()


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(planted=st.dictionaries(st.sampled_from(FILES), CONTENTS | st.none(), max_size=4))
def test_whatever_the_kernels_files_say_a_look_ends_well(
    tmp_path_factory: pytest.TempPathFactory, planted: dict[str, bytes | None]
) -> None:
    root = kernel_files(simple_guest()[1], tmp_path_factory.mktemp("root"))
    with daemon_below(root, Journal(os.open("/dev/null", os.O_WRONLY))) as daemon:
        assert daemon.turn({"start"})
        for name, content in planted.items():
            if content is None:
                (root / name).unlink()
            else:
                (root / name).write_bytes(content)
        assert daemon.turn({"timer"})
        assert daemon.turn({"timer"})


def test_a_fault_that_lasts_fills_no_journal(tmp_path: Path) -> None:
    root = kernel_files(simple_guest()[1], tmp_path)
    read, write = os.pipe()
    with daemon_below(root, Journal(write)) as daemon:
        daemon._turn = None  # type: ignore[assignment]
        assert not any(daemon.turn({"timer"}) for _ in range(1000))
        daemon._parts.say(6, "end", "end")
    assert os.read(read, 1 << 16).decode().count("a look at the domain failed") == 1


@pytest.mark.xenstored
def test_after_a_migration_everything_is_told_to_the_new_host(
    tmp_path: Path, guest: Guest, dom0: RawClient
) -> None:
    root = kernel_files(simple_guest()[1], tmp_path)
    with DaemonProcess(root, guest.path, "--config", "/dev/null") as daemon:
        daemon.ready()
        dom0.remove(f"{HOME}/data/balloon")
        dom0.write(f"{HOME}/domid", 9)
        dom0.watch(f"{HOME}/data/balloon/version", "version")
        dom0.write(f"{HOME}/memory/static-max", 1048576)  # as every watch fires on resume
        while not dom0.exists(f"{HOME}/data/balloon/version"):
            dom0.next_event()
        daemon.wait_for("STATUS=")
        assert "resumed or moved" in daemon.stderr
        assert daemon.end() == 0


def test_a_xenstored_that_dies_again_and_again_is_tried_less_and_less_often() -> None:
    link, now_s, waits_s = Link("/nowhere"), 1e9, []  # a clock ahead of the machine's
    for _ in range(12):
        link.state = Up(now_s)  # it answered, and died a second later
        link.lose(XenstoreLost("gone"), now_s + 1.0)
        retry_at_s = _retry_at_s(link)
        waits_s.append(retry_at_s - now_s - 1.0)
        now_s = retry_at_s
    assert waits_s[0] <= BACKOFF_FIRST_S
    assert all(wait_s >= BACKOFF_LAST_S / 2 for wait_s in waits_s[-3:])

    link.state = Up(now_s)
    link.lose(XenstoreLost("gone"), now_s + 3600.0)
    assert _retry_at_s(link) <= now_s + 3600.0 + BACKOFF_FIRST_S


def _retry_at_s(link: Link) -> float:
    assert isinstance(link.state, Down)
    assert link.state.retry_at_s is not None
    return link.state.retry_at_s
