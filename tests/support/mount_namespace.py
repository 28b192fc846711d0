# SPDX-License-Identifier: GPL-2.0-or-later
"""A command in a mount namespace of its own, with a small tmpfs that the test can fill or close.

Root needs nothing for that; others need user namespaces, which some systems do not allow.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

_MINE = () if os.geteuid() == 0 else ("--user", "--map-root-user")
_ENTERED = () if os.geteuid() == 0 else ("--user", "--preserve-credentials")


class Tmpfs:
    """A tmpfs on `directory`, mounted by the command that `prefix` starts."""

    def __init__(self, directory: Path, options: str) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        mount = 'mount -t tmpfs -o "$0" none "$1" && shift && exec "$@"'
        self.prefix = (
            "unshare", *_MINE, "--mount", "sh", "-c", mount, f"mode=755,{options}", str(directory),
        )  # fmt: skip
        probe = subprocess.run([*self.prefix, "true"], capture_output=True, check=False)
        if probe.returncode != 0:
            pytest.skip(f"no mount namespace can be had: {probe.stderr.decode().strip()}")

    def remount(self, pid: int, options: str) -> None:
        """Change the options of the mount that process `pid` sees."""
        inside = ("nsenter", *_ENTERED, "--mount", "--target", str(pid))
        mount = ("mount", "-o", f"remount,{options}", str(self.directory))
        subprocess.run([*inside, *mount], check=True)

    def seen_by(self, pid: int) -> Path:
        """The directory as process `pid` sees it."""
        return Path(f"/proc/{pid}/root") / self.directory.relative_to("/")
