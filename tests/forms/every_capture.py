# SPDX-License-Identifier: GPL-2.0-or-later
"""What an installed program says of each guest that is held here, on any Python from 3.9 on.

    python3 -I tests/forms/every_capture.py PROGRAM              a line for each guest
    python3 -I tests/forms/every_capture.py PROGRAM --as FILE    ends with 1 where FILE has another

PROGRAM is the command of a wheel or package, or the one file.  It is run in this process, guest
after guest: a Python script is what all of them are.  A line has the guest, the exit status and the
sum of what `status --json` printed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import runpy
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def guests() -> Iterator[tuple[str, dict[str, str]]]:
    """Each guest's name and files."""
    for path in sorted([*TESTS.glob("captures/*/*.json"), *TESTS.glob("cases/*.json")]):
        document = json.loads(path.read_text(encoding="utf-8"))
        yield path.relative_to(TESTS).with_suffix("").as_posix(), document["files"]


def said_by(program: str, words: Sequence[str]) -> tuple[object, str]:
    """Exit status and output of a command of the program."""
    said = io.StringIO()
    sys.argv = [program, *words]
    path, finders = list(sys.path), list(sys.meta_path)
    code: object = None
    try:
        with contextlib.redirect_stdout(said):
            runpy.run_path(program, run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    sys.path[:], sys.meta_path[:] = path, finders
    sys.path_importer_cache.clear()  # the one file changes what is held of it there
    return code, said.getvalue()


def lines(program: str) -> Iterator[str]:
    """One for each guest."""
    for name, files in guests():
        with tempfile.TemporaryDirectory() as folder:
            for relative, text in files.items():
                path = Path(folder, relative)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            code, said = said_by(program, ("--root", folder, "status", "--json"))
            said = said.replace(folder, name)  # it says where it has looked
        assert json.loads(said)["schema"] == 1, name
        yield f"{name} {code} {hashlib.sha256(said.encode()).hexdigest()}"


def main(program: str, *others: str) -> int:
    """As the module's docstring says."""
    found = list(lines(os.path.abspath(program)))
    if not others:
        print(*found, sep="\n")
        return 0
    wanted = Path(others[1]).read_text(encoding="utf-8").splitlines()
    differing = sorted({line.split()[0] for line in set(wanted) ^ set(found)})
    python = ".".join(map(str, sys.version_info[:3]))
    outcome = f"ANOTHER JSON of {', '.join(differing)}" if differing else "the same JSON"
    print(f"Python {python}, {program}: {len(found)} guests, {outcome}", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
