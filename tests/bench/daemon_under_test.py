# SPDX-License-Identifier: GPL-2.0-or-later
"""A daemon on Debian's real xenstored, as a true guest, for the measurements beside this file."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sim_backend.host.libxl import simple_guest
from tests.bench.rows import Row
from tests.support.daemon_process import DaemonProcess, kernel_files
from tests.support.xenstored.daemon import Xenstored
from tests.support.xenstored.libxl_tree import GuestConfig, write_guest
from tests.support.xenstored.raw_client import RawClient

HOME = "/local/domain/5"
BALLOON = f"{HOME}/data/balloon"


class Bench(NamedTuple):
    """Everything a measurement needs."""

    daemon: DaemonProcess
    dom0: RawClient
    root: Path

    @property
    def pid(self) -> int:
        return self.daemon.process.pid


RESTS_SOON = "200ms"  # without it, after ten seconds of quiet


@contextmanager
def running_daemon(
    *arguments: str,
    device: bool = False,
    quiet: str | None = None,
    given: tuple[str, ...] = (),
) -> Iterator[Bench]:
    """A settled guest of 512 MiB and its daemon, which rests after `quiet`, if ever in our time.

    Over a terminal like xenbus with `device`.  `given` are keys that the host has made for the
    guest, empty, before it ran.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, Xenstored() as xenstored:
        _, domain = simple_guest()
        root = kernel_files(domain, Path(directory))
        guest = xenstored.introduce(5)
        with xenstored.connect() as dom0:
            write_guest(dom0, GuestConfig(5))
            for key in given:
                dom0.write(f"{HOME}/{key}", b"")
                dom0.set_permissions(f"{HOME}/{key}", "n5")
            path = guest.pty_path if device else guest.path
            with compiled_daemon(
                root, path, *arguments, between=guest.wait_until_closed, quiet=quiet
            ) as daemon:
                yield Bench(daemon, dom0, root)


@contextmanager
def compiled_daemon(
    root: Path,
    xenstore: str,
    *arguments: str,
    between: Callable[[], None] = lambda: None,
    quiet: str | None = None,
) -> Iterator[DaemonProcess]:
    """A daemon that found byte code, as an installed package has it: an earlier start makes it."""
    with tempfile.TemporaryDirectory(prefix="compiled-") as directory:
        config = Path(directory, "rests-soon.toml")
        config.write_text(f'[timing]\nquiet = "{quiet}"\n')
        words = ("--config", "/dev/null" if quiet is None else str(config), *arguments)
        compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": directory}
        with DaemonProcess(root, xenstore, *words, environment=compiled) as first:
            first.ready().end()
        between()
        with DaemonProcess(root, xenstore, *words, environment=compiled) as daemon:
            yield daemon.ready()


def flatness(dirty_kib: list[int]) -> list[Row]:
    """Whether memory that was read after each tenth of some work stays as it is."""
    grown_kib = dirty_kib[-1] - dirty_kib[1]
    return [
        Row("growth from the second to the last tenth", grown_kib, 128, "KiB"),
        Row("in the first two", dirty_kib[1] - dirty_kib[0], None, "KiB"),
    ]


def rollup_kib(pid: int) -> dict[str, int]:
    """/proc/PID/smaps_rollup, in KiB by name."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) for line in lines}


@contextmanager
def bare_python() -> Iterator[int]:
    """The pid of a Python of the same kind that only sleeps."""
    code = "import sys, time; print(flush=True); time.sleep(3600)"
    process = subprocess.Popen([sys.executable, "-I", "-c", code], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def processor_s(pid: int) -> float:
    """What the process has used; /proc/PID/schedstat counts nanoseconds."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def voluntary_switches(pid: int) -> int:
    """How often the process has gone to sleep: as often as it was woken."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches"):
            return int(line.split()[1])
    raise AssertionError(pid)


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
