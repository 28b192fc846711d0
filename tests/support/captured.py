# SPDX-License-Identifier: GPL-2.0-or-later
"""Captured guests, gathered and judged as `--root` does it, each once in a test run."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path

from agent.core.facts.memory_map import Region
from agent.core.facts.snapshot import Origin, Snapshot
from agent.core.findings.assessment import Assessment
from agent.gather import gather
from agent.sources.system_root import SystemRoot
from agent.sources.xenstore.key_store import CapturedKeys
from tests import captures
from tests.support.judged import assess

# A hundred trees of small files are made and removed: in memory, where that is possible.
QUICK = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None


def gathered(directory: Path, detail: str | None = None) -> Snapshot:
    """What is read of a capture that lies in `directory`."""
    root = SystemRoot(str(directory))
    return gather(root, CapturedKeys(root), Origin("capture", detail or root.path))


def as_xen_417_has_it(region: Region) -> Region:
    """The ACPI tables of a PVH guest are 8 KiB shorter with Xen 4.20."""
    if (region.kind, region.end - region.start) != ("ACPI Tables", 0x603F):
        return region
    return region._replace(end=region.end + 0x2000)


@cache
def load(name: str) -> captures.Capture:
    """The capture called `GUEST/STATE`."""
    return captures.load(name)


@cache
def snapshot_of(name: str) -> Snapshot:
    """What is read of the capture `GUEST/STATE`."""
    with tempfile.TemporaryDirectory(dir=QUICK) as directory:
        return gathered(load(name).write_to(Path(directory)), name)


@cache
def assessed(name: str) -> Assessment:
    """What is made of it."""
    return assess(snapshot_of(name))
