# SPDX-License-Identifier: GPL-2.0-or-later
"""pytest, for guests that run tests themselves.

It is not part of the root file system: only the guests that use it carry it in their memory.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from tests.xenlab.build.apt import Suite
from tests.xenlab.build.artifact import Artifact

PACKAGES: Final = (
    "python3-attr", "python3-iniconfig", "python3-packaging", "python3-pluggy", "python3-pytest",
)  # fmt: skip
MODULES: Final = "usr/lib/python3/dist-packages"


def testing(root: Path, suite: Suite) -> Artifact:
    """Describe the folder `modules`, for Python's path."""
    packages = [suite.package(name) for name in PACKAGES]

    def make(folder: Path) -> None:
        suite.unpack(packages, folder / "x")
        shutil.move(folder / "x" / MODULES, folder / "modules")
        shutil.rmtree(folder / "x")

    return Artifact(
        f"testing-{suite.name}",
        root,
        packages=[f"{package.name}={package.version}" for package in packages],
        sources=["build/testing.py"],
        make=make,
    )
