# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes of a package its successor: a higher version, and a default configuration that differs."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Final

SUFFIX: Final = "+next"
CONFIG: Final = "etc/balloon-agent/config.toml"


def make_newer(deb: Path, into: Path) -> Path:
    """Repack DEB with a higher version (its dependency on its sibling too) and return the copy."""
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name) / "tree"
        subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
        control = tree / "DEBIAN" / "control"
        text = control.read_text()
        version = re.search(r"^Version: (.*)$", text, re.MULTILINE)
        assert version is not None, f"{deb} has no version"
        control.write_text(text.replace(version[1], version[1] + SUFFIX))
        if (tree / CONFIG).exists():
            with (tree / CONFIG).open("a") as config:
                config.write("\n# A newer default.\n")
        made = into / deb.name.replace(version[1], version[1] + SUFFIX)
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "--build", tree, made],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return made
