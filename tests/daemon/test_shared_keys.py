# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon as its own process, beside keys that the toolstack or another agent counts on."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.daemon_process import DaemonProcess
from tests.support.host_view import HOME, wait_until
from tests.support.xenstored.guest import Guest
from tests.support.xenstored.raw_client import RawClient


def forgotten(root: Path, guest: Guest) -> DaemonProcess:
    return DaemonProcess(root, guest.path, "--forget")


def test_of_other_toolstacks_keys_what_nobody_counts_on_is_taken_back(
    root: Path, config: Path, guest: Guest, dom0: RawClient
) -> None:
    dom0.set_permissions(f"{HOME}/control", "n5")
    config.write_text('[publish]\nprofile = "xapi"\n[timing]\ngrace = "100ms"\n')
    with DaemonProcess(root, guest.path, "--config", str(config)) as process:
        process.ready()
        wait_until(dom0, f"{HOME}/control/feature-balloon", b"1")
        process.end()
    assert dom0.read(f"{HOME}/control/balloon-active") == b"0"
    assert dom0.exists(f"{HOME}/data/meminfo_free")
    guest.wait_until_closed()
    with forgotten(root, guest) as forgets:
        assert forgets.process.wait(10) == 0, forgets.stderr
    assert dom0.children(f"{HOME}/data") == ["updated"]
    assert dom0.exists(f"{HOME}/control/feature-balloon")
    assert not dom0.exists(f"{HOME}/control/balloon-active")


def test_what_another_agent_has_made_is_left_alone_to_the_last(
    root: Path, config: Path, guest: Guest, dom0: RawClient
) -> None:
    """As xe-daemon leaves them; it would never write most of them again."""
    dom0.set_permissions(f"{HOME}/control", "n5")
    theirs = {
        "attr/PVAddons/MajorVersion": b"10",
        "data/meminfo_total": b"489548",
        "data/meminfo_free": b"400000",
        "data/updated": b"Fri Nov 27 08:16:10 2026",
        "control/feature-balloon": b"0",
    }
    for key, value in theirs.items():
        dom0.write(f"{HOME}/{key}", value)
        dom0.set_permissions(f"{HOME}/{key}", "n5")
    config.write_text('[publish]\nprofile = "xapi"\n[timing]\ngrace = "100ms"\n')
    with DaemonProcess(root, guest.path, "--config", str(config)) as process:
        process.ready()
        while "control/feature-balloon is left alone: it is another's" not in process.stderr:
            time.sleep(0.05)
        process.end()
    guest.wait_until_closed()
    with forgotten(root, guest) as forgets:
        assert forgets.process.wait(10) == 0, forgets.stderr
    assert {key: dom0.read(f"{HOME}/{key}") for key in theirs} == theirs


def test_a_qube_says_at_the_end_that_it_reports_no_more_and_can_begin_again(
    root: Path, config: Path, guest: Guest, dom0: RawClient
) -> None:
    """`memory` is dom0's: a key removed there could not be made again."""
    for key in ("memory/meminfo", "memory/swapinfo"):
        dom0.write(f"{HOME}/{key}", b"")
        dom0.set_permissions(f"{HOME}/{key}", "n5")
    config.write_text('[publish]\nprofile = "qubes"\n')
    figures = []
    for _ in range(2):
        with DaemonProcess(root, guest.path, "--config", str(config)) as process:
            process.ready()
            assert dom0.read(f"{HOME}/memory/meminfo").isdigit()
            process.end()
        figures.append(dom0.read(f"{HOME}/memory/meminfo"))
        guest.wait_until_closed()
        with forgotten(root, guest) as forgets:
            assert forgets.process.wait(10) == 0, forgets.stderr
        guest.wait_until_closed()
        assert dom0.read(f"{HOME}/memory/meminfo") == b"stopped"
    assert figures[0].isdigit()
    assert figures[0] == figures[1]
