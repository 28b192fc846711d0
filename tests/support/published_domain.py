# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated domain in a process of its own, published as files and sockets."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from tests.support.daemon_process import PATIENCE_S, REPOSITORY
from tests.support.xenstored.raw_client import RawClient


class Published(NamedTuple):
    root: Path
    xenstore: str
    dom0_path: str
    home: str
    commands: IO[bytes]

    def dom0(self) -> RawClient:
        return RawClient(self.dom0_path)

    def say(self, command: str) -> None:
        self.commands.write(f"{command}\n".encode())
        self.commands.flush()


@contextmanager
def published(scenario: str, speed: float = 1.0, *, held: bool = False) -> Iterator[Published]:
    with tempfile.TemporaryDirectory(prefix="published-") as directory:
        words = [sys.executable, "-m", "sim_backend.published", scenario, directory]
        process = subprocess.Popen(
            [*words, "--speed", str(speed), *(["--held"] if held else [])],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert select.select([process.stdout], [], [], PATIENCE_S)[0]
            where = json.loads(process.stdout.readline())
            home = f"/local/domain/{where['domid']}"
            yield Published(
                Path(where["root"]), where["xenstore"], where["dom0"], home, process.stdin
            )
        finally:
            process.terminate()
            process.wait()
            process.stdin.close()
            process.stdout.close()
