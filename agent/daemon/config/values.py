# SPDX-License-Identifier: GPL-2.0-or-later
"""One value of the configuration, from what TOML gives to what the program uses."""

from __future__ import annotations

import re
from typing import Final

from agent.core.facts.units import format_kib, parse_size_kib
from agent.daemon.config.effective import Value
from agent.daemon.config.keys import Key

_SECONDS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?(ms|s|min|h)", re.ASCII)
_MOST_SHOWN: Final = 64
_UNIT_S: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


def value_of(key: Key, given: object) -> Value:
    """The value: KiB for a size (None for auto), seconds, percent, a word or a truth value.

    Raises:
        ValueError: it is not one; the message says what would be.
    """
    if key.kind == "switch":
        if not isinstance(given, bool):
            raise ValueError(f"write true or false, not {_shown(given)}")
        return given
    if key.kind == "choice":
        if given not in key.choices:
            raise ValueError(f"{_shown(given)} is none of {', '.join(key.choices)}")
        return str(given)
    if key.kind == "size-or-auto" and given == "auto":
        return None
    number = _number(key, given)
    if not key.least <= number <= key.most:
        raise ValueError(f"{_shown(given)} is not within {_range(key)}")
    return number


def _number(key: Key, given: object) -> float:
    if key.kind in ("size", "size-or-auto"):
        if not isinstance(given, str):
            raise ValueError(f'{_shown(given)} is not a size; write for example "512M" or "1.5G"')
        return parse_size_kib(given)
    if key.kind == "seconds":
        return _seconds(given)
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise ValueError(f"{_shown(given)} is not a number of percent; write for example 25")
    return given


def _seconds(given: object) -> float:
    match = _SECONDS.fullmatch(given) if isinstance(given, str) else None
    if match is None:
        raise ValueError(
            f'{_shown(given)} is not a time; write for example "2s", "500ms" or "5min"'
        )
    return float(match[1]) * _UNIT_S[match[2]]


def _shown(given: object) -> str:
    """As it stands in the file, as far as it fits into a sentence."""
    try:
        text = ascii(given)
    except ValueError:  # an integer of more digits than Python writes
        return "this number"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _range(key: Key) -> str:
    """The bounds in the words of the key's kind."""
    endless = key.most == float("inf")
    if key.kind in ("size", "size-or-auto"):
        least = format_kib(int(key.least))
        return f"{least} and more" if endless else f"{least} to {format_kib(int(key.most))}"
    unit = " s" if key.kind == "seconds" else " %"
    return f"{key.least:g}{unit} and more" if endless else f"{key.least:g} to {key.most:g}{unit}"


def distance(one: str, other: str) -> int:
    """How many letters must be changed, added or dropped to make one word the other."""
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, wanted in enumerate(other, 1):
            change = before + (letter != wanted)
            before = row[j]
            row[j] = min(change, row[j] + 1, row[j - 1] + 1)
    return row[-1]


def nearest(word: str, words: tuple[str, ...]) -> str | None:
    """The known word that was probably meant."""
    if len(word) > 64:
        return None
    near = min(words, key=lambda known: distance(word, known))
    return near if distance(word, near) <= max(2, len(near) // 3) else None
