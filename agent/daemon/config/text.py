# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration as text: the effective one, and the default file with every key commented."""

from __future__ import annotations

from collections.abc import Iterator

from agent.core.facts.units import MIB_KIB
from agent.daemon.config.effective import Config, Value
from agent.daemon.config.keys import KEYS, Key

_WIDTH = 96


def effective_text(config: Config) -> str:
    """Every key with its value and where that comes from; itself a valid configuration."""
    lines = [f"# read: {', '.join(config.files) or 'no file, all defaults'}"]
    for key in KEYS:
        origin = config.came_from.get(key.name, "default")
        lines.append(f"{_line(key, config.values[key.name])}  # {origin}")
    return "\n".join(_with_tables(lines)) + "\n"


def default_text() -> str:
    """The file as shipped: every key, commented out, under its meaning."""
    lines = [
        "# Configuration of balloon-agent. Every key is shown with its default.",
        "# Files config.d/*.toml beside this one are read after it.",
        "# Check it with `balloon-agent config check`; have it read again with `systemctl reload`.",
    ]
    table = ""
    for key in KEYS:
        owner = key.name.rpartition(".")[0]
        lines.append("")
        if owner != table:
            table = owner
            lines += [f"[{table}]", ""]
        lines += _wrapped(key.meaning)
        lines.append(f"#{key.name.rpartition('.')[2]} = {key.default}")
    return "\n".join(lines) + "\n"


def _with_tables(lines: list[str]) -> Iterator[str]:
    """Put `[table]` in front of its first key."""
    table = ""
    yield lines[0]
    for key, line in zip(KEYS, lines[1:]):
        owner = key.name.rpartition(".")[0]
        if owner != table:
            table = owner
            yield ""
            yield f"[{table}]"
        yield line


def _line(key: Key, value: Value) -> str:
    return f"{key.name.rpartition('.')[2]} = {_as_toml(key, value)}"


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


def _wrapped(text: str) -> Iterator[str]:
    line = "#"
    for word in text.split():
        if len(line) + 1 + len(word) > _WIDTH:
            yield line
            line = "#"
        line += f" {word}"
    yield line
