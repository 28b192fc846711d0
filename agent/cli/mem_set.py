# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent mem-set`, in dom0: xl's mem-set that says what became of it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Final

import click

from agent import exit_codes
from agent.cli.completion import guests_beginning_with
from agent.cli.endings import CommandError, remark
from agent.cli.host import ThisHost
from agent.cli.interrupts import Interrupts
from agent.cli.values import Parsed, Seconds
from agent.cli.which_domain import WhichDomain
from agent.core.facts.units import MIB_KIB, format_kib, parse_size_kib
from agent.core.host import mem_set as steps
from agent.core.host.guests import Guest, label
from agent.xl import XlError, XlHangsError

_LOOK_EVERY_S: Final = 0.25
_STATUS: Final = {
    "reached": exit_codes.OK,
    "stopped": exit_codes.WARNING,
    "refused": exit_codes.CRITICAL,
}


def _size_mib(text: str) -> int:
    """A size in MiB; a bare number is one, and units may be small, as for `xl mem-set`."""
    small = re.fullmatch(r"([0-9.]+)([kmgt])", text)
    if re.fullmatch(r"[0-9]*\.[0-9]*", text):
        raise ValueError(f"{text!r} would be in MiB; write for example {text}G.")
    kib = parse_size_kib(small[1] + small[2].upper() if small else text, bare_unit="M")
    if kib < MIB_KIB:
        raise ValueError(f"{text!r} is less than 1 MiB.")
    return -(-kib // MIB_KIB)


@click.command(
    "mem-set",
    epilog="""\b
Examples:
  balloon-agent mem-set db 384
  balloon-agent mem-set db 1G --timeout 120
  balloon-agent mem-set db 200 --dry-run

\b
Exit status: 0 reached, 1 stopped short, 2 refused (nothing was asked of the
guest), 130 interrupted, 64 wrong usage, 69 not dom0 or a balancer owns the
targets, 72 no xl, 77 not root.
""",
)
@click.argument("guest", shell_complete=guests_beginning_with)
@click.argument("size", type=Parsed("size", _size_mib))
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=Seconds(1, 86400),
    default=steps.TIMEOUT_S,
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

    Downwards in steps: each takes at most half of what the guest says it can spare; at each size it
    stays for 4 s, to see what programs take now and then; it ends where the guest needs the rest.
    Upwards in one step, with the guest's reason where it is not reached.  A bare SIZE is in MiB.
    Calls xl.
    Control-C, or SIGTERM, leaves the guest at a whole step; a second one ends this at once.
    """
    request = steps.Request(size, force, timeout)
    end: steps.End | None
    asked_mib: list[int] = []
    with ThisHost(which) as host:
        found = _the_guest(host, guest)
        _must_be_ours(host, found, size)
        way = steps.begin(found, request)
        if isinstance(way, steps.End):
            end = way
        elif dry_run:
            return _show_plan(found, request, way, as_json=as_json)
        else:
            end, asked_mib = _carry_out(host, found, request, way, quiet=as_json)
    _tell(end, asked_mib, found, as_json=as_json)
    return exit_codes.INTERRUPTED if end is None else _STATUS[end.how]


def _the_guest(host: ThisHost, name: str) -> Guest:
    found = host.look((name,)).guests
    if len(found) > 1:
        numbers = ", ".join(str(guest.domid) for guest in found)
        raise CommandError(
            f"{name!r} is {len(found)} guests: {numbers}. Say which by its number.",
            exit_codes.USAGE,
        )
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
    host: ThisHost, guest: Guest, request: steps.Request, way: steps.Way, *, quiet: bool
) -> tuple[steps.End | None, list[int]]:
    """Step by step, each whole; where xenstore is lost on the way the guest is left at one, too.

    How it ended, None after an interrupt; and the sizes that were asked for, in MiB.
    """
    asked: list[int] = []

    def ask(mib: int) -> None:
        try:
            host.xl_there().mem_set(guest.domid, mib)
        except XlHangsError:
            asked.append(mib)
            raise
        asked.append(mib)
        if not quiet:
            remark(f"asked for {format_kib(mib * MIB_KIB)}")

    end: steps.End | None
    try:
        end = _step_by_step(host, guest, request, way, ask)
    except XlHangsError as error:
        perhaps = f"{label(guest)} may have been asked for {format_kib(asked[-1] * MIB_KIB)}"
        end = steps.End("stopped", f"{error} and was ended; {perhaps}.")
    except XlError as error:
        how: steps.How = "stopped" if asked else "refused"
        at = f"; {_last_asked(guest, asked[-1])}" if asked else ""
        end = steps.End(how, f"xl refused: {error}{at}.")
    except CommandError as error:
        if not asked:
            raise
        sentence = f"{error.sentence.rstrip('.')}; {_last_asked(guest, asked[-1])}."
        raise CommandError(sentence, error.status) from error
    return end, asked


def _step_by_step(
    host: ThisHost, guest: Guest, request: steps.Request, way: steps.Way, ask: Callable[[int], None]
) -> steps.End | None:
    """How it ended; None when it was interrupted, which it is between two steps."""
    with Interrupts() as interrupts:
        while not interrupts.noted:
            seen = host.look_at(guest.domid)
            if seen is None:
                return steps.End("stopped", _gone(host, guest))
            move, way = steps.move(seen, way, request, time.monotonic())
            if isinstance(move, steps.End):
                if move.back_to_mib is not None:
                    ask(move.back_to_mib)
                return _with_the_hosts_reason(host, seen, move, request)
            if isinstance(move, steps.Ask):
                ask(move.mib)
            time.sleep(_LOOK_EVERY_S)
    return None


def _last_asked(guest: Guest, mib: int) -> str:
    return f"{label(guest)} was last asked for {format_kib(mib * MIB_KIB)}"


def _gone(host: ThisHost, guest: Guest) -> str:
    """It is no more; perhaps it has crashed and its toolstack started it again."""
    others = [one for one in host.look().guests if one.domid != guest.domid]
    again = [one.domid for one in others if guest.name and one.name == guest.name]
    if again:
        return f"{label(guest)} has started again, as domain {again[0]}; nothing is asked of that."
    return f"{label(guest)} is gone."


def _with_the_hosts_reason(
    host: ThisHost, guest: Guest, end: steps.End, request: steps.Request
) -> steps.End:
    """What a guest does not say: that the host has no more to give.

    That is no reason where the guest has ended, or somebody else has asked it for another size.
    """
    missing_kib = request.wanted_mib * MIB_KIB - (guest.actual_kib or 0)
    if end.how != "stopped" or missing_kib <= MIB_KIB or end.back_to_mib is not None:
        return end
    if guest.life != "running" or (guest.asked_kib or 0) // MIB_KIB != request.wanted_mib:
        return end
    try:
        free_kib = host.xl_there().hypervisor().free_kib
    except XlError:
        return end
    if free_kib is None or free_kib >= missing_kib:
        return end
    also = f"this host has {format_kib(free_kib)} free."
    text = end.sentence
    return end._replace(
        sentence=f"{text[:-1]}; {also}" if text.endswith(".") else f"{text} And {also}"
    )


def _tell(end: steps.End | None, asked_mib: list[int], guest: Guest, *, as_json: bool) -> None:
    if end is None:
        nothing = f"nothing was asked of {label(guest)}"
        at = _last_asked(guest, asked_mib[-1]) if asked_mib else nothing
        outcome, sentence = "interrupted", f"interrupted: {at}."
    else:
        outcome, sentence = end.how, end.sentence
    _say(guest, outcome, sentence, asked_mib, as_json=as_json)


def _say(guest: Guest, outcome: str, sentence: str, asked_mib: list[int], *, as_json: bool) -> None:
    found = {
        "schema": 1,
        "domid": guest.domid,
        "name": guest.name,
        "outcome": outcome,
        "sentence": sentence,
        "asked_kib": [mib * MIB_KIB for mib in asked_mib],
    }
    click.echo(json.dumps(found, indent=2) if as_json else sentence)


def _show_plan(guest: Guest, request: steps.Request, way: steps.Way, *, as_json: bool) -> int:
    """What would be asked for, if the guest went on as it says it does."""
    planned = steps.planned_mib(guest, request)
    last_mib = planned[-1] if planned else way.began_mib
    there = f"{label(guest)} would have {format_kib(last_mib * MIB_KIB)}"
    short = "" if last_mib == request.wanted_mib else f", short of {request.wanted_mib} MiB"
    then = "it is heard again after each step" if planned else "nothing would be asked of it"
    if not as_json:
        for mib in planned:
            click.echo(f"xl mem-set {guest.domid} {mib}m")
    _say(guest, "planned", f"{there}{short}; {then}.", planned, as_json=as_json)
    return exit_codes.OK
