# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent's wheel depends on, for guests whose own Debian has it too old or not at all.

Fetched by pip in the versions of packaging/constraints.txt, those without compiled parts.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

from tests.xenlab.build.artifact import Artifact
from tests.xenlab.errors import LabError
from tests.xenlab.paths import REPOSITORY

CONSTRAINTS: Final = REPOSITORY / "packaging/constraints.txt"
WANTED: Final = (
    "click", "markdown-it-py", "mdurl", "Pygments", "pyxs", "rich", "tomli", "typing_extensions",
)  # fmt: skip
OLDEST_PYTHON: Final = "3.9"


def libraries(root: Path) -> Artifact:
    """Describe the folder `modules`, for Python's path."""
    pinned = dict(
        line.split("==", 1)
        for line in CONSTRAINTS.read_text().splitlines()
        if "==" in line and not line.startswith("#")
    )
    wanted = [f"{name}=={pinned[name].split(';')[0].strip()}" for name in WANTED]

    def make(folder: Path) -> None:
        wheels = folder / "wheels"
        for one in wanted:
            _fetch(one, wheels)
        for wheel in wheels.iterdir():
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder / "modules")
            wheel.unlink()
        wheels.rmdir()

    return Artifact("libraries", root, packages=wanted, sources=["build/libraries.py"], make=make)


def _fetch(wanted: str, into: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet"]
    pure = ["--no-deps", "--platform", "any", "--python-version", OLDEST_PYTHON]
    ways = (
        [*pip, "download", *pure, "--only-binary", ":all:", "--dest", str(into), wanted],
        [*pip, "wheel", "--no-deps", "--wheel-dir", str(into), wanted],  # There is a source only.
    )
    done = None
    for command in ways:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
    assert done is not None
    raise LabError(f"pip cannot fetch {wanted}:\n{done.stderr.strip()}")
