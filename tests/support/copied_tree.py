# SPDX-License-Identifier: GPL-2.0-or-later
"""A copy of this tree, in which code can be broken while the tests run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).parents[2]
_NOT_COPIED: Final = {".cache", ".git", ".venv", "build", "dist"}


@contextmanager
def copied_tree() -> Iterator[Path]:
    """All of it but what is made; Debian's xenstored is the one that was fetched here."""
    with tempfile.TemporaryDirectory(prefix="copied-tree-") as directory:
        tree = Path(directory)
        for path in TOP.iterdir():
            if path.name not in _NOT_COPIED:
                copy = shutil.copytree if path.is_dir() else shutil.copy
                copy(path, tree / path.name)
        (tree / ".cache").symlink_to(TOP / ".cache")
        yield tree
