# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent config check` and `balloon-agent config show`."""

from __future__ import annotations

import sys

import click

from agent import exit_codes
from agent.cli.endings import as_sentence, complain
from agent.daemon.config.effective import ConfigError
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
    try:
        found = load_config(named)
    except ConfigError as error:
        complain(as_sentence(str(error)))
        return exit_codes.CONFIGURATION
    files = ", ".join(found.files) or "no file, all defaults"
    sys.stdout.write(f"The configuration is good ({files}).\n")
    return exit_codes.OK


@config.command()
@_FILE
@click.option("--default", "default", is_flag=True, help="The shipped file, with every key.")
def show(named: str | None, *, default: bool) -> int:
    """Print the effective configuration, and where each value comes from."""
    from agent.daemon.config.text import default_text, effective_text  # noqa: PLC0415

    if default:
        sys.stdout.write(default_text())
        return exit_codes.OK
    try:
        sys.stdout.write(effective_text(load_config(named)))
    except ConfigError as error:
        complain(as_sentence(str(error)))
        return exit_codes.CONFIGURATION
    return exit_codes.OK
