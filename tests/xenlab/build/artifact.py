# SPDX-License-Identifier: GPL-2.0-or-later
"""A made thing and the key of its inputs.

An artifact is a folder `NAME-KEY`; the key is a hash over everything that went into it: the
versions of the packages and the lab's own sources that made it. It appears under its name only
when complete, so a build that was interrupted leaves nothing that looks finished.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from tests.xenlab.paths import LAB_SOURCES

KEY_LENGTH: Final = 16
MANIFEST: Final = "inputs.json"


class Artifact:
    """Something to build once per set of inputs."""

    def __init__(
        self,
        name: str,
        root: Path,
        *,
        packages: Iterable[str],
        sources: Iterable[str],
        make: Callable[[Path], None],
    ) -> None:
        """Describe an artifact.

        Args:
            name: what it is called below ROOT.
            root: the folder of all artifacts.
            packages: `name=version` of every package that goes in.
            sources: files of the lab, relative to its folder, that decide what comes out.
            make: makes it in the empty folder that it is given.
        """
        self.name = name
        self._root = root
        self._make = make
        self._inputs = {
            "packages": sorted(packages),
            "sources": {path: _digest((LAB_SOURCES / path).read_bytes()) for path in sources},
        }
        key = _digest(json.dumps(self._inputs, sort_keys=True).encode())[:KEY_LENGTH]
        self.folder = root / f"{name}-{key}"

    def is_made(self) -> bool:
        """Tell whether it exists, made from just these inputs."""
        return (self.folder / MANIFEST).exists()

    def make(self) -> None:
        """Make it and remove what earlier inputs made."""
        partial = self._root / f"{self.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        self._make(partial)
        (partial / MANIFEST).write_text(json.dumps(self._inputs, indent=1) + "\n")
        shutil.rmtree(self.folder, ignore_errors=True)
        partial.rename(self.folder)
        for older in self._root.glob(f"{self.name}-{'?' * KEY_LENGTH}"):
            if older != self.folder:
                shutil.rmtree(older)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
