# SPDX-License-Identifier: GPL-2.0-or-later
"""`status --json`, once or again and again."""

from __future__ import annotations

import json
import sys

from agent.cli import exit_codes
from agent.cli.which_domain import WhichDomain
from agent.core.findings.assessment import assess
from agent.report.status_json import status_object


def print_status_json(which: WhichDomain, interval_s: float | None) -> int:
    """Print an object; with an interval one a line, ended by an interrupt."""
    if interval_s is not None:
        which.play()
    assessment = assess(which.snapshot())
    try:
        while True:
            indent = 2 if interval_s is None else None
            sys.stdout.write(json.dumps(status_object(assessment), indent=indent) + "\n")
            sys.stdout.flush()
            if interval_s is None:
                break
            which.wait(interval_s)
            assessment = assess(which.snapshot())
    except KeyboardInterrupt:
        pass
    return exit_codes.OF_VERDICT[assessment.verdict]
