# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent memmap`."""

from __future__ import annotations

import click

from agent import exit_codes
from agent.cli.options import Output, with_output
from agent.cli.which_domain import WhichDomain
from agent.core.account.situation import understand
from agent.report.memmap_json import memmap_object
from agent.report.memmap_text import memmap_lines


@click.command(
    epilog="""\b
Examples:
  balloon-agent memmap
  balloon-agent memmap --json | jq .holes
"""
)
@with_output("Draw", "One JSON object; addresses as hex strings.")
@click.pass_obj
def memmap(which: WhichDomain, *, output: Output) -> int:
    """Show the firmware's memory map and /proc/iomem side by side.

    With the holes between the RAM, and what of it lies beyond nr_pages.  An ordinary user sees
    the firmware map; the addresses in /proc/iomem are shown to root only.
    """
    situation = understand(which.snapshot())
    output.show(lambda: memmap_object(situation), lambda width: memmap_lines(situation, width))
    snapshot = situation.snapshot
    readable = snapshot.firmware_map is not None or snapshot.iomem is not None
    return exit_codes.OK if readable else exit_codes.UNKNOWN
