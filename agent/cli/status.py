# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent status`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click

from agent import exit_codes
from agent.cli.keyboard import Keyboard
from agent.cli.options import Output, with_output, with_watch
from agent.cli.shown_status import print_status_json, show_status
from agent.cli.which_domain import WhichDomain

if TYPE_CHECKING:
    from agent.report.terminal import Terminal

LOOK_EVERY_S: Final = 0.25  # a PV guest's balloon moves a quarter of a GiB in a second


@click.command(
    epilog="""\b
Examples:
  balloon-agent status
  balloon-agent status --short            what fits on a screen of 24 lines
  balloon-agent status --json | jq .reconciliation.unexplained_kib
  balloon-agent --sim balloon-up status --watch
"""
)
@click.option("--short", is_flag=True, help="Without waterfall and reconciliation.")
@with_watch(1.0, "refresh so often, and whenever the balloon moves.")
@with_output("Draw")
@click.pass_obj
def status(which: WhichDomain, *, short: bool, watch: bool, interval: float, output: Output) -> int:
    """Show the memory of this guest: where every KiB of its E820 RAM is.

    First whether all is well, in a sentence and a picture, and what is wrong with a command that
    helps; then the kernel's and the host's numbers, the way from the maximum to what programs can
    use, and the reconciliation term by term.
    """
    if output.as_json:
        return print_status_json(which, interval if watch else None)
    if watch:
        return _watch(which, output.terminal(), interval)
    return show_status(which, short=short, ascii_only=output.ascii_only)


def _watch(which: WhichDomain, terminal: Terminal, interval_s: float) -> int:
    """Draw the screen again and again, ended by q or an interrupt.

    Where nothing happens it is drawn every `interval_s`; a balloon that moves is followed.
    Where the cursor cannot be moved (a serial console, TERM=dumb, a file) frames are appended:
    the whole screen once, then only what changes.
    """
    from agent.report.sparkline import has_moved, recent, sample_of, trend_lines  # noqa: PLC0415
    from agent.report.status_text import frame_lines, status_lines  # noqa: PLC0415
    from agent.report.styled import heading  # noqa: PLC0415

    which.play()
    assessment = which.assessment()
    began_s = drawn_s = time.monotonic()
    samples = [sample_of(assessment, began_s)]
    first = [*status_lines(assessment, terminal.width), ()]
    (terminal.refresh if terminal.redraws else terminal.show)(first)
    with Keyboard() as keyboard:
        while not keyboard.leaves():
            which.wait(min(interval_s, LOOK_EVERY_S))
            now_s, before = time.monotonic(), samples[-1]
            assessment = which.assessment()
            samples = recent([*samples, sample_of(assessment, now_s)])
            if now_s - drawn_s < interval_s and not has_moved(before, samples[-1]):
                continue
            drawn_s = now_s
            trends = trend_lines(samples, terminal.width)
            if terminal.redraws:
                terminal.refresh(status_lines(assessment, terminal.width, trends))
            else:
                when = f"after {now_s - began_s:.1f} s"
                terminal.show([heading(when), *frame_lines(assessment, terminal.width, trends)])
    return exit_codes.OF_VERDICT[assessment.verdict]
