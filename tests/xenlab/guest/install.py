# SPDX-License-Identifier: GPL-2.0-or-later
"""Installs the agent as its package does: a folder of its own, a launcher on the PATH, the unit.

What it depends on is in the root file system as Debian packages; there is no network. Its modules
are compiled at once, for an ordinary user could not keep the byte code.
"""

from __future__ import annotations

import compileall
import configparser
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Final

FOLDER: Final = Path("/usr/lib/balloon-agent")
LAUNCHER: Final = Path("/usr/bin/balloon-agent")
UNITS: Final = Path("/usr/lib/systemd/system")
CONFIGURATION: Final = Path("/etc/balloon-agent")
SCRIPT: Final = """#!/usr/bin/python3 -I
import sys

sys.path.insert(0, {folder!r})
from {module} import {function}

sys.exit({function}())
"""


def install(lab: Path) -> None:
    """Install what lies in the lab's folder: `agent.whl` and `agent-systemd/`."""
    _install_wheel(lab / "agent.whl")
    CONFIGURATION.mkdir(exist_ok=True)
    for file in (lab / "agent-systemd").iterdir():
        if file.suffix in {".service", ".socket", ".timer"}:
            shutil.copy(file, UNITS)
        elif file.suffix == ".toml":
            shutil.copy(file, CONFIGURATION)


def _install_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(FOLDER)
        listed = next(n for n in archive.namelist() if n.endswith(".dist-info/entry_points.txt"))
        entries = configparser.ConfigParser()
        entries.read_string(archive.read(listed).decode())
    module, function = entries["console_scripts"]["balloon-agent"].split(":")
    LAUNCHER.write_text(SCRIPT.format(folder=str(FOLDER), module=module, function=function))
    LAUNCHER.chmod(0o755)
    compileall.compile_dir(FOLDER, quiet=2)


if __name__ == "__main__":
    install(Path(sys.argv[1]))
