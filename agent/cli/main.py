# SPDX-License-Identifier: GPL-2.0-or-later
"""The door of the command `balloon-agent`: which half of the program answers.

It is light.  The daemon goes through it without click, whose memory every guest would pay for, and
so do a plain `status` and `status --json`, which monitoring asks for again and again, and of whose
time click would be a third.
"""

from __future__ import annotations

import io
import os
import sys

from agent import exit_codes
from agent.words import DOMAIN_OPTIONS, Words, take_apart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is documented in `balloon-agent --help`."""
    words = take_apart(sys.argv[1:] if arguments is None else arguments, DOMAIN_OPTIONS)
    _prepare_outputs()
    if words.lacking is None and words.rest[:1] == ["run"]:
        if not {"--help", "-h"} & set(words.rest):
            return _run_daemon(words)
    elif words.lacking is None and words.rest in (["status"], ["status", "--json"]):
        root = words.given.get("--root")
        if words.given.keys() <= {"--root"} and (root is None or os.path.isdir(root)):
            return _plain_status(root, as_json=len(words.rest) > 1)
    from agent.cli.application import run_command  # noqa: PLC0415 - click is heavy

    return run_command(words)


def _run_daemon(words: Words) -> int:
    if "--sim" in words.given:
        from agent.cli.endings import complain  # noqa: PLC0415 - not of the daemon

        complain("--sim does not go with run; --root DIR --xenstore PATH do.")
        return exit_codes.USAGE
    from agent.lean import stay_lean  # noqa: PLC0415 - not for the commands

    stay_lean()
    from agent.daemon.main import main as run  # noqa: PLC0415 - only when it is sure to start

    return run(words.rest[1:], words.given.get("--root"), words.given.get("--xenstore"))


def _plain_status(root: str | None, *, as_json: bool) -> int:
    from agent.cli.endings import ended  # noqa: PLC0415 - not of the daemon
    from agent.cli.shown_status import print_status_json, show_status  # noqa: PLC0415
    from agent.cli.which_domain import WhichDomain  # noqa: PLC0415

    show = print_status_json if as_json else show_status
    return ended(lambda: show(WhichDomain(root)))


def _prepare_outputs() -> None:
    """Give a command that was started without standard output or error somewhere to write.

    What an output's encoding does not have is spelled out, as on standard error: names of files
    may hold any byte.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - stays open
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
