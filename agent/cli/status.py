# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent status`."""

import json
import sys
import time

import click

from agent.cli import exit_codes
from agent.cli.which_domain import WhichDomain
from agent.core.assessment import Assessment, assess


@click.command(
    epilog="""\b
Examples:
  balloon-agent status
  balloon-agent status --json | jq .reconciliation.unexplained_kib
  balloon-agent --sim balloon-up status --watch
"""
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, sizes in KiB.")
@click.option("--watch", is_flag=True, help="Refresh in place until interrupted.")
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    help="With --watch: time between two looks.",
)
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw with ASCII characters only.")
@click.pass_obj
def status(
    which: WhichDomain, *, as_json: bool, watch: bool, interval: float, ascii_only: bool
) -> int:
    """Show the memory of this guest: where every KiB of its E820 RAM is.

    First one sentence and a picture, then the reconciliation term by term, the kernel's and the
    host's numbers, and what is wrong with a command that helps.
    """
    if as_json:
        return _repeat_json(which, interval if watch else None)
    return _show(which, interval if watch else None, ascii_only or None)


def _repeat_json(which: WhichDomain, interval_s: float | None) -> int:
    """Print an object; with an interval one a line, for ever."""
    from agent.report.status_json import status_object  # noqa: PLC0415

    while True:
        assessment = assess(which.snapshot())
        indent = 2 if interval_s is None else None
        sys.stdout.write(json.dumps(status_object(assessment), indent=indent) + "\n")
        sys.stdout.flush()
        if interval_s is None:
            return exit_codes.OF_VERDICT[assessment.verdict]
        time.sleep(interval_s)


def _show(which: WhichDomain, interval_s: float | None, ascii_only: bool | None) -> int:
    """Draw the screen; with an interval again and again, ended by an interrupt."""
    from agent.report.status_text import status_lines  # noqa: PLC0415
    from agent.report.terminal import Terminal  # noqa: PLC0415

    assessment: Assessment = assess(which.snapshot())
    terminal = Terminal(ascii_only=ascii_only)
    if interval_s is None:
        terminal.show(status_lines(assessment, terminal.width))
        return exit_codes.OF_VERDICT[assessment.verdict]
    try:
        while True:
            terminal.refresh(status_lines(assessment, terminal.width))
            time.sleep(interval_s)
            assessment = assess(which.snapshot())
    except KeyboardInterrupt:
        return exit_codes.OF_VERDICT[assessment.verdict]
