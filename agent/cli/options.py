# SPDX-License-Identifier: GPL-2.0-or-later
"""The options that several commands share, with one wording."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def json_option(help_text: str = "One JSON object, sizes in KiB.") -> Callable[[F], F]:
    """--json: for programs."""
    return click.option("--json", "as_json", is_flag=True, help=help_text)


def ascii_option(verb: str = "Write") -> Callable[[F], F]:
    """--ascii: for terminals and files that know no other characters."""
    return click.option(
        "--ascii", "ascii_only", is_flag=True, help=f"{verb} with ASCII characters only."
    )
