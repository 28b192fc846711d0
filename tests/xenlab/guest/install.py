# SPDX-License-Identifier: GPL-2.0-or-later
"""Installs the agent as its package does: a folder of its own, a launcher on the PATH, the unit.

What it depends on is in the root file system as Debian packages; there is no network. Its modules
are compiled, for an ordinary user could not keep the byte code: in dom0 for all guests with its
Python, for on an emulated machine that has other work a guest needs more than two minutes for it.
"""

from __future__ import annotations

import compileall
import configparser
import shutil
import sys
import zipfile
from pathlib import Path
from py_compile import PycInvalidationMode
from tempfile import TemporaryDirectory
from typing import Final

FOLDER: Final = Path("/usr/lib/balloon-agent")
LAUNCHER: Final = Path("/usr/bin/balloon-agent")
UNITS: Final = Path("/usr/lib/systemd/system")
CONFIGURATION: Final = Path("/etc/balloon-agent")
BYTE_CODE: Final = f".{sys.implementation.cache_tag}.pyc"
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
        compiled = any(n.endswith(BYTE_CODE) for n in archive.namelist())
    module, function = entries["console_scripts"]["balloon-agent"].split(":")
    LAUNCHER.write_text(SCRIPT.format(folder=str(FOLDER), module=module, function=function))
    LAUNCHER.chmod(0o755)
    if not compiled:
        compileall.compile_dir(FOLDER, quiet=2)


def write_compiled(wheel: Path, compiled: Path) -> None:
    """Write a wheel once more, with the byte code of this Python, whatever times its files get."""
    with TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
        unchecked = PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(folder, ddir=str(FOLDER), quiet=2, invalidation_mode=unchecked)
        with zipfile.ZipFile(compiled, "w", zipfile.ZIP_DEFLATED) as target:
            for file in sorted(Path(folder).rglob("*")):
                target.write(file, file.relative_to(folder))


if __name__ == "__main__":
    install(Path(sys.argv[1]))
