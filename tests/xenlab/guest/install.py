# SPDX-License-Identifier: GPL-2.0-or-later
"""Installs the agent's wheel: into a folder of its own, with a launcher on the PATH.

What it depends on is in the root file system as Debian packages; there is no network. Its modules
are compiled at once, for an ordinary user could not keep the byte code.
"""

import compileall
import configparser
import sys
import zipfile
from pathlib import Path
from typing import Final

FOLDER: Final = Path("/usr/lib/balloon-agent")
LAUNCHER: Final = Path("/usr/bin/balloon-agent")
SCRIPT: Final = """#!/usr/bin/python3 -I
import sys

sys.path.insert(0, {folder!r})
from {module} import {function}

sys.exit({function}())
"""


def install(wheel: Path) -> None:
    """Unpack a wheel and write the launcher for its console script."""
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
