# SPDX-License-Identifier: GPL-2.0-or-later
"""The door of the command `balloon-agent`: which half of the program answers.

It is light.  The daemon goes through it without click, whose memory every guest would pay
for, and so do a plain `status` and `status --json`, which monitoring asks for again and again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from agent.cli.words import command_of, domain_options_first


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is documented in `balloon-agent --help`."""
    words = domain_options_first(sys.argv[1:] if arguments is None else arguments)
    _open_missing_outputs()
    command = command_of(words)
    if command == "run" and not {"--help", "-h"} & set(words):
        from agent.cli.daemon_door import run_daemon  # noqa: PLC0415 - what it needs and no more

        return run_daemon(words)
    if command == "status":
        from agent.cli.status_door import plain_status  # noqa: PLC0415 - as above

        status = plain_status(words)
        if status is not None:
            return status
    from agent.cli.application import run_command  # noqa: PLC0415 - click is heavy

    return run_command(words)


def _open_missing_outputs() -> None:
    """Give a command that was started without standard output or error somewhere to write."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - stays open
