# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon beside recordings of xe-daemon: every key of its ends as if it had been alone.

xe-daemon needs no model here: it never asks what anybody else wrote.  So its writes are played as
they were recorded, and the daemon lives beside them, started before, with and after it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from agent.core.policy.settings import PolicySettings
from sim_backend.clock import Clock
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.host.libxl import Libxl
from sim_backend.host.xapi import Xapi
from sim_backend.hypervisor import Host
from tests.recordings.records import Record, files, must_agree, name_of_file
from tests.support.virtual_daemon import VirtualDaemon

XEN_KIB: Final = 256 * MIB
EARLIER_S: Final = 20.0
STARTS_S: Final = (-EARLIER_S, 0.0, 130.0)
"""When the daemon starts, beside xe-daemon's start."""


def a_guest(record: Record) -> SimulatedDomain:
    """Under libxl, which refuses what is below control/, where xe-daemon was refused that."""
    refused = any(event[2] == "refused" for event in record["events"])
    toolstack = (Libxl if refused else Xapi)(Clock(), Host(XEN_KIB + 2048 * MIB, XEN_KIB))
    return toolstack.create(GuestConfig("pvh", 512 * MIB, 1024 * MIB))


def event_of(domain: SimulatedDomain, who: str, what: str, words: list[str]) -> Callable[[], None]:
    """What happens in the guest; what is said only for the reader happens to nobody."""
    if who == "guest":  # it has so much available: so has ours, and its daemon has news
        available_kib = int(words[-1])
        return lambda: domain.change_workload(anon_kib=max(0, 450_000 - available_kib))
    if what == "write":
        return partial(domain.store.write, *words)
    if what == "remove":
        return partial(domain.store.remove, *words)
    return lambda: None


def at_the_end(record: Record, start_s: float) -> dict[str, str]:
    """What xenstore holds once the daemon, started then, has been taken away again."""
    domain = a_guest(record)
    began_s = domain.clock.now_s + EARLIER_S
    for when_s, who, what, *words in record["events"]:
        domain.clock.at(began_s + when_s, event_of(domain, who, what, words))
    domain.clock.run_until(began_s + start_s)
    daemon = VirtualDaemon(domain, PolicySettings(), "xapi")
    daemon.start()
    daemon.run(began_s + record["seconds"])
    daemon.purge()
    return domain.store.items()


def of_a_run(record: Record) -> str:
    """Which of xe-daemon's keys do not end as recorded."""
    events = record["events"]
    theirs = {words[0] for _, who, what, *words in events if (who, what) == ("xe-daemon", "write")}
    for start_s in STARTS_S:
        found = at_the_end(record, start_s)
        for key in sorted(theirs):
            recorded, ours = record["keys_at_the_end"].get(key), found.get(key)
            if ours != recorded:
                return f"started at {start_s} s: {key} is {ours}, not {recorded}"
    return ""


@pytest.mark.parametrize("path", files("xe-daemon"), ids=name_of_file)
def test_every_key_of_xe_daemons_ends_as_if_it_had_been_alone(path: Path) -> None:
    must_agree(of_a_run, path)
