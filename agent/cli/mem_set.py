# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent mem-set`, in dom0: xl's mem-set that says what became of it."""

from __future__ import annotations

import json
import sys
import time
from typing import Final

import click

from agent import exit_codes
from agent.cli.command_error import CommandError
from agent.cli.host import ThisHost
from agent.cli.seconds import Seconds
from agent.cli.which_domain import WhichDomain
from agent.core.facts.units import MIB_KIB, format_kib, parse_size_kib
from agent.core.host import mem_set as steps
from agent.core.host.guests import Guest, label
from agent.xl import XlError

_LOOK_EVERY_S: Final = 0.25
_STATUS: Final = {
    "reached": exit_codes.OK,
    "stopped": exit_codes.WARNING,
    "refused": exit_codes.CRITICAL,
}


def _size(_ctx: click.Context, _param: click.Parameter, text: str) -> int:
    """A size in MiB; a bare number is one, as for `xl mem-set`."""
    try:
        kib = parse_size_kib(text, bare_unit="M")
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error
    if kib < MIB_KIB:
        raise click.BadParameter(f"{text!r} is less than 1 MiB.")
    return -(-kib // MIB_KIB)


@click.command(
    "mem-set",
    epilog="""\b
Examples:
  balloon-agent mem-set db 384
  balloon-agent mem-set db 1G --timeout 120
  balloon-agent mem-set db 200 --dry-run

\b
Exit status: 0 reached, 1 stopped short, 2 refused.
""",
)
@click.argument("guest")
@click.argument("size", callback=_size)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=Seconds(1, 86400),
    default=60.0,
    show_default=True,
    help="Stop when the guest has come no nearer for so long.",
)
@click.option("--force", is_flag=True, help="Go below what the guest says it needs.")
@click.option("--dry-run", is_flag=True, help="Show the steps as they look now, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object at the end.")
@click.pass_obj
def mem_set(
    which: WhichDomain,
    *,
    guest: str,
    size: int,
    timeout: float,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Bring a GUEST of this host to SIZE, and say what became of it.

    Downwards in steps: each takes at most half of what the guest says it can spare, the next one
    follows when the guest has given it; it ends where the guest needs the rest.  Upwards in one
    step, with the guest's reason where it is not reached.  A bare SIZE is in MiB.  Calls xl; an
    interrupt leaves the guest at a whole step.
    """
    request = steps.Request(size, force, timeout)
    with ThisHost(which) as host:
        found = _the_guest(host, guest)
        _must_be_ours(host, found, size)
        if dry_run:
            return _show_plan(found, request, as_json=as_json)
        end, at_mib, asked = _carry_out(host, found, request, quiet=as_json)
    _tell(end, found, asked, at_mib, as_json=as_json)
    return exit_codes.INTERRUPTED if end is None else _STATUS[end.how]


def _the_guest(host: ThisHost, name: str) -> Guest:
    found = host.look((name,)).guests
    if len(found) > 1:
        numbers = ", ".join(str(guest.domid) for guest in found)
        raise CommandError(f"{name!r} is {len(found)} guests: {numbers}.", exit_codes.USAGE)
    return found[0]


def _must_be_ours(host: ThisHost, guest: Guest, size_mib: int) -> None:
    """Where a balancer owns the targets, what is set here is gone in a moment."""
    balancer = host.balancer()
    if balancer == "xapi":
        command = (
            f"xe vm-memory-dynamic-range-set uuid={guest.uuid or 'UUID'} "
            f"min={size_mib}MiB max={size_mib}MiB"
        )
        raise CommandError(
            f"XAPI's squeezed sets the targets on this host; there: {command}", exit_codes.NOT_XEN
        )
    if balancer == "qubes":
        raise CommandError(
            "Qubes' qmemman sets the targets on this host; there, for the next start: "
            f"qvm-prefs QUBE maxmem {size_mib}",
            exit_codes.NOT_XEN,
        )
    if host.xl is None:
        raise CommandError("xl is not on this host; mem-set needs it.", exit_codes.MISSING_PART)


def _carry_out(
    host: ThisHost, guest: Guest, request: steps.Request, *, quiet: bool
) -> tuple[steps.End | None, int, list[int]]:
    """Step by step; how it ended (None: interrupted), where the guest is, what was asked for."""
    assert host.xl is not None
    asked: list[int] = []
    way = steps.begin(guest, request)
    if isinstance(way, steps.End):
        return way, (guest.asked_kib or 0) // MIB_KIB, asked
    began_mib = way.began_mib
    try:
        while True:
            seen = host.look_at(guest.domid)
            if seen is None:
                end = steps.End("stopped", f"{label(guest)} is gone.")
                break
            move, way = steps.move(seen, way, request, time.monotonic())
            if isinstance(move, steps.End):
                end = move
                break
            if isinstance(move, steps.Ask):
                host.xl.mem_set(guest.domid, move.mib)
                asked.append(move.mib)
                if not quiet:
                    sys.stderr.write(f"asked for {format_kib(move.mib * MIB_KIB)}\n")
            time.sleep(_LOOK_EVERY_S)
        if end.back_to_mib is not None:
            host.xl.mem_set(guest.domid, end.back_to_mib)
            asked.append(end.back_to_mib)
    except XlError as error:
        how: steps.How = "stopped" if asked else "refused"
        end = steps.End(how, f"xl refused: {error}.")
    except KeyboardInterrupt:
        return None, asked[-1] if asked else began_mib, asked
    return end, asked[-1] if asked else began_mib, asked


def _tell(
    end: steps.End | None, guest: Guest, asked: list[int], at_mib: int, *, as_json: bool
) -> None:
    if end is None:
        sentence = f"interrupted: {label(guest)} was last asked for {format_kib(at_mib * MIB_KIB)}."
    else:
        sentence = end.sentence
    if as_json:
        found = {
            "schema": 1,
            "domid": guest.domid,
            "name": guest.name,
            "outcome": "interrupted" if end is None else end.how,
            "sentence": sentence,
            "asked_kib": [mib * MIB_KIB for mib in asked],
        }
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        click.echo(f"{sentence[0].upper()}{sentence[1:]}" if end is None else sentence)


def _show_plan(guest: Guest, request: steps.Request, *, as_json: bool) -> int:
    """What would be asked for, if the guest went on as it says it does."""
    started = steps.begin(guest, request)
    if isinstance(started, steps.End):
        _tell(started, guest, [], 0, as_json=as_json)
        return _STATUS[started.how]
    planned = steps.planned_mib(guest, request)
    if as_json:
        _tell(steps.End("stopped", "nothing was done"), guest, planned, 0, as_json=True)
        return exit_codes.OK
    for mib in planned:
        click.echo(f"xl mem-set {guest.domid} {mib}m")
    last = planned[-1] if planned else started.began_mib
    short = "" if last == request.wanted_mib else f", short of {request.wanted_mib} MiB"
    click.echo(f"{label(guest)} would have {format_kib(last * MIB_KIB)}{short}; it is heard again "
               "after each step.")  # fmt: skip
    return exit_codes.OK
