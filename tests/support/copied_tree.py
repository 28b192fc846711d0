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
_COPIED: Final = ("agent", "sim_backend", "tests", "systemd", "docs", "packaging", "pyproject.toml")


@contextmanager
def copied_tree() -> Iterator[Path]:
    """What the tests read, with Debian's xenstored where it was fetched; removed in the end."""
    with tempfile.TemporaryDirectory(prefix="copied-tree-") as directory:
        tree = Path(directory)
        for name in _COPIED:
            copy = shutil.copytree if (TOP / name).is_dir() else shutil.copy
            copy(TOP / name, tree / name)
        (tree / ".cache").symlink_to(TOP / ".cache")
        yield tree
