# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent explain`."""

from __future__ import annotations

import json
import os
import sys
import time

import click

from agent.cli import exit_codes
from agent.cli.command_error import CommandError
from agent.cli.options import ascii_option, json_option
from agent.cli.which_domain import WhichDomain
from agent.core.facts.daemon_record import DaemonRecord
from agent.sources.daemon_status import FILE, read_daemon_record
from agent.sources.outcome import ABSENT, DENIED


@click.command(
    epilog="""\b
Examples:
  balloon-agent explain
  balloon-agent explain --json | jq '.decisions[-1]'

\b
Exit status: 0, or 4 where no daemon has left a record or it is out of date.
"""
)
@json_option("One JSON object.")
@ascii_option()
@click.pass_obj
def explain(which: WhichDomain, *, as_json: bool, ascii_only: bool) -> int:
    """Show the daemon's last decisions in time order: cause, rule, action, outcome.

    What the host asked for meanwhile stands between them.  Equal decisions in a row are one, with
    a count.  The daemon keeps the last 32.
    """
    record = _record(which)
    from agent.report.explain_text import explain_lines, is_stale  # noqa: PLC0415

    now_s = time.time()
    if as_json:
        decisions = [decision._asdict() for decision in record.decisions]
        found = record._asdict() | {"decisions": decisions, "stale": is_stale(record, now_s)}
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        from agent.report.terminal import Terminal  # noqa: PLC0415

        terminal = Terminal(ascii_only=ascii_only or None)
        terminal.show(explain_lines(record, now_s, terminal.width))
    return exit_codes.UNKNOWN if is_stale(record, now_s) else exit_codes.OK


def _record(which: WhichDomain) -> DaemonRecord:
    """What the daemon of that domain wrote last."""
    if which.sim is not None:
        raise CommandError(
            "A simulated domain has no daemon to explain itself; see balloon-agent simulate "
            f"{which.sim}.",
            exit_codes.USAGE,
        )
    root = which.system_root()
    outcome = read_daemon_record(root)
    if outcome.value is not None:
        return outcome.value
    if outcome.status == ABSENT:
        which.snapshot()  # ends here, with a sentence, where there is no Xen domain
    path = os.path.join(root.path, FILE)
    reasons = {
        ABSENT: f"No daemon has left a record in {path}. Is it running? "
        "systemctl status balloon-agent",
        DENIED: f"{path} may not be read by this user; run as root.",
    }
    raise CommandError(
        reasons.get(outcome.status, f"{path} is {outcome.status}."), exit_codes.UNKNOWN
    )
