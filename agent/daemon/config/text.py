# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration as text: the effective one, and the default file with every key commented."""

from __future__ import annotations

from itertools import groupby
from textwrap import wrap

from agent.core.facts.units import MIB_KIB
from agent.daemon.config.effective import Config, Value
from agent.daemon.config.keys import KEYS, Key

_WIDTH = 96


def effective_text(config: Config) -> str:
    """Every key with its value and where that comes from; itself a valid configuration."""
    lines = [f"# read: {', '.join(config.files) or 'no file, all defaults'}"]
    for table, keys in groupby(KEYS, _table_of):
        lines += ["", f"[{table}]"] if table else []
        for key in keys:
            origin = config.came_from.get(key.name, "default")
            lines.append(f"{_word_of(key)} = {_as_toml(key, config.values[key.name])}  # {origin}")
    return "\n".join(lines) + "\n"


def default_text() -> str:
    """The file as shipped: every key, commented out, under its meaning."""
    lines = [
        "# Configuration of balloon-agent. Every key is shown with its default.",
        "# Files config.d/*.toml beside this one are read after it.",
        "# Check it with `balloon-agent config check`; have it read again with `systemctl reload`.",
    ]
    for table, keys in groupby(KEYS, _table_of):
        lines += ["", f"[{table}]"] if table else []
        for key in keys:
            lines += ["", *_comment(key.meaning), f"#{_word_of(key)} = {key.default}"]
    return "\n".join(lines) + "\n"


def _table_of(key: Key) -> str:
    return key.name.rpartition(".")[0]


def _word_of(key: Key) -> str:
    return key.name.rpartition(".")[2]


def _as_toml(key: Key, value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return '"auto"'
    if key.kind in ("size", "size-or-auto"):
        mib, rest = divmod(int(value), MIB_KIB)
        return f'"{value:.0f}K"' if rest else f'"{mib}M"'
    if key.kind == "seconds":
        return f'"{value:g}s"'
    return f'"{value}"' if key.kind == "choice" else f"{value:g}"


def _comment(text: str) -> list[str]:
    return wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
