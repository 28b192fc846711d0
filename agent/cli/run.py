# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent run` as click sees it: for its help, the manual page and completion.

The command itself goes through the door, `agent.cli.main`, which does not load click.
"""

from __future__ import annotations

import click

from agent.cli.which_domain import WhichDomain
from agent.core.policy.settings import MODES


@click.command(
    epilog="""\b
Examples:
  balloon-agent run
  balloon-agent run --mode observe --config ./config.toml
"""
)
@click.option("--config", metavar="FILE", help="Read this file instead of /etc/balloon-agent.")
@click.option("--mode", type=click.Choice(MODES), help="Whatever the configuration says.")
@click.option("--forget", is_flag=True, help="Start nothing; undo what the last daemon left.")
@click.pass_obj
def run(which: WhichDomain, *, config: str | None, mode: str | None, forget: bool) -> int:
    """Run the daemon in the foreground: follow the host's target and report.

    SIGTERM ends it, SIGHUP has the configuration read again.  With --forget the keys that the last
    daemon left in xenstore are removed, but for those that a host counts on, and the balloon
    follows the host again.

    It ends with 0 after a signal, 64 wrong usage, 69 not a Xen domain, 71 too little memory,
    75 another one runs already, 77 no permission, 78 wrong configuration.
    """
    from agent.daemon.main import main  # noqa: PLC0415 - the door does not come this way

    words = [f"--{name}={value}" for name, value in (("config", config), ("mode", mode)) if value]
    words += ["--forget"] if forget else []
    return main(words, which.root, which.xenstore)
