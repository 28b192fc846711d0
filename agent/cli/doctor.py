# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent doctor`."""

from __future__ import annotations

from typing import Any, Final

import click

from agent import exit_codes
from agent.cli.options import Output, with_output
from agent.cli.values import Seconds
from agent.cli.which_domain import WhichDomain
from agent.core.findings.diagnosis import Diagnosis, diagnose
from agent.examine import examine, watched
from agent.report.doctor_text import doctor_lines

SCHEMA: Final = 1


@click.command(
    epilog="""\b
Examples:
  balloon-agent doctor
  balloon-agent doctor --seconds 60       also what only shows in a minute
  balloon-agent doctor --json | jq '.findings[] | {code, fix}'
  balloon-agent --root CAPTURE doctor     somebody else's guest

\b
Exit status: 0 nothing to fix, 1 warnings, 2 critical, 4 cannot be judged.
"""
)
@click.option(
    "--seconds",
    metavar="N",
    type=Seconds(0, 3600),
    default=4.0,
    show_default=True,
    help="How long to watch; 0 looks once.",
)
@with_output(json_help="One JSON object.")
@click.pass_obj
def doctor(which: WhichDomain, *, seconds: float, output: Output) -> int:
    """Look for everything that is known to go wrong with the balloon.

    Each finding says what was seen, why it is so, who can fix it (this guest or its host) and
    how.  What could not be checked is listed with what would help.  Nothing is changed.
    """
    root, store = which.system_root(), which.keys()
    watched_s = 0.0 if which.stands_still else seconds
    snapshot, watch = watched(lambda: which.snapshot(store), root, which.wait, watched_s)
    diagnosis = diagnose(examine(snapshot, root, store, watch))
    output.show(lambda: doctor_object(diagnosis), lambda width: doctor_lines(diagnosis, width))
    return exit_codes.OF_VERDICT[diagnosis.assessment.verdict]


def doctor_object(diagnosis: Diagnosis) -> dict[str, Any]:
    """The diagnosis as JSON's own types.  Keys may be added here, never renamed or removed."""
    examination = diagnosis.examination
    watch = examination.watch
    return {
        "schema": SCHEMA,
        "source": examination.situation.snapshot.origin._asdict(),
        "sources": dict(examination.sources),
        "verdict": diagnosis.assessment.verdict,
        "watched_s": watch.lasted_s if watch else 0,
        "findings": [finding.as_object() for finding in diagnosis.findings],
        "clear": list(diagnosis.clear),
        "not_made": [lacking._asdict() for lacking in diagnosis.not_made],
    }
