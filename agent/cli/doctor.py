# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent doctor`."""

from __future__ import annotations

import json
import sys

import click

from agent.cli import exit_codes
from agent.cli.options import ascii_option, json_option
from agent.cli.seconds import Seconds
from agent.cli.which_domain import WhichDomain
from agent.core.findings.diagnosis import Diagnosis, diagnose
from agent.examine import examine, watched


@click.command(
    epilog="""\b
Examples:
  balloon-agent doctor
  balloon-agent doctor --seconds 60       also what only shows in a minute
  balloon-agent doctor --json | jq '.findings[] | {code, fix}'
  balloon-agent --root CAPTURE doctor     somebody else's guest

\b
Exit status: 0 nothing to mend, 1 warnings, 2 critical.
"""
)
@json_option("One JSON object.")
@click.option(
    "--seconds",
    metavar="N",
    type=Seconds(0, 3600),
    default=4.0,
    show_default=True,
    help="How long to watch; 0 looks once.",
)
@ascii_option()
@click.pass_obj
def doctor(which: WhichDomain, *, as_json: bool, seconds: float, ascii_only: bool) -> int:
    """Look for everything that is known to go wrong with the balloon.

    Each finding says what was seen, why it is so, who can mend it (this guest or its host) and
    how.  What could not be checked is listed with what would help.  Nothing is changed.
    """
    diagnosis = _diagnose(which, 0.0 if which.stands_still else seconds)
    if as_json:
        from agent.report.doctor_json import doctor_object  # noqa: PLC0415

        sys.stdout.write(json.dumps(doctor_object(diagnosis), indent=2) + "\n")
    else:
        from agent.report.doctor_text import doctor_lines  # noqa: PLC0415
        from agent.report.terminal import Terminal  # noqa: PLC0415

        terminal = Terminal(ascii_only=ascii_only or None)
        terminal.show(doctor_lines(diagnosis, terminal.width))
    return exit_codes.OF_VERDICT[diagnosis.verdict]


def _diagnose(which: WhichDomain, seconds: float) -> Diagnosis:
    """Watch, then examine the last moment."""
    root, store = which.system_root(), which.keys()
    snapshot, watch = watched(lambda: which.snapshot(store), root, which.wait, seconds)
    return diagnose(examine(snapshot, root, store, watch))
