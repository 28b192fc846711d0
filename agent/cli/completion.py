# SPDX-License-Identifier: GPL-2.0-or-later
"""What a shell may offer for an option's value; asked for only when somebody presses Tab."""

import click


def scenarios_beginning_with(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[str]:
    """The names of the scenarios."""
    from sim_backend.scenarios import scenario_names  # noqa: PLC0415 - not on a real guest

    return [name for name in scenario_names() if name.startswith(incomplete)]
