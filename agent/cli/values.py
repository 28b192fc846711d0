# SPDX-License-Identifier: GPL-2.0-or-later
"""What the values on the command line are: seconds, sizes, and what else a command can parse."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Final

import click

from agent.core.facts.units import parse_size_kib


class Seconds(click.FloatRange):
    """A range that has no place for "nan", which is neither too small nor too large."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number.

        Raises:
            click.BadParameter: not a number, or out of range.
        """
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return number


class Parsed(click.ParamType):
    """What `parse` makes of a word; the help shows `name` for it."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """The value, or click.BadParameter with the text of `parse`'s ValueError."""
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


# In KiB; a bare number is MiB, as in xl.cfg and for `xl mem-set`.
SIZE: Final = Parsed("size", functools.partial(parse_size_kib, bare_unit="M"))
