# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the one file of a folder of modules; the same folder gives the same bytes.

build.py compile MODULES CODE           compiles them for the Python that runs this
build.py join MODULES ONEFILE CODE...   puts the one file together
"""

from __future__ import annotations

import io
import os
import sys
import zipfile
from pathlib import Path
from typing import Final

INTERPRETER: Final = "/usr/bin/python3 -I"  # -I: nobody's modules but ours and Python's
DAWN: Final = (1980, 1, 1, 0, 0, 0)  # a zip knows no earlier time


def sources(modules: Path) -> list[tuple[str, bytes]]:
    """Each module's path below the folder and its text, in the order of the paths."""
    found = sorted(path.relative_to(modules).as_posix() for path in modules.rglob("*.py"))
    return [(name, (modules / name).read_bytes()) for name in found]


def zipped(modules: Path) -> bytes:
    """All that is in the folder, in the order of the names."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(p.relative_to(modules).as_posix() for p in modules.rglob("*")):
            if (modules / name).is_file():
                info = zipfile.ZipInfo(name, DAWN)
                info.external_attr = 0o644 << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, (modules / name).read_bytes())
    return made.getvalue()


def main(arguments: list[str]) -> int:
    """As the module's docstring says."""
    action, folder, target, *codes = arguments
    modules = Path(folder)
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    from agent.service.onefile import OneFile, compiled  # noqa: PLC0415 - from that folder

    if action == "compile":
        tag = sys.implementation.cache_tag or ""
        Path(target).write_bytes(f"{tag}\n".encode() + compiled(sources(modules)))
        return 0
    parts = sorted(Path(code).read_bytes().split(b"\n", 1) for code in codes)
    by_tag = {tag.decode(): code for tag, code in parts}
    Path(target).write_bytes(OneFile(INTERPRETER, (), by_tag, zipped(modules)).joined())
    Path(target).chmod(0o755)
    return 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        sys.exit("Set PYTHONHASHSEED=0: the order within sets is in what is compiled.")
    sys.exit(main(sys.argv[1:]))
