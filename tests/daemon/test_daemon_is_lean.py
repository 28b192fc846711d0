# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon stays for months: what it does not need, it does not load."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "argparse",
    "asyncio",
    "click",
    "dataclasses",
    "difflib",
    "http",
    "logging",
    "pathlib",
    "psutil",
    "pyxs",
    "queue",
    "random",
    "rich",
    "selectors",
    "socket",
    "ssl",
    "tempfile",
    "threading",
    "tomllib",
    "unittest",
)


def test_nothing_heavy_is_loaded_to_run_it() -> None:
    code = f"import sys, agent.daemon.main; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_no_field_of_a_value_is_made_into_an_object_of_typings() -> None:
    """Where Python makes them when a class is made: until 3.13 it does."""
    code = (
        "import gc, typing; from agent.lean import leave_annotations_alone as leave; leave();"
        "import agent.daemon.main;"
        "print(sum(type(one) is typing.ForwardRef for one in gc.get_objects()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
