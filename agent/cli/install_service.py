# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent install-service`: program, service and manual where no package brought them."""

from __future__ import annotations

import os

import click

from agent import exit_codes
from agent.cli.command_error import CommandError
from agent.cli.completion import completion_scripts
from agent.cli.which_domain import WhichDomain
from agent.service import files
from agent.service.files import AGENT_UNITS, INIT_SCRIPT, ServiceFile
from agent.service.fitness import unfit
from agent.sources.system_root import SystemRoot

_NEXT = {
    "systemd": "systemctl daemon-reload && systemctl enable --now",
    "openrc": "rc-update add balloon-agent && rc-service balloon-agent start",
}
# What each leaves while the service runs, and what ends it.
_RUNNING = {
    "/sys/fs/cgroup/system.slice/balloon-agent.service": "systemctl disable --now balloon-agent",
    "/run/openrc/started/balloon-agent": "rc-service balloon-agent stop; "
    "rc-update delete balloon-agent",
}


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
    is there stays. Needs root. A distribution's package needs none of this.

    With --remove all of it goes, once the service has been stopped, and so do the keys that the
    daemon left in xenstore, as with run --forget.
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
    """Check everything, then write."""
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
    to_write = files.written(init, completion_scripts(), metrics=metrics)
    for file in to_write:
        if os.path.lexists(os.path.join(into, file.path)) and not _is_ours(into, file.path):
            raise CommandError(
                f"{os.path.join(into, file.path)} is not from this command; move it away first.",
                exit_codes.CANNOT_CREATE,
            )
    for file in to_write:
        _write(into, file)
    config = files.config_file()
    if os.path.exists(os.path.join(into, config.path)):
        click.echo(f"kept   {os.path.join(into, config.path)}")
    else:
        _write(into, config)
    names = " balloon-agent" + (" balloon-agent-metrics.socket" if metrics else "")
    click.echo(f"Next: {_NEXT[init]}{names if init == 'systemd' else ''}")
    return exit_codes.OK


def _remove(into: str, which: WhichDomain) -> int:
    """Remove what carries the mark, and a configuration that nobody changed."""
    if into == "/":
        _require_root()
        _require_no_service()
    ours = [path for path in files.all_paths() if _is_ours(into, path)]
    if ours and into == "/":
        take_back(which)
    for path in ours:
        os.unlink(os.path.join(into, path))
        click.echo(f"removed {os.path.join(into, path)}")
    config = files.config_file()
    path = os.path.join(into, config.path)
    if ours and _content(path) == config.content:
        os.unlink(path)
        click.echo(f"removed {path}")
        _remove_if_empty(os.path.dirname(path))
    elif ours and os.path.exists(path):
        click.echo(f"kept    {path}, which was changed")
    if not ours:
        click.echo("Nothing here is from this command.")
    elif f"{files.UNIT_DIRECTORY}/{AGENT_UNITS[0]}" in ours:
        click.echo("Next: systemctl daemon-reload")
    elif INIT_SCRIPT in ours:
        click.echo("Next: rc-update delete balloon-agent")
    return exit_codes.OK


def take_back(which: WhichDomain) -> None:
    """What the daemon has left in xenstore; if that fails it is said, and keeps nothing here."""
    kind = SystemRoot(which.root or "/").read("sys/hypervisor/type").value or ""
    if kind.strip() == "xen":
        from agent.daemon.main import main  # noqa: PLC0415 - as `run` loads it

        main(("--forget",), which.root, which.xenstore)


def _require_root() -> None:
    if os.geteuid() != 0:
        raise CommandError(
            "Only root may install a service on this machine; run this as root, or name the root "
            "of an image with --into.",
            exit_codes.NO_PERMISSION,
        )


def _require_no_service() -> None:
    for sign, end in _RUNNING.items():
        if os.path.lexists(sign):
            raise CommandError(f"The service is running; first: {end}", exit_codes.CANNOT_CREATE)


def _write(into: str, file: ServiceFile) -> None:
    """Write one file, whole or not at all."""
    path = os.path.join(into, file.path)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    half = f"{path}.new"
    if os.path.lexists(half):
        os.unlink(half)
    if file.link:
        os.symlink(file.link, half)
    else:
        with open(half, "xb") as written:
            written.write(file.content)
        os.chmod(half, file.mode)
    os.replace(half, path)
    click.echo(f"wrote  {path}")


def _is_ours(into: str, path: str) -> bool:
    whole = os.path.join(into, path)
    if os.path.islink(whole):
        return path == files.COMMAND_FILE and os.readlink(whole) == files.command_file().link
    content = _content(whole)
    return content is not None and files.is_marked(content)


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _remove_if_empty(directory: str) -> None:
    try:
        os.rmdir(directory)
    except OSError:
        return
    click.echo(f"removed {directory}")
