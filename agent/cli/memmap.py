# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent memmap`."""

from __future__ import annotations

import json
import sys

import click

from agent.cli import exit_codes
from agent.cli.options import ascii_option, json_option
from agent.cli.which_domain import WhichDomain
from agent.core.account.situation import understand


@click.command(
    epilog="""\b
Examples:
  balloon-agent memmap
  balloon-agent memmap --json | jq .holes
"""
)
@json_option("One JSON object; addresses as hex strings.")
@ascii_option("Draw")
@click.pass_obj
def memmap(which: WhichDomain, *, as_json: bool, ascii_only: bool) -> int:
    """Show the firmware's memory map and /proc/iomem side by side.

    With the holes between the RAM, and what of it lies beyond nr_pages.  An ordinary user sees
    the firmware map; the addresses in /proc/iomem are shown to root only.
    """
    situation = understand(which.snapshot())
    if as_json:
        from agent.report.memmap_json import memmap_object  # noqa: PLC0415

        sys.stdout.write(json.dumps(memmap_object(situation), indent=2) + "\n")
    else:
        from agent.report.memmap_text import memmap_lines  # noqa: PLC0415
        from agent.report.terminal import Terminal  # noqa: PLC0415

        terminal = Terminal(ascii_only=ascii_only or None)
        terminal.show(memmap_lines(situation, terminal.width))
    snapshot = situation.snapshot
    readable = snapshot.firmware_map is not None or snapshot.iomem is not None
    return exit_codes.OK if readable else exit_codes.UNKNOWN
