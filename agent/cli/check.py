# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent check`: a plugin for Nagios and Icinga."""

from __future__ import annotations

from typing import Final

import click

from agent import exit_codes
from agent.cli.values import Parsed
from agent.cli.which_domain import WhichDomain
from agent.report.check_line import Threshold, Thresholds, check, parse_threshold

_LIMIT: Final = Parsed("size|percent", parse_threshold)


@click.command(
    "check",
    epilog="""\b
Examples:
  balloon-agent check
  balloon-agent check -w 20% -c 10%
  balloon-agent check -w 256M -c 128M -D 64M

\b
It judges what status and doctor find, and names it. Thresholds add to that:
  -w, -c  WARNING, CRITICAL when less than so much of MemTotal is available
  -d, -D  WARNING, CRITICAL when the balloon is stuck (retrying, cancelled,
          unreachable) at least so far from its target

\b
Exit status: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (also for wrong usage).
""",
)
@click.option("-w", "--warning", type=_LIMIT, help="Available memory below this is a warning.")
@click.option("-c", "--critical", type=_LIMIT, help="Available memory below this is critical.")
@click.option("-d", "--distance-warning", type=_LIMIT, help="Stuck so far from the target.")
@click.option("-D", "--distance-critical", type=_LIMIT, help="Stuck so far from the target.")
@click.pass_obj
def check_command(
    which: WhichDomain,
    *,
    warning: Threshold | None,
    critical: Threshold | None,
    distance_warning: Threshold | None,
    distance_critical: Threshold | None,
) -> int:
    """Print one line for Nagios or Icinga, with performance data.

    A size is like 256M or 1.5G (a bare number is in MiB), a percentage like 10%.
    """
    if _is_less(warning, critical):
        raise click.UsageError("-w is below -c: it would never warn.")
    if _is_less(distance_critical, distance_warning):
        raise click.UsageError("-D is below -d: it would never warn.")
    thresholds = Thresholds(warning, critical, distance_warning, distance_critical)
    result = check(which.assessment(), thresholds)
    click.echo(result.line)
    return exit_codes.OF_LEVEL[result.level]


def _is_less(threshold: Threshold | None, other: Threshold | None) -> bool:
    """Whether it is, where that does not depend on how large the guest is."""
    if threshold is None or other is None:
        return False
    if threshold.percent is None or other.percent is None:
        return threshold.percent == other.percent and threshold.kib < other.kib
    return threshold.percent < other.percent
