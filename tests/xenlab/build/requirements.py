# SPDX-License-Identifier: GPL-2.0-or-later
"""Says in one message everything that this machine lacks for the lab."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from tests.xenlab.errors import LabError

BUILD_TOOLS: Final = {
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "zstd": "zstd",
}
UNPRIVILEGED_BUILD_TOOLS: Final = {"newuidmap": "uidmap", "unshare": "util-linux"}
RUN_TOOLS: Final = {"qemu-system-x86_64": "qemu-system-x86", "mke2fs": "e2fsprogs"}
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

BUILD_SPACE_MIB: Final = 4096
RUN_SPACE_MIB: Final = 1024
MACHINE_MEMORY_MIB: Final = 4096 + 256
"""Of an emulated machine: its own and QEMU's."""
SPARE_MEMORY_MIB: Final = 768
MACHINES_AT_MOST: Final = 2
MOST_PATIENT: Final = 20
MACHINES_VARIABLE: Final = "BALLOON_AGENT_XENLAB_MACHINES"
PATIENCE_VARIABLE: Final = "BALLOON_AGENT_XENLAB_PATIENCE"
MINUTES_VARIABLE: Final = "BALLOON_AGENT_XENLAB_MINUTES"
MEMINFO: Final = Path("/proc/meminfo")


def require_for_build(where: Path) -> None:
    """Raise LabError naming each tool and the disk space that a build would miss."""
    tools = BUILD_TOOLS if os.geteuid() == 0 else BUILD_TOOLS | UNPRIVILEGED_BUILD_TOOLS
    missing = _packages_of_missing(tools)
    if not KEYRING.exists():
        missing.append("debian-archive-keyring")
    _complain(missing, _space_problem(where, BUILD_SPACE_MIB))


def require_for_run(where: Path, machines: int) -> None:
    """Raise LabError naming each tool, disk space and memory that a run would miss."""
    problem = _space_problem(where, RUN_SPACE_MIB)
    memory_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    needed_mib = machines * MACHINE_MEMORY_MIB + SPARE_MEMORY_MIB
    if memory_mib < needed_mib:
        problem += (
            f"{machines} emulated machine{'s need' if machines > 1 else ' needs'} {needed_mib} MiB "
            f"of memory, this one has {memory_mib} MiB. "
        )
    _complain(_packages_of_missing(RUN_TOOLS), problem)


def bearable_machines() -> int:
    """Return how many emulated machines play well side by side here.

    One for each core that may be used and for the memory that is free, two at most; the
    environment variable BALLOON_AGENT_XENLAB_MACHINES knows better.
    """
    if told := _number(MACHINES_VARIABLE, "machines"):
        return told
    rows = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
    free_mib = int(rows["MemAvailable"].split()[0]) >> 10
    by_memory = (free_mib - SPARE_MEMORY_MIB) // MACHINE_MEMORY_MIB
    return max(1, min(len(os.sched_getaffinity(0)), by_memory, MACHINES_AT_MOST))


def minutes() -> int | None:
    """Return how long a run may take, as the environment says; None: as long as it takes."""
    return _number(MINUTES_VARIABLE, "minutes")


def _number(variable: str, of_what: str) -> int | None:
    """Return what the environment says; None if nothing."""
    wanted = os.environ.get(variable)
    if not wanted:
        return None
    if not (wanted.isascii() and wanted.isdigit() and int(wanted)):
        raise LabError(f"{variable} is to be a number of {of_what}, not {wanted!r}")
    return int(wanted)


def patience() -> float:
    """Return how many times as long as on a quiet machine everything may take."""
    wanted = os.environ.get(PATIENCE_VARIABLE, "1")
    try:
        factor = float(wanted)
    except ValueError:
        factor = 0.0
    if not 1 <= factor <= MOST_PATIENT:
        raise LabError(f"{PATIENCE_VARIABLE} is to be 1 to {MOST_PATIENT}, not {wanted!r}")
    return factor


def _packages_of_missing(tools: dict[str, str]) -> list[str]:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return sorted({package for tool, package in tools.items() if not shutil.which(tool, path=path)})


def _space_problem(where: Path, needed_mib: int) -> str:
    existing = next(folder for folder in (where, *where.parents) if folder.exists())
    free_mib = shutil.disk_usage(existing).free >> 20
    if free_mib >= needed_mib:
        return ""
    return f"{existing} has {free_mib} MiB free, {needed_mib} MiB are needed. "


def _complain(missing: list[str], problem: str) -> None:
    if missing:
        problem += "Debian packages are missing: apt-get install " + " ".join(missing)
    if problem:
        raise LabError(f"the Xen lab cannot work on this machine: {problem.strip()}")
