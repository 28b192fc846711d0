# SPDX-License-Identifier: GPL-2.0-or-later
"""The root file systems: one of each release, which dom0 and its guests share, and those of guests
with the user space of another suite. All are read-only.

mmdebstrap installs the packages in a folder of its own: as root directly, as an ordinary user in
a user namespace. In both cases a hook, which sees the finished tree with its right owners, turns
it into a file system image.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tests.xenlab.build import recipe
from tests.xenlab.build.apt import Package, Suite
from tests.xenlab.build.artifact import Artifact
from tests.xenlab.errors import LabError
from tests.xenlab.hosts import Release
from tests.xenlab.paths import LAB_SOURCES

FINISH: Final = "build/finish-rootfs"
EXCLUDED: Final = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/usr/share/info/*",
)


class Contents(NamedTuple):
    """What a root file system is made of."""

    suite: Suite
    packages: tuple[str, ...]
    other: Suite
    over: tuple[Package, ...]
    """Packages of the other suite that are unpacked over it."""


def root_file_system(root: Path, release: Release, suites: Mapping[str, Suite]) -> Artifact:
    """Describe the `root.ext4` of a release."""
    toolstack = suites[release.suite]
    over = [toolstack.package(name) for name in release.laid_over]
    packages = recipe.ROOT_PACKAGES if over else recipe.root_packages(release.xen)
    suite = suites[release.root]
    made_of = Contents(suite, tuple(packages), toolstack, tuple(over))
    return _artifact(f"rootfs-{release.name}", root, made_of)


def user_space(root: Path, suite: Suite) -> Artifact:
    """Describe the `root.ext4` of guests that have the user space of a suite."""
    made_of = Contents(suite, recipe.USER_SPACE_PACKAGES, suite, ())
    return _artifact(f"user-space-{suite.name}", root, made_of)


def _artifact(name: str, root: Path, made_of: Contents) -> Artifact:
    laid_over = [f"{package.name}={package.version}" for package in made_of.over]

    def make(folder: Path) -> None:
        debs = folder / "over"
        debs.mkdir()
        if laid_over:
            made_of.other.download(laid_over, debs)
        _make(folder, made_of, debs)
        shutil.rmtree(debs)

    return Artifact(
        name,
        root,
        packages=[*made_of.suite.closure(made_of.packages), *laid_over],
        sources=["build/rootfs.py", "build/recipe.py", FINISH],
        make=make,
    )


def _make(folder: Path, made_of: Contents, over: Path) -> None:
    # Outside the lab's folder: in a user namespace "root" may not enter a private home.
    with tempfile.TemporaryDirectory(prefix="xenlab-") as scratch_name:
        scratch = Path(scratch_name)
        scratch.chmod(0o777)
        shutil.copy(LAB_SOURCES / FINISH, scratch / "finish")
        (scratch / "finish").chmod(0o755)
        shutil.copytree(over, scratch / "over")
        sources = scratch / "sources.list"
        sources.write_text("\n".join(made_of.suite.sources()) + "\n")
        command = [
            "mmdebstrap",
            f"--mode={'root' if os.geteuid() == 0 else 'unshare'}",
            "--variant=essential",
            "--format=null",
            f"--include={','.join(made_of.packages)}",
            '--aptopt=APT::Install-Recommends "false"',
            # A mirror's index may have run out; its packages are what they were.
            '--aptopt=Acquire::Check-Valid-Until "false"',
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED),
            f'--customize-hook={scratch}/finish "$1" {scratch}/root.ext4 {scratch}/over',
            made_of.suite.name,
            "/dev/null",
            str(sources),
        ]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise LabError(f"mmdebstrap failed:\n{done.stderr[-4000:]}")
        subprocess.run(
            ["cp", "--sparse=always", str(scratch / "root.ext4"), str(folder)], check=True
        )
