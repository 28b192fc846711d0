# SPDX-License-Identifier: GPL-2.0-or-later
"""Python code run as an ordinary user, for whom a file's mode counts."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).parents[2]
NOBODY: Final = 65534


def reachable(directory: Path) -> None:
    """Let everybody into a temporary directory and those above it, up to the system's own."""
    ours = []
    for path in (directory, *directory.parents):
        if path in (Path(tempfile.gettempdir()), Path("/dev/shm")):
            break
        ours.append(path)
    else:
        return
    for path in ours:
        path.chmod(path.stat().st_mode | 0o055)


def as_nobody(
    directory: Path, code: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `code` in `directory` without privileges: as nobody if this is root, else as it is.

    Modules are imported before the privileges go, for a checkout that only its owner may read.
    """
    reachable(directory)
    preamble = (
        f"import sys; sys.path.insert(0, {str(TOP)!r})\n"
        "import os, encodings.ascii, psutil, click, rich.console, rich.text\n"
        "import agent.cli.application, agent.cli.status, agent.cli.memmap, agent.cli.capture\n"
        "import agent.cli.shown_status\n"
        "import agent.gather, agent.report.status_json, agent.report.status_text\n"
        "import agent.report.memmap_text, agent.report.terminal, agent.capture\n"
        "import agent.report.memmap_json, agent.report.capture_archive\n"
        "import agent.cli.doctor, sim_backend.published.in_process\n"
        f"if os.geteuid() == 0: os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
    )
    return subprocess.run(
        [sys.executable, "-c", preamble + textwrap.dedent(code)],
        cwd=directory,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
