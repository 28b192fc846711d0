# SPDX-License-Identifier: GPL-2.0-or-later
"""A dom0 in pieces: its xenstore is written by the test, and its xl prints what it is told to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.simulated_xenstore import SimulatedXenstored
from tests.support.xenstored.raw_client import RawClient

HEAD = "Name                                        ID   Mem VCPUs\tState\tTime(s)\n"
INFO = "total_memory           : 4095\nfree_memory            : 20\n"


class AHost:
    """A dom0 with an xl that prints what it is told to, and whatever is in its xenstore."""

    def __init__(
        self,
        xenstored: SimulatedXenstored,
        client: RawClient,
        root: Path,
        patch: pytest.MonkeyPatch,
    ) -> None:
        self.words = ["--root", str(root), "--xenstore", xenstored.path]
        self.client, self.root, self.patch = client, root, patch
        (root / "proc/xen").mkdir(parents=True)
        (root / "proc/xen/capabilities").write_text("control_d\n")
        (root / "usr/sbin").mkdir(parents=True)
        self.lists("")

    def add(self, domid: int, name: str, **claims: bytes) -> None:
        at = f"/local/domain/{domid}"
        self.client.write(f"{at}/name", name)
        self.client.write(f"{at}/memory/target", 524288)
        self.client.write(f"{at}/memory/static-max", 1048576)
        for key, value in claims.items():
            self.client.write(f"{at}/data/balloon/{key}", value)

    def lists(self, *rows: str) -> None:
        dom0 = "Domain-0                                     0  1024     1     r-----      62.1\n"
        (self.root / "list").write_text(HEAD + dom0 + "".join(f"{row}\n" for row in rows))
        (self.root / "info").write_text(INFO)
        self.xl(f'cat {self.root}/"$1"')

    def xl(self, script: str | None) -> None:
        path = self.root / "usr/sbin/xl"
        path.unlink(missing_ok=True)
        if script is not None:
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)
