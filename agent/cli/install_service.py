# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent install-service`: unit and configuration where no package brought them."""

from __future__ import annotations

import os
import sys

import click

from agent import exit_codes, service_files
from agent.cli.command_error import CommandError
from agent.service_files import AGENT_UNITS, MARK, METRICS_UNITS, ServiceFile


@click.command(
    "install-service",
    epilog="""\b
Examples:
  balloon-agent install-service
  balloon-agent install-service --metrics
  balloon-agent install-service --remove
""",
)
@click.option("--metrics", is_flag=True, help="Also the port for Prometheus, on 127.0.0.1:9786.")
@click.option("--remove", is_flag=True, help="Remove what this command wrote.")
@click.option(
    "--into",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    default="/",
    help="Write below DIR, the root of an image, instead of this machine's.",
)
def install_service(*, metrics: bool, remove: bool, into: str) -> int:
    """Make a service of a balloon-agent that was installed with pip.

    Writes the systemd unit and the default configuration, and says which files and what to do
    next; it starts nothing. A configuration that is there stays. Needs root. Debian's package
    brings its own unit and needs none of this.
    """
    try:
        return _remove(into) if remove else _install(into, metrics=metrics)
    except PermissionError as error:
        raise CommandError(
            f"{error.filename} may not be written by this user; run this as root.",
            exit_codes.NO_PERMISSION,
        ) from error
    except OSError as error:
        raise CommandError(
            f"{error.filename}: {error.strerror}.", exit_codes.CANNOT_CREATE
        ) from error


def _install(into: str, *, metrics: bool) -> int:
    """Check everything, then write."""
    for directory in service_files.PACKAGED_UNITS:
        packaged = os.path.join(into, directory, AGENT_UNITS[0])
        if os.path.exists(packaged):
            raise CommandError(
                f"A package brought {packaged}; systemctl enable --now balloon-agent is enough.",
                exit_codes.CANNOT_CREATE,
            )
    if into == "/":
        _require_root()
        why = service_files.unfit(sys.executable, os.stat(sys.prefix).st_uid)
        if why:
            raise CommandError(why, exit_codes.CONFIGURATION)
    units = service_files.unit_files(AGENT_UNITS + (METRICS_UNITS if metrics else ()))
    for unit in units:
        if os.path.exists(os.path.join(into, unit.path)) and not _is_ours(into, unit.path):
            raise CommandError(
                f"{os.path.join(into, unit.path)} is not from this command; move it away first.",
                exit_codes.CANNOT_CREATE,
            )
    for unit in units:
        _write(into, unit)
    config = service_files.config_file()
    if os.path.exists(os.path.join(into, config.path)):
        click.echo(f"kept   {os.path.join(into, config.path)}")
    else:
        _write(into, config)
    services = "balloon-agent" + (" balloon-agent-metrics.socket" if metrics else "")
    click.echo(f"Next: systemctl daemon-reload && systemctl enable --now {services}")
    return exit_codes.OK


def _remove(into: str) -> int:
    """Remove the units that carry the mark, and a configuration that nobody changed."""
    if into == "/":
        _require_root()
        if os.path.isdir("/sys/fs/cgroup/system.slice/balloon-agent.service"):
            raise CommandError(
                "The service is running; first: systemctl disable --now balloon-agent",
                exit_codes.CANNOT_CREATE,
            )
    found = False
    for name in AGENT_UNITS + METRICS_UNITS:
        path = f"{service_files.UNIT_DIRECTORY}/{name}"
        if _is_ours(into, path):
            found = True
            os.unlink(os.path.join(into, path))
            click.echo(f"removed {os.path.join(into, path)}")
    config = service_files.config_file()
    path = os.path.join(into, config.path)
    if found and _text(path) == config.text:
        os.unlink(path)
        click.echo(f"removed {path}")
        _remove_if_empty(os.path.dirname(path))
    elif found and os.path.exists(path):
        click.echo(f"kept    {path}, which was changed")
    click.echo("Next: systemctl daemon-reload" if found else "Nothing here is from this command.")
    return exit_codes.OK


def _require_root() -> None:
    if os.geteuid() != 0:
        raise CommandError(
            "Only root may install a service on this machine; run this as root, or name the root "
            "of an image with --into.",
            exit_codes.NO_PERMISSION,
        )


def _write(into: str, file: ServiceFile) -> None:
    """Write one file, whole or not at all."""
    path = os.path.join(into, file.path)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    half = f"{path}.new"
    with open(half, "w", encoding="utf-8") as written:
        written.write(file.text)
    os.chmod(half, 0o644)
    os.replace(half, path)
    click.echo(f"wrote  {path}")


def _is_ours(into: str, path: str) -> bool:
    return (_text(os.path.join(into, path)) or "").startswith(MARK)


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _remove_if_empty(directory: str) -> None:
    try:
        os.rmdir(directory)
    except OSError:
        return
    click.echo(f"removed {directory}")
