# SPDX-License-Identifier: GPL-2.0-or-later
"""Options that several commands have, and what they do."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from agent.cli.values import Seconds

if TYPE_CHECKING:
    from agent.report.styled import Line
    from agent.report.terminal import Terminal

F = TypeVar("F", bound=Callable[..., Any])


class Output(NamedTuple):
    """How the user wants to see it."""

    as_json: bool
    ascii_only: bool

    def show(self, document: Callable[[], object], lines: Callable[[int], Sequence[Line]]) -> None:
        """Print the document for programs, or draw the lines for people at the screen's width.

        Either is made only when it is wanted, and so are the modules that make it loaded.
        """
        if self.as_json:
            sys.stdout.write(json.dumps(document(), indent=2) + "\n")
        else:
            terminal = self.terminal()
            terminal.show(lines(terminal.width))

    def terminal(self) -> Terminal:
        from agent.report.terminal import Terminal  # noqa: PLC0415 - not for programs

        return Terminal(ascii_only=self.ascii_only)


def with_output(
    verb: str = "Write", json_help: str = "One JSON object, sizes in KiB."
) -> Callable[[F], F]:
    """Give a command --json and --ascii; it gets them as `output`."""

    def decorate(command: F) -> F:
        @click.option("--json", "as_json", is_flag=True, help=json_help)
        @click.option("--ascii", "ascii_only", is_flag=True, help=f"{verb} with ASCII only.")
        @functools.wraps(command)
        def with_options(*args: Any, as_json: bool, ascii_only: bool, **others: Any) -> Any:
            return command(*args, output=Output(as_json, ascii_only), **others)

        return with_options  # type: ignore[return-value]

    return decorate


def with_watch(interval_s: float, interval_help: str) -> Callable[[F], F]:
    """Give a command --watch and --interval; it gets them as `watch` and `interval`, in seconds."""
    watch = click.option(
        "--watch", is_flag=True, help="Refresh in place until q or Control-C is pressed."
    )
    interval = click.option(
        "--interval",
        metavar="SECONDS",
        type=Seconds(0.1, 3600),
        default=interval_s,
        show_default=True,
        help=f"With --watch: {interval_help}",
    )
    return lambda command: watch(interval(command))
