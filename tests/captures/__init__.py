# SPDX-License-Identifier: GPL-2.0-or-later
"""Captures of real guests on a real Xen, one JSON file for each state of each guest.

`GUEST/STATE.json` holds `meta` (what was started and done, and what dom0 saw at that moment) and
`files` (path below the capture -> text, as `balloon-agent capture` writes them).  Made by
`python3 -m tests.captures.collect`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent


class Capture(NamedTuple):
    """One state of one guest."""

    name: str
    meta: dict[str, Any]
    files: dict[str, str]

    def write_to(self, directory: Path) -> Path:
        """Lay the files out below a directory, which `--root` then reads."""
        for relative, text in self.files.items():
            path = directory / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return directory


def names() -> list[str]:
    """All captures, as `GUEST/STATE`."""
    return sorted(f"{path.parent.name}/{path.stem}" for path in HERE.glob("*/*.json"))


def load(name: str) -> Capture:
    """The capture called `GUEST/STATE`."""
    document = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    return Capture(name, document["meta"], document["files"])
