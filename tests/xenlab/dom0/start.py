# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts a guest for a person: `python3 -m tests.xenlab.dom0.start KIND MEMORY MAXMEM [SUITE]`.

The guest has the agent installed and a shell on its console.
"""

from __future__ import annotations

import argparse
from typing import get_args

from tests.xenlab.build.recipe import BASE_SUITE
from tests.xenlab.dom0.guest import Guest
from tests.xenlab.model import GuestSpec, Kind

SHELL_WORD = "lab.shell"


def main() -> None:
    """Create the guest and say how to get at it."""
    parser = argparse.ArgumentParser(prog="start", description=__doc__)
    parser.add_argument("kind", choices=[kind for kind in get_args(Kind) if kind != "dom0"])
    parser.add_argument("memory", type=int, help="MiB")
    parser.add_argument("maxmem", type=int, help="MiB")
    parser.add_argument("suite", nargs="?", default=BASE_SUITE, help="whose kernel to use")
    wanted = parser.parse_args()
    name = f"{wanted.kind}-{wanted.memory}-{wanted.maxmem}-{wanted.suite}"
    words = (SHELL_WORD,)
    spec = GuestSpec(wanted.kind, wanted.memory, wanted.maxmem, wanted.suite, command_line=words)
    Guest(name, spec).create()
    print(f"xl console {name}    (leave it with Ctrl-])")


if __name__ == "__main__":
    main()
