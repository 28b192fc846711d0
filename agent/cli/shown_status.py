# SPDX-License-Identifier: GPL-2.0-or-later
"""`status` for people and for programs, shown here so that it needs no click."""

from __future__ import annotations

import contextlib
import json
import sys
import time

from agent import exit_codes
from agent.cli.which_domain import WhichDomain


def show_status(which: WhichDomain, *, short: bool = False, ascii_only: bool = False) -> int:
    """Draw the screen and end with the verdict's status.

    On a terminal that the screen is too tall for, its end reminds of its beginning.
    """
    from agent.report import status_text  # noqa: PLC0415 - one or the other
    from agent.report.terminal import Terminal  # noqa: PLC0415

    terminal = Terminal(ascii_only=ascii_only)
    assessment = which.assessment()
    draw = status_text.short_status_lines if short else status_text.status_lines
    lines = draw(assessment, terminal.width)
    if terminal.rows is not None and len(lines) >= terminal.rows and not short:
        lines += status_text.reminder_lines(assessment, terminal.width)
    terminal.show(lines)
    return exit_codes.OF_VERDICT[assessment.verdict]


def print_status_json(which: WhichDomain, interval_s: float | None = None) -> int:
    """Print an object; with an interval one a line, ended by an interrupt."""
    from agent.report.status_json import status_object  # noqa: PLC0415 - one or the other

    if interval_s is not None:
        which.play()
    assessment = which.assessment()
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            found = status_object(assessment)
            if interval_s is not None:
                found = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **found}
            indent = 2 if interval_s is None else None
            sys.stdout.write(json.dumps(found, indent=indent) + "\n")
            sys.stdout.flush()
            if interval_s is None:
                break
            which.wait(interval_s)
            assessment = which.assessment()
    return exit_codes.OF_VERDICT[assessment.verdict]
