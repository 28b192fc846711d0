# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated domain as a capture: the tree of files that `--root` reads."""

from __future__ import annotations

from pathlib import Path

from sim_backend.guest.domain import SimulatedDomain


def write_capture(domain: SimulatedDomain, directory: Path) -> None:
    """The domain's files as they are now, and xenstore/<key>; a key with children is a folder."""
    shown = dict(domain.files())
    keys = domain.store.items()
    parents = {key.rsplit("/", depth)[0] for key in keys for depth in range(1, key.count("/") + 1)}
    for key, value in keys.items():
        if key not in parents:
            shown[f"xenstore/{key}"] = value
    for path, text in shown.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
