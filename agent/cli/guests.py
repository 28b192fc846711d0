# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent guests`, in dom0."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Final

import click

from agent import exit_codes
from agent.cli.completion import guests_beginning_with
from agent.cli.host import ThisHost, now_utc
from agent.cli.keyboard import Keyboard
from agent.cli.options import Output, with_output, with_watch
from agent.cli.which_domain import WhichDomain
from agent.core.host.guests import Host, verdict
from agent.report.guests_json import guests_object

if TYPE_CHECKING:
    from agent.report.styled import Line

_SECOND_LOOK_S: Final = 1.0


@click.command(
    epilog="""\b
Examples:
  balloon-agent guests
  balloon-agent guests db 'web-*' --watch
  balloon-agent guests --json | jq '.guests[] | {name, spare_kib}'

\b
Exit status: 0, or 1 where a guest lacks memory, is stuck, does not answer, says
what cannot be, cannot be read, or is there no more (with --watch).
"""
)
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=guests_beginning_with)
@with_watch(2.0, "look so often.")
@with_output("Draw")
@click.pass_obj
def guests(
    which: WhichDomain, *, names: tuple[str, ...], watch: bool, interval: float, output: Output
) -> int:
    """Show in dom0 what every guest has, and what it could give without hurting.

    A NAME is a guest's name or number, or a pattern of names in quotes ('web-*').  What a guest
    says of itself is its own word: checked, bounded by what its host gave it, and never trusted.
    Where a guest has no agent there is "-".  Nothing is changed.
    """
    with ThisHost(which) as this:
        host = this.look(names, patterns=True)
        if any(guest.is_silent or guest.doubts for guest in host.guests):
            time.sleep(_SECOND_LOOK_S)  # it may just have been asked
            host = this.look(names, patterns=True, may_be_missing=True)
        if watch:
            host = _watch(this, names, host, interval, output)
        else:
            output.show(lambda: guests_object(host, now_utc()), lambda width: _lines(host, width))
    return exit_codes.OF_VERDICT[verdict(host)]


def _watch(
    this: ThisHost, names: tuple[str, ...], host: Host, interval_s: float, output: Output
) -> Host:
    """Draw it again and again, ended by q or an interrupt; the host as it was seen last."""
    with Keyboard() as keyboard:
        _draw(host, output)
        while not keyboard.leaves(interval_s):
            host = this.look(names, patterns=True, may_be_missing=True)
            _draw(host, output)
    return host


def _draw(host: Host, output: Output) -> None:
    """One frame: a line of JSON, in place, or below the one before."""
    if output.as_json:
        sys.stdout.write(json.dumps(guests_object(host, now_utc())) + "\n")
        sys.stdout.flush()
        return
    from agent.report.styled import heading  # noqa: PLC0415 - not for programs

    terminal = output.terminal()
    lines = _lines(host, terminal.width)
    if terminal.redraws:
        terminal.refresh(lines)
    else:
        terminal.show([heading(now_utc()), *lines, ()])


def _lines(host: Host, width: int) -> list[Line]:
    from agent.report.guests_text import guests_lines  # noqa: PLC0415 - not for programs

    return guests_lines(host, width)
