# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon stays for months and comes back from rest: what it does not need is not loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
SLOW = ("contextlib", "enum", "functools", "json", "re", "signal", "typing")
"""What takes longest to load of what nearly every program does."""

_AT_THE_DOOR = "import sys; import agent.cli.main; assert 'typing' not in sys.modules;"
_LEAN = "import sys; from agent import lean; lean.stay_lean();"


def _loaded(names: tuple[str, ...], code: str) -> list[str]:
    """Which of these a Python has loaded at the end of that, without what belongs to its site."""
    top = str(Path(__file__).parents[2])
    code = (
        f"import sys; sys.path.insert(0, {top!r}); {code}"
        f"really = lambda name: sys.modules[name].__name__ == name;"
        f"print(*[one for one in {names!r} if one in sys.modules and really(one)])"
    )
    command = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_nothing_heavy_is_loaded_to_run_it() -> None:
    assert _loaded(HEAVY, "import agent.daemon.main;") == []


def test_the_door_in_front_of_it_loads_nothing_slow() -> None:
    assert _loaded((*HEAVY, *SLOW), _AT_THE_DOOR) == []


def test_a_daemon_that_comes_back_from_rest_loads_nothing_slow() -> None:
    coming_back = "import agent.daemon.rest.resumption, agent.daemon.loop, agent.daemon.main;"
    assert _loaded((*HEAVY, *SLOW), _LEAN + coming_back) == []
    assert _loaded(SLOW, coming_back), "nobody would notice"
