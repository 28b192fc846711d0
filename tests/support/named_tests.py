# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests as they are named, `tests/file.py::test_name`, and whether there is one of that name."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).parents[2]


@cache
def functions_of(file: Path) -> frozenset[str]:
    """The names of all functions in a file."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def is_there(test: str) -> bool:
    """Whether that file, and that test in it if one is named, exists."""
    name, _, function = test.partition("::")
    file = TOP / name
    return file.is_file() and (not function or function in functions_of(file))
