# SPDX-License-Identifier: GPL-2.0-or-later
"""Undoes each fix, one after the other, and tells whether its tests notice.

    python3 -m tests.reverts [WORD...]

In a copy of the tree; this one stays as it is.  A WORD chooses the faults that have it in them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.reverts.table import FIXES, Reverted
from tests.support.copied_tree import copied_tree

PATIENCE_S: Final = 240.0


def unnoticed(fix: Reverted, tree: Path) -> list[str]:
    """The tests of a fix that pass although it is undone."""
    kept = {undo.file: (tree / undo.file).read_text(encoding="utf-8") for undo in fix.undone_by}
    try:
        for undo in fix.undone_by:
            file = tree / undo.file
            text = file.read_text(encoding="utf-8")
            file.write_text(text.replace(undo.old, undo.new), encoding="utf-8")
        return [test for test in fix.tests if passes(test, tree)]
    finally:
        for name, text in kept.items():
            (tree / name).write_text(text, encoding="utf-8")


def passes(test: str, tree: Path) -> bool:
    """Whether that test passes there; one that hangs does not."""
    words = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    try:
        done = subprocess.run(
            words, cwd=tree, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (0, 1):  # not one that failed: one that is not there
        raise SystemExit(f"{test}: {done.stdout}{done.stderr}")
    return done.returncode == 0


def main() -> int:
    """Tell of each; 1 when one came back unnoticed."""
    words, count = sys.argv[1:], 0
    with copied_tree() as tree:
        for fix in FIXES:
            if words and not any(word in fix.fault for word in words):
                continue
            left = unnoticed(fix, tree)
            count += bool(left)
            print(
                f"{'UNNOTICED' if left else 'noticed'}: {fix.fault}",
                *left,
                sep="\n    ",
                flush=True,
            )
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
