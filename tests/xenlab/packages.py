# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent's Debian packages for guests that are given these instead of the wheel.

A guest finds in /lab/debs, behind its initramfs:

    balloon-agent_*.deb ...  built from this tree
    newer/                   the same with a higher version and another default configuration
    apt/                     apt itself, which the lab's small root file system lacks
    archive/                 what they depend on, and man-db: a Debian archive of files, since a
                             guest has no network
    what-is-there.sh         lists packages and files, to be compared with what was there before
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.deb.newer import make_newer
from tests.xenlab import paths
from tests.xenlab.build import cpio, recipe
from tests.xenlab.build.apt import Suite
from tests.xenlab.errors import LabError
from tests.xenlab.hosts import MAIN, RELEASES

LISTING: Final = paths.REPOSITORY / "tests/deb/what-is-there.sh"
LIBRARIES: Final = ("python3-click", "python3-psutil", "python3-pyxs", "python3-rich")
"""What the agent depends on and the root file system has for the wheel; such a guest drops them."""
ALSO: Final = ("man-db", "python3-prometheus-client")
"""What the root file system never has: the reader of manuals, and the metrics' library."""
ARCHIVE: Final = "debs.cpio"
BUNDLED: Final = "bundled.cpio"


def prepare(shares: Iterable[Path], rootfs: Path, scratch: Path) -> None:
    """Build everything in SCRATCH and write it into each share as a part of an initramfs.

    Raises:
        LabError: a tool for building packages is missing, or a package cannot be built.
    """
    debs = scratch / "debs"
    newer = debs / "newer"
    newer.mkdir(parents=True)
    environment = os.environ | {"DEB_BUILD_OPTIONS": "nocheck"}
    _run(str(paths.REPOSITORY / "packaging/make-deb.sh"), str(debs), environment=environment)
    for deb in sorted(debs.glob("*.deb")):
        make_newer(deb, newer)
    for file in (*debs.glob("*.changes"), *debs.glob("*.buildinfo")):
        file.unlink()
    _download(debs, rootfs)
    shutil.copy(LISTING, debs)
    entries = [cpio.folder("payload"), *cpio.tree(debs, "payload/debs")]
    archive = cpio.archive(entries)
    for share in shares:
        (share / ARCHIVE).write_bytes(archive)


def build_bundled(scratch: Path) -> Path:
    """Build the package that has its libraries inside, and return it.

    Raises:
        LabError: a tool for building packages is missing, or it cannot be built.
    """
    into = scratch / "bundled"
    into.mkdir()
    packaging = paths.REPOSITORY / "packaging"
    environment = os.environ | {"BUILD_PYTHON": sys.executable}
    _run(str(packaging / "make-onefile.sh"), str(into), environment=environment)
    _run(str(packaging / "make-deb.sh"), str(into), "bundled", environment=environment)
    return next(into.glob("balloon-agent_*.deb"))


def prepare_bundled(shares: Iterable[Path], deb: Path) -> None:
    """Write the package into each share as a part of an initramfs: /lab/debs."""
    entries = [cpio.folder("payload"), cpio.folder("payload/debs")]
    entries.append(cpio.file(f"payload/debs/{deb.name}", deb.read_bytes()))
    archive = cpio.archive(entries)
    for share in shares:
        (share / BUNDLED).write_bytes(archive)


def _download(debs: Path, rootfs: Path) -> None:
    """Download what a guest without the agent's libraries lacks; index what apt will look for."""
    suite = Suite(RELEASES[MAIN].root, paths.cache_root() / "apt")
    root = recipe.root_packages(RELEASES[MAIN].xen)
    wheels = {*suite.closure(root)}
    bare = {*suite.closure(name for name in root if name not in LIBRARIES)}
    # apt takes itself for essential and is in every closure; mmdebstrap leaves it out.
    apt = bare - _installed(rootfs)
    also = {*suite.closure((*root, *ALSO))} - wheels
    archive = debs / "archive"
    for folder, wanted in ((debs / "apt", apt), (archive, (wheels - bare) | also)):
        folder.mkdir()
        suite.download(sorted(wanted), folder)
    index = _run("dpkg-scanpackages", "--multiversion", ".", cwd=archive)
    (archive / "Packages").write_text(index)


def _installed(rootfs: Path) -> set[str]:
    """Return `name=version` of what is installed in the root file system."""
    status = _run("/sbin/debugfs", "-R", "cat /var/lib/dpkg/status", str(rootfs / "root.ext4"))
    found = re.findall(r"^Package: (\S+)$.*?^Version: (\S+)$", status, re.MULTILINE | re.DOTALL)
    return {f"{name}={version}" for name, version in found}


def _run(*command: str, cwd: Path | None = None, environment: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise LabError(f"to build packages, apt-get install dpkg-dev: {error}") from None
    if done.returncode:
        raise LabError(f"{command[0]} failed:\n{done.stderr.strip()}")
    return done.stdout
