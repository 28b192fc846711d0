# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent explain`."""

from __future__ import annotations

import os
import time

import click

from agent import exit_codes
from agent.cli.endings import CommandError
from agent.cli.options import Output, with_output
from agent.cli.which_domain import WhichDomain
from agent.core.facts.daemon_record import DaemonRecord
from agent.report.explain_text import explain_lines, is_stale
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
@with_output(json_help="One JSON object.")
@click.pass_obj
def explain(which: WhichDomain, *, output: Output) -> int:
    """Show the daemon's last decisions in time order: cause, rule, action, outcome.

    What the host asked for meanwhile stands between them.  Equal decisions in a row are one, with
    a count.  The daemon keeps the last 32.
    """
    record, now_s = _record(which), time.time()
    stale = is_stale(record, now_s)
    decisions = [decision._asdict() for decision in record.decisions]
    output.show(
        lambda: record._asdict() | {"decisions": decisions, "stale": stale},
        lambda width: explain_lines(record, now_s, width),
    )
    return exit_codes.UNKNOWN if stale else exit_codes.OK


def _record(which: WhichDomain) -> DaemonRecord:
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
