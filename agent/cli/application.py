# SPDX-License-Identifier: GPL-2.0-or-later
"""The click application: the table of commands, loaded one at a time, and how errors end."""

from __future__ import annotations

import importlib
import os
from typing import Final

import click

from agent import __version__, exit_codes
from agent.cli.completion import VARIABLE, answer_every_tab_in_zsh, scenarios_beginning_with
from agent.cli.endings import (
    CommandError,
    as_sentence,
    complain,
    did_you_mean,
    ended,
    explained,
    is_of_the_output,
)
from agent.cli.which_domain import WhichDomain
from agent.words import Words

# Command -> where it is, and its line in --help.  A module is imported when its command runs.
COMMANDS: Final = {
    "status": ("agent.cli.status:status", "The memory of this guest: picture, sum, findings."),
    "doctor": ("agent.cli.doctor:doctor", "Everything that is known to go wrong, and what to do."),
    "explain": ("agent.cli.explain:explain", "The daemon's last decisions, cause to outcome."),
    "memmap": ("agent.cli.memmap:memmap", "Firmware map and iomem side by side, with the holes."),
    "plan": ("agent.cli.plan:plan", "What a guest will have before it boots; would SIZE hurt?"),
    "capture": ("agent.cli.capture:capture", "Write a capture of this guest for a bug report."),
    "check": ("agent.cli.check:check_command", "One line for Nagios or Icinga."),
    "metrics": ("agent.cli.metrics:metrics", "Prometheus metrics, as text, a file or an answer."),
    "guests": ("agent.cli.guests:guests", "In dom0: every guest, and what it could give."),
    "mem-set": ("agent.cli.mem_set:mem_set", "In dom0: bring a guest to a size, unhurt."),
    "simulate": ("agent.cli.simulate:simulate", "Run a scenario in virtual time."),
    "run": ("agent.cli.run:run", "The daemon: listen to memory/target, adjust, report."),
    "config": ("agent.cli.config:config", "Check or show the daemon's configuration."),
    "install-service": (
        "agent.cli.install_service:install_service",
        "Make a service of an agent that no package brought.",
    ),
}

EPILOG: Final = """\b
Examples:
  balloon-agent status                    this guest
  balloon-agent --sim balloon-up status   a simulated guest, on any machine
  balloon-agent --root CAPTURE status     somebody else's guest

\b
Exit status:
  0 ok   1 warning   2 critical   4 unknown
  64 wrong usage     69 not a Xen domain         73 output not written
  77 no permission   78 wrong configuration
  check ends as Nagios wants it: 0, 1, 2, 3
"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's interface
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a hint when a word is close to a command."""
        if args and args[0] not in COMMANDS and not ctx.resilient_parsing:
            hint = did_you_mean(args[0], COMMANDS)
            ctx.fail(f"There is no command '{args[0]}'.{hint} See balloon-agent --help.")
        return super().resolve_command(ctx, args)


@click.command(
    cls=LazyGroup,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
)
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="Read the files below DIR (a capture) instead of this machine's.",
)
@click.option(
    "--xenstore",
    metavar="PATH",
    type=click.Path(),
    help="With --root: speak xenstore over PATH, a unix socket or a xenbus device.",
)
@click.option(
    "--sim",
    metavar="SCENARIO",
    shell_complete=scenarios_beginning_with,
    help="A simulated domain instead of this machine.",
)
@click.version_option(__version__, prog_name="balloon-agent")
@click.pass_context
def application(
    ctx: click.Context, root: str | None, xenstore: str | None, sim: str | None
) -> None:
    """Show, explain and follow the memory balloon of a Linux guest on Xen."""
    if root and sim:
        ctx.fail("--root and --sim exclude each other: a capture or a simulation.")
    if xenstore and not root:
        ctx.fail("--xenstore goes with --root: it says how to speak to that domain's xenstore.")
    if xenstore and not os.path.exists(xenstore):
        ctx.fail(f"--xenstore: there is no {xenstore!r}, neither a socket nor a device.")
    ctx.obj = WhichDomain(root, xenstore, sim)
    if ctx.invoked_subcommand is None:
        if sim in COMMANDS:
            ctx.fail(
                f"--sim wants a scenario before the command: balloon-agent --sim balloon-up {sim}"
            )
        if root or sim or xenstore:
            ctx.fail("Which command? status, for example.")
        click.echo(ctx.get_help())


def run_command(words: Words) -> int:
    """Run the application on `words`; every way to end is an exit status and one sentence."""
    if VARIABLE in os.environ:
        answer_every_tab_in_zsh()
    return ended(
        lambda: application.main(
            args=words.for_click(), prog_name="balloon-agent", standalone_mode=False
        ),
        _explain_as_check if words.command == "check" else _explain,
    )


def _explain_as_check(error: BaseException) -> int:
    """UNKNOWN, on standard output where the plugin's reader looks."""
    from agent.report.check_line import unknown_line  # noqa: PLC0415 - after an error

    if isinstance(error, click.ClickException):
        sentence = _told(error)
    elif isinstance(error, OSError) and is_of_the_output(error):
        explained(error)
        return exit_codes.OF_LEVEL["UNKNOWN"]
    elif isinstance(error, CommandError):
        sentence = error.sentence
    else:
        sentence = f"{type(error).__name__}: {error}"
    ended(lambda: click.echo(unknown_line(sentence)))  # whether or not somebody reads it
    return exit_codes.OF_LEVEL["UNKNOWN"]


def _explain(error: BaseException) -> int:
    """As any command explains itself, with click's own errors."""
    if isinstance(error, click.Abort):
        return exit_codes.INTERRUPTED
    if isinstance(error, click.ClickException):
        complain(_told(error))
        return exit_codes.USAGE
    return explained(error)


def _told(error: click.ClickException) -> str:
    """What click says, as a sentence that ends in what to do."""
    sentence = as_sentence(error.format_message())
    if not isinstance(error, click.UsageError) or "balloon-agent" in sentence:
        return sentence
    return f"{sentence} See {error.ctx.command_path if error.ctx else 'balloon-agent'} --help."
