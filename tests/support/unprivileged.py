# SPDX-License-Identifier: GPL-2.0-or-later
"""Python code run as an ordinary user, for whom a file's mode counts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).parents[2]
NOBODY: Final = 65534


@contextmanager
def within_reach(directory: Path) -> Iterator[Path]:
    """The directory, for as long as this lasts, where everybody can get into it.

    pytest closes what all its temporary directories lie in to all but its user, and does so again
    whenever another run begins.
    """
    if os.geteuid() != 0:  # what is run is this user's own
        yield directory
        return
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        there = Path(place, directory.name)
        shutil.move(directory, there)
        try:
            there.chmod(there.stat().st_mode | 0o055)
            yield there
        finally:
            shutil.move(there, directory)


def as_nobody(
    directory: Path, code: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `code` in `directory` without privileges: as nobody if this is root, else as it is.

    Modules are imported before the privileges go, for a checkout that only its owner may read.
    Files in `directory` go by relative paths: as root it is elsewhere meanwhile.
    """
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
    with within_reach(directory) as there:
        return subprocess.run(
            [sys.executable, "-c", preamble + textwrap.dedent(code)],
            cwd=there,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
