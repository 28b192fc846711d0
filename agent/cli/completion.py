# SPDX-License-Identifier: GPL-2.0-or-later
"""What a shell may offer for a word of a value; asked for only when somebody presses Tab."""

from __future__ import annotations

import shlex
from typing import Final

import click

_PATIENCE_S: Final = 1.0  # with xenstored, of whoever has pressed Tab
VARIABLE: Final = "_BALLOON_AGENT_COMPLETE"
# As the end of click's script, but for the condition.
_NO_COMMAND: Final = click.Command("balloon-agent")  # the scripts name none
_END_FOR_ZSH: Final = """
if [[ $funcstack[1] == _%(prog_name)s ]]; then
    # a file among zsh's functions, called for each Tab
    %(complete_func)s "$@"
else
    # sourced once
    compdef %(complete_func)s %(prog_name)s
fi
"""


def scenarios_beginning_with(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[str]:
    """For whoever presses Tab where a scenario is to be named."""
    from sim_backend.stories.catalogue import scenario_names  # noqa: PLC0415 - not on a real guest

    return [name for name in scenario_names() if name.startswith(incomplete)]


def guests_beginning_with(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[str]:
    """The names of this host's guests, as far as a shell takes them unquoted; none elsewhere."""
    from agent.cli.endings import CommandError  # noqa: PLC0415 - as below
    from agent.cli.host import ThisHost  # noqa: PLC0415 - only when somebody presses Tab
    from agent.cli.which_domain import WhichDomain  # noqa: PLC0415

    try:
        with ThisHost(WhichDomain(**ctx.find_root().params), timeout_s=_PATIENCE_S) as host:
            names = host.names()
    except CommandError:
        return []
    return [name for name in names if name.startswith(incomplete) and shlex.quote(name) == name]


def completion_scripts() -> dict[str, str]:
    """The script of each shell that click knows, without asking whether the shell is there."""
    from click.shell_completion import ShellComplete, get_completion_class  # noqa: PLC0415

    answer_every_tab_in_zsh()
    scripts = {}
    for shell in ("bash", "zsh", "fish"):
        kind = get_completion_class(shell)
        assert kind is not None
        # click's own for bash runs bash, to see its version.
        scripts[shell] = ShellComplete.source(kind(_NO_COMMAND, {}, "balloon-agent", VARIABLE))
    return scripts


def answer_every_tab_in_zsh() -> None:
    """Have click write zsh a script that works as a file among its functions.

    click's own (8.1 to 8.4) answers one Tab and leaves out the next: it asks whether zsh is loading
    it, which is so the first time alone (8.1.3 does not ask, and leaves out the first).
    """
    from click.shell_completion import ZshComplete, add_completion_class  # noqa: PLC0415 - as above

    function, brace, _ = ZshComplete.source_template.rpartition("\n}\n")

    class Zsh(ZshComplete):
        source_template = function + brace + _END_FOR_ZSH

    add_completion_class(Zsh)
