# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent run` without click: the words before the command, then the daemon's own."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from agent.cli import exit_codes
from agent.cli.words import command_of, domain_options


def run_daemon(words: Sequence[str]) -> int:
    """Start the daemon for the domain that the words before `run` name."""
    command = command_of(words)
    position = list(words).index(command) if command else 0
    options = domain_options(words[:position])
    if options is None or "--sim" in options:
        word = "--sim" if options else words[0]
        sys.stderr.write(
            f"balloon-agent: {word} does not go with run; --root DIR --xenstore PATH do.\n"
        )
        return exit_codes.USAGE
    from agent.daemon.main import main  # noqa: PLC0415 - only when it is sure to start

    return main(words[position + 1 :], options.get("--root"), options.get("--xenstore"))
