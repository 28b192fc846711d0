# SPDX-License-Identifier: GPL-2.0-or-later
"""The root file system that dom0 and all guests share, read-only.

mmdebstrap installs the packages in a folder of its own: as root directly, as an ordinary user in
a user namespace. In both cases a hook, which sees the finished tree with its right owners, turns
it into a file system image.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tests.xenlab.build import recipe
from tests.xenlab.build.apt import Suite
from tests.xenlab.build.artifact import Artifact
from tests.xenlab.errors import LabError
from tests.xenlab.paths import LAB_SOURCES

FINISH: Final = "build/finish-rootfs"
EXCLUDED: Final = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/usr/share/info/*",
)


def root_file_system(root: Path, suite: Suite) -> Artifact:
    """Describe `root.ext4`."""
    return Artifact(
        "rootfs",
        root,
        packages=suite.closure(recipe.ROOT_PACKAGES),
        sources=["build/rootfs.py", "build/recipe.py", FINISH],
        make=lambda folder: _make(folder, suite),
    )


def _make(folder: Path, suite: Suite) -> None:
    # Outside the lab's folder: in a user namespace "root" may not enter a private home.
    with tempfile.TemporaryDirectory(prefix="xenlab-") as scratch_name:
        scratch = Path(scratch_name)
        scratch.chmod(0o777)
        shutil.copy(LAB_SOURCES / FINISH, scratch / "finish")
        (scratch / "finish").chmod(0o755)
        sources = scratch / "sources.list"
        sources.write_text("\n".join(suite.sources()) + "\n")
        command = [
            "mmdebstrap",
            f"--mode={'root' if os.geteuid() == 0 else 'unshare'}",
            "--variant=essential",
            "--format=null",
            f"--include={','.join(recipe.ROOT_PACKAGES)}",
            '--aptopt=APT::Install-Recommends "false"',
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED),
            f'--customize-hook={scratch}/finish "$1" {scratch}/root.ext4',
            suite.name,
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
