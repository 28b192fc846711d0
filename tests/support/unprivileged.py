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
PREAMBLE: Final = f"""\
import contextlib, encodings.ascii, importlib, os, pkgutil, sys
sys.path.insert(0, {str(TOP)!r})
if os.geteuid() == 0:
    for name in ("agent", "sim_backend", "click", "psutil", "rich"):
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, name + "."):
            if not module.name.endswith("__main__"):
                with contextlib.suppress(ImportError, AssertionError):  # of another system
                    importlib.import_module(module.name)
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
"""


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

    All modules are imported before the privileges go: only its owner may be let into a checkout.
    Files in `directory` go by relative paths: as root it is elsewhere meanwhile.
    """
    with within_reach(directory) as there:
        return subprocess.run(
            [sys.executable, "-c", PREAMBLE + textwrap.dedent(code)],
            cwd=there,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
