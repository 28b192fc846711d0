# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent run` as click sees it, for --help; the daemon itself is started without click."""

import click

from agent.cli.which_domain import WhichDomain


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def run(which: WhichDomain, words: tuple[str, ...]) -> int:
    """Run the daemon: follow the host's target and report."""
    from agent.daemon.main import main  # noqa: PLC0415

    return main(words, which.root, which.xenstore)
