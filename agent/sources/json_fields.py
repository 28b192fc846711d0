# SPDX-License-Identifier: GPL-2.0-or-later
"""The fields of a JSON object from outside, each checked; what is wrong is said by its name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from agent.core.facts.bounds import LARGEST_KIB
from agent.core.facts.numbers import MalformedError

Fields = Mapping[str, Any]


def object_in(text: str) -> Fields:
    """A JSON object.

    Raises:
        MalformedError: no JSON, or something else than an object.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise MalformedError("not a JSON object")
    return found


def member(fields: Fields, name: str) -> Fields:
    """An object within an object."""
    value = fields.get(name)
    return value if isinstance(value, dict) else _refuse(fields, name, "an object")


def members(fields: Fields, name: str) -> tuple[Fields, ...]:
    """A list of objects."""
    value = fields.get(name)
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        _refuse(fields, name, "a list of objects")
    return tuple(value)


def number(fields: Fields, name: str, most: int = LARGEST_KIB) -> int:
    """A whole number from 0 to `most`, that of a size in KiB unless something else is meant."""
    value = fields.get(name)
    if type(value) is not int or not 0 <= value <= most:
        _refuse(fields, name, f"a number from 0 to {most}")
    return value


def optional_number(fields: Fields, name: str) -> int | None:
    """As `number`; None where it is null or left out."""
    return None if fields.get(name) is None else number(fields, name)


def word(fields: Fields, name: str) -> str:
    """A text, made printable."""
    value = fields.get(name)
    if not isinstance(value, str):
        _refuse(fields, name, "a text")
    return value if value.isprintable() else ascii(value)


def optional_word(fields: Fields, name: str) -> str | None:
    """As `word`; None where it is null or left out."""
    return None if fields.get(name) is None else word(fields, name)


def _refuse(fields: Fields, name: str, wanted: str) -> NoReturn:
    raise MalformedError(f"{name} is {f'not {wanted}' if name in fields else 'absent'}")
