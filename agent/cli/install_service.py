# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent install-service`: program, service and manual where no package brought them."""

from __future__ import annotations

import contextlib
import os
from shlex import quote

import click

from agent import exit_codes
from agent.cli.completion import completion_scripts
from agent.cli.endings import CommandError
from agent.cli.which_domain import WhichDomain
from agent.service import files
from agent.service.files import AGENT_UNITS, INIT_SCRIPT, METRICS_UNITS
from agent.service.fitness import unfit
from agent.service.placed import RECORD, Placed
from agent.sources.system_root import SystemRoot

_NEXT = {
    "systemd": "systemctl daemon-reload && systemctl enable --now",
    "openrc": "rc-update add balloon-agent && rc-service balloon-agent start",
}
# What each leaves while the service runs.
_RUNNING = (
    "/sys/fs/cgroup/system.slice/balloon-agent.service",
    "/run/openrc/started/balloon-agent",
)


@click.command(
    "install-service",
    epilog="""\b
Examples:
  balloon-agent install-service
  ./balloon-agent.pyz install-service
  balloon-agent install-service --metrics
  balloon-agent install-service --remove
""",
)
@click.option("--metrics", is_flag=True, help="Also the port for Prometheus, on 127.0.0.1:9786.")
@click.option("--remove", is_flag=True, help="Remove what this command wrote.")
@click.option(
    "--init",
    type=click.Choice(list(_NEXT)),
    help="What starts services there; found out by itself where it is left out.",
)
@click.option(
    "--into",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    default="/",
    help="Write below DIR, the root of an image, instead of this machine's.",
)
@click.pass_obj
def install_service(
    which: WhichDomain, *, metrics: bool, remove: bool, init: str | None, into: str
) -> int:
    """Make a service of a balloon-agent that no package of the distribution brought.

    Puts in place the command (the one file itself, or a link to what pip installed), the unit of
    systemd or the script of OpenRC, the manual page, the shells' completions and the default
    configuration; says which files and what to do next, and starts nothing. A configuration that
    was changed stays. Needs root. A distribution's package needs none of this.

    With --remove all of it goes, once the service has been stopped and disabled, and so do the
    keys that the daemon left in xenstore, as with run --forget. What was there before stays, and
    so does a configuration that was changed.
    """
    try:
        if remove:
            return _remove(into, which)
        return _install(into, init or _init_of(into), metrics=metrics)
    except PermissionError as error:
        raise CommandError(
            f"{error.filename} may not be written by this user; run this as root.",
            exit_codes.NO_PERMISSION,
        ) from error
    except OSError as error:
        raise CommandError(
            f"{error.filename}: {error.strerror}.", exit_codes.CANNOT_CREATE
        ) from error


def _init_of(into: str) -> str:
    """What starts services in a system: OpenRC where it is and systemd is not."""
    at = [os.path.join(into, place) for place in ("usr/lib/systemd/systemd", "lib/systemd/systemd")]
    openrc = [os.path.join(into, place) for place in ("sbin/openrc-run", "usr/sbin/openrc-run")]
    has_openrc = any(map(os.path.exists, openrc)) and not any(map(os.path.exists, at))
    return "openrc" if has_openrc else "systemd"


def _install(into: str, init: str, *, metrics: bool) -> int:
    if metrics and init == "openrc":
        raise CommandError(
            "The port is systemd's to hold, and there is none here; let cron write a file for "
            "node_exporter: balloon-agent metrics --output FILE.",
            exit_codes.USAGE,
        )
    for directory in files.PACKAGED_UNITS:
        packaged = os.path.join(into, directory, AGENT_UNITS[0])
        if os.path.exists(packaged):
            raise CommandError(
                f"A package brought {packaged}; systemctl enable --now balloon-agent is enough.",
                exit_codes.CANNOT_CREATE,
            )
    if into == "/":
        _require_root()
        why = unfit(files.what_runs())
        if why:
            raise CommandError(why, exit_codes.CONFIGURATION)
    placed = Placed(into)
    to_write = files.written(init, completion_scripts(), metrics=metrics)
    for path in (RECORD, *(file.path for file in to_write)):
        if os.path.lexists(placed.whole(path)) and not placed.is_ours(path):
            raise CommandError(
                f"{placed.whole(path)} is not from this command; move it away first.",
                exit_codes.CANNOT_CREATE,
            )
    config = placed.whole(files.CONFIG_FILE)
    keeps = os.path.lexists(config) and not placed.config_is_as_written()
    for path in placed.put(to_write, None if keeps else files.config_file()):
        _say(f"wrote  {path}")
    if keeps:
        _say(f"kept   {config}")
    names = " balloon-agent" + (" balloon-agent-metrics.socket" if metrics else "")
    _say(f"Next: {_NEXT[init]}{names if init == 'systemd' else ''}")
    return exit_codes.OK


def _remove(into: str, which: WhichDomain) -> int:
    """Remove what carries the mark, and a configuration that nobody changed."""
    if into == "/":
        _require_root()
    placed = Placed(into)
    ours = placed.ours()
    if not ours:
        _say("Nothing here is from this command.")
        return exit_codes.OK
    _require_no_service(placed, into, ours)
    if into == "/":
        take_back(which)
    for path in placed.take_back():
        _say(f"removed {path}")
    config = placed.whole(files.CONFIG_FILE)
    if os.path.lexists(config):
        _say(f"kept    {config}, which is not as this command wrote it")
    if f"{files.UNIT_DIRECTORY}/{AGENT_UNITS[0]}" in ours and into == "/":
        _say("Next: systemctl daemon-reload")
    return exit_codes.OK


def take_back(which: WhichDomain) -> None:
    """What the daemon has left in xenstore; if that fails it is said, and keeps nothing here."""
    kind = SystemRoot(which.root or "/").read("sys/hypervisor/type").value or ""
    if kind.strip() == "xen":
        from agent.daemon.main import main  # noqa: PLC0415 - as `run` loads it

        main(("--forget",), which.root, which.xenstore)


def _say(text: str) -> None:
    """A line of output; that nobody reads it any more is no reason to leave the rest undone."""
    with contextlib.suppress(OSError):
        click.echo(text)


def _require_root() -> None:
    if os.geteuid() != 0:
        raise CommandError(
            "Only root may install a service on this machine; run this as root, or name the root "
            "of an image with --into.",
            exit_codes.NO_PERMISSION,
        )


def _require_no_service(placed: Placed, into: str, ours: list[str]) -> None:
    """What runs, or would at the next boot, is ended by whoever started it."""
    runs = into == "/" and any(map(os.path.lexists, _RUNNING))
    enabled = list(placed.enabled())
    if not runs and not enabled:
        return
    if INIT_SCRIPT in ours:
        levels = [link.split("/")[-2] for link in enabled]
        words = ["rc-service balloon-agent stop"] if runs else []
        words += [f"rc-update delete balloon-agent {' '.join(levels)}"] if levels else []
        where = "" if into == "/" else f"chroot {quote(into)} "
        first = where + "; ".join(words)
    else:
        sockets = [METRICS_UNITS[0]] if f"{files.UNIT_DIRECTORY}/{METRICS_UNITS[0]}" in ours else []
        units = [AGENT_UNITS[0], *sockets]
        how = "disable --now" if into == "/" else f"--root={quote(into)} disable"
        first = f"systemctl {how} {' '.join(units)}"
    state = "running" if runs else "enabled"
    raise CommandError(f"The service is {state}; first: {first}", exit_codes.CANNOT_CREATE)
