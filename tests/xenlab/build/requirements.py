# SPDX-License-Identifier: GPL-2.0-or-later
"""Says in one message everything that this machine lacks for the lab."""

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
RUN_MEMORY_MIB: Final = 5120


def require_for_build(where: Path) -> None:
    """Raise LabError naming each tool and the disk space that a build would miss."""
    tools = BUILD_TOOLS if os.geteuid() == 0 else BUILD_TOOLS | UNPRIVILEGED_BUILD_TOOLS
    missing = _packages_of_missing(tools)
    if not KEYRING.exists():
        missing.append("debian-archive-keyring")
    _complain(missing, _space_problem(where, BUILD_SPACE_MIB))


def require_for_run(where: Path) -> None:
    """Raise LabError naming each tool, disk space and memory that a run would miss."""
    problem = _space_problem(where, RUN_SPACE_MIB)
    memory_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    if memory_mib < RUN_MEMORY_MIB:
        problem += (
            f"the emulated machine needs {RUN_MEMORY_MIB} MiB of memory, "
            f"this one has {memory_mib} MiB. "
        )
    _complain(_packages_of_missing(RUN_TOOLS), problem)


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
