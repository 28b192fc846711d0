# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns what a run kept into fixtures: capture trees first, then the files in tests/captures.

A tree GUEST/STATE is what `balloon-agent --root` reads, with meta.json and seen-from-dom0/ added.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tests.captures import HERE as FIXTURES
from tests.captures.collect import collect

OSRELEASE: Final = "proc/sys/kernel/osrelease"


def unpack(kept: Path, trees: Path) -> Iterator[Path]:
    """Unpack every capture of a run; yield each tree.

    Args:
        kept: a folder of a run with one folder per scenario.
        trees: where GUEST/STATE goes.
    """
    for archive in sorted(kept.glob("*/captures/*/capture.tar.gz")):
        state = archive.parent
        guest = state.parent.parent.name
        tree = trees / guest / state.name
        with tarfile.open(archive) as packed:
            packed.extractall(tree, filter="data")
        meta = json.loads((state / "meta.json").read_text())
        meta |= {"kernel": (tree / OSRELEASE).read_text().strip()}
        meta |= {"scenario": guest, "state": state.name}
        (tree / "meta.json").write_text(json.dumps(meta, indent=1, sort_keys=True) + "\n")
        (tree / "seen-from-dom0").mkdir()
        shutil.copy(state / "xl-list.txt", tree / "seen-from-dom0")
        yield tree


def refresh(folders: Iterable[Path], trees: Path) -> list[str]:
    """Write the fixtures and timelines of a run; return the names of the fixtures."""
    folders = list(folders)
    written = [collect(tree) for kept in folders for tree in unpack(kept, trees)]
    for timeline in (path for kept in folders for path in kept.glob("*/timelines/*.txt")):
        target = FIXTURES / "timelines" / timeline.parent.parent.name / timeline.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(timeline, target)
    return [str(path.relative_to(FIXTURES)) for path in written]
