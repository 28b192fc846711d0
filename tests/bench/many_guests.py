# SPDX-License-Identifier: GPL-2.0-or-later
"""What `guests` costs in the dom0 of 500 guests that all have an agent.

    python3 -m tests.bench.many_guests [500] [--check]

A look is everything between the question and the screen's lines, in this process; the command is
the whole of `balloon-agent guests`, with an xl that lists as many, beside a bare Python's start.
Debian's real xenstored answers where it has been fetched, otherwise the simulated one.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from agent.core.host.guests import Host, Hypervisor
from agent.report.guests_text import guests_lines
from agent.sources.host_guests import read_guests
from agent.sources.xenstore.pyxs_client import StoreClient
from tests.bench.rows import Row, number, tell
from tests.bench.status_speed import BARE, seconds
from tests.support.claims import HONEST, MAXIMUM_KIB
from tests.support.simulated_xenstore import SimulatedXenstored
from tests.support.xenstored.daemon import Xenstored, XenstoredMissing
from tests.support.xenstored.raw_client import RawClient

GUESTS: Final = 500
WANTED_MS: Final = 200.0
LOOKS: Final = 9


@contextmanager
def a_full_xenstore(guests: int) -> Iterator[tuple[str, str]]:
    """Whose it is, and its socket."""
    with contextlib.ExitStack() as stack:
        try:
            store: Xenstored | SimulatedXenstored = stack.enter_context(Xenstored())
            kind = "Debian's xenstored"
        except XenstoredMissing:
            store, kind = stack.enter_context(SimulatedXenstored()), "the simulated xenstored"
        with contextlib.closing(RawClient(store.path)) as dom0:
            for domid in range(1, guests + 1):
                _add(dom0, domid)
        yield kind, store.path


def _add(dom0: RawClient, domid: int) -> None:
    at = f"/local/domain/{domid}"
    dom0.write(f"{at}/name", f"guest-{domid}")
    dom0.write(f"{at}/vm", f"/vm/00000000-0000-4000-8000-{domid:012}")
    dom0.write(f"{at}/memory/target", 524288)
    dom0.write(f"{at}/memory/static-max", MAXIMUM_KIB)
    dom0.write(f"{at}/memory/videoram", 0)
    for key, value in HONEST.items():
        dom0.write(f"{at}/data/balloon/{key}", value)


class Took(NamedTuple):
    """By the clock on the wall, and of that what this process had of a processor."""

    wall_ms: float
    own_ms: float


def look(path: str, guests: int) -> Took:
    """One look, from the connection to the lines."""
    began_s, own_s = time.perf_counter(), time.process_time()
    with contextlib.closing(StoreClient(path, timeout_s=30.0)) as store:
        store.connect()
        found = read_guests(store)
    lines = guests_lines(Host(Hypervisor(), found), 100)
    wall_s, used_s = time.perf_counter() - began_s, time.process_time() - own_s
    assert len(found) == guests
    assert all(guest.kind == "agent" and not guest.doubts for guest in found)
    assert len(lines) > guests
    return Took(wall_s * 1000, used_s * 1000)


def a_dom0(directory: Path, guests: int) -> Path:
    """Its root, with an xl."""
    (directory / "proc/xen").mkdir(parents=True)
    (directory / "proc/xen/capabilities").write_text("control_d\n")
    rows = ["Name                                        ID   Mem VCPUs\tState\tTime(s)"]
    rows += [f"{'guest':<40} {n:5} {512:5} {1:5}     -b----  {1.0:8.1f}" for n in range(guests + 1)]
    (directory / "list").write_text("\n".join(rows) + "\n")
    (directory / "info").write_text("total_memory           : 999999\nfree_memory            : 1\n")
    program = directory / "usr/sbin/xl"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec cat {directory}/"$1"\n')
    program.chmod(0o755)
    return directory


def rows(guests: int = GUESTS) -> list[Row]:
    """A look, and the command."""
    with a_full_xenstore(guests) as (kind, path), tempfile.TemporaryDirectory() as directory:
        looks = [look(path, guests) for _ in range(LOOKS)]
        root = a_dom0(Path(directory), guests)
        words = ["--root", os.fspath(root), "--xenstore", path, "guests", "--json"]
        command = (sys.executable, "-m", "agent", *words)
        times = [(seconds(BARE), seconds(command)) for _ in range(4)][1:]
    bare_s, command_s = (median(column) for column in zip(*times))
    return [
        Row(f"a look at {guests} guests in {kind}", min(looks).wall_ms, WANTED_MS, "ms"),
        Row("... of which in this process", min(one.own_ms for one in looks), None, "ms"),
        Row(f"`guests --json` of {guests} / bare python", command_s / bare_s),
        Row(f"`guests --json` of {guests}, start to end", command_s * 1000, None, "ms"),
    ]


if __name__ == "__main__":
    sys.exit(tell("many guests", rows(number(GUESTS))))
