# SPDX-License-Identifier: GPL-2.0-or-later
"""`status` for people, once: drawn here so that it needs no click."""

from __future__ import annotations

from agent.cli import exit_codes
from agent.cli.which_domain import WhichDomain
from agent.core.findings.assessment import assess
from agent.report.status_text import reminder_lines, short_status_lines, status_lines
from agent.report.terminal import Terminal


def show_status(which: WhichDomain, terminal: Terminal, *, short: bool = False) -> int:
    """Draw the screen and end with the verdict's status.

    On a terminal that the screen is too tall for, its end reminds of its beginning.
    """
    assessment = assess(which.snapshot())
    lines = (short_status_lines if short else status_lines)(assessment, terminal.width)
    if terminal.rows is not None and len(lines) >= terminal.rows and not short:
        lines += reminder_lines(assessment, terminal.width)
    terminal.show(lines)
    return exit_codes.OF_VERDICT[assessment.verdict]
