# SPDX-License-Identifier: GPL-2.0-or-later
"""A captured guest's files to be damaged, and the scripted peers of the xenstore tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.captured import QUICK, load
from tests.support.scripted_session import device_peer, peer, session, socket_peer

__all__ = ["device_peer", "peer", "session", "socket_peer"]


@pytest.fixture
def quick_path() -> Iterator[Path]:
    """An empty directory, in memory where that is possible."""
    with tempfile.TemporaryDirectory(dir=QUICK) as directory:
        yield Path(directory)


@pytest.fixture
def pv_guest(quick_path: Path) -> Path:
    """The tree of a PV guest on Linux 6.1 right after its boot."""
    tree = load("pv-512-1024/boot").write_to(quick_path)
    pressure = tree / "proc" / "pressure"
    pressure.mkdir(exist_ok=True)
    zero = "avg10=0.00 avg60=0.00 avg300=0.00 total=0"
    (pressure / "memory").write_text(f"some {zero}\nfull {zero}\n")
    return tree
