# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent config check` and `balloon-agent config show`."""

from __future__ import annotations

import sys

import click

from agent import exit_codes
from agent.cli.endings import CommandError, as_sentence
from agent.daemon.config.effective import Config, ConfigError
from agent.daemon.config.load import DIRECTORY, load_config

_FILE = click.option(
    "--config", "named", metavar="FILE", help=f"Read this file instead of {DIRECTORY}."
)


@click.group(
    invoke_without_command=True,  # to say which there are: click 8.1 and 8.2 do it differently
    subcommand_metavar="COMMAND [ARGS]...",
    epilog="""\b
Examples:
  balloon-agent config check
  balloon-agent config show --default
""",
)
@click.pass_context
def config(ctx: click.Context) -> None:
    """Look at the configuration of the daemon."""
    if ctx.invoked_subcommand is None:
        ctx.fail("Which of check, show?")


@config.command()
@_FILE
def check(named: str | None) -> int:
    """Say whether the configuration can be used; exit status 78 when not."""
    found = _loaded(named)
    files = ", ".join(found.files) or "no file, all defaults"
    sys.stdout.write(f"The configuration is good ({files}).\n")
    return exit_codes.OK


@config.command()
@_FILE
@click.option("--default", is_flag=True, help="The shipped file, with every key.")
def show(named: str | None, *, default: bool) -> int:
    """Print the effective configuration, and where each value comes from."""
    from agent.daemon.config.text import default_text, effective_text  # noqa: PLC0415

    if default:
        sys.stdout.write(default_text())
    else:
        sys.stdout.write(effective_text(_loaded(named)))
    return exit_codes.OK


def _loaded(named: str | None) -> Config:
    try:
        return load_config(named)
    except ConfigError as error:
        raise CommandError(as_sentence(str(error)), exit_codes.CONFIGURATION) from error
