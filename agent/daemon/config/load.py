# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration: TOML files, one after the other, each key checked against the table.

/etc/balloon-agent/config.toml, then config.d/*.toml beside it in the order of their names; a later
file wins key by key.  A file that was named on the command line stands alone, and must exist.
"""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from agent.core.policy.settings import PolicySettings
from agent.daemon.config.effective import Config, ConfigError, Value
from agent.daemon.config.keys import BY_NAME, KEYS
from agent.daemon.config.values import nearest, value_of

DIRECTORY: Final = "/etc/balloon-agent"
_MOST_BYTES: Final = 256 * 1024
_MOST_FILES: Final = 256
_MOST_DOTS: Final = 64
_PIPE_WAIT_MS: Final = 5000  # `--config <(command)`, which may think before it writes
_TABLES: Final = frozenset(name.partition(".")[0] for name in BY_NAME if "." in name)
_HEADS: Final = frozenset(f"[{name}]".encode() for name in _TABLES)


def load_config(named: str | None = None, directory: str = DIRECTORY) -> Config:
    """Read everything that applies.

    Args:
        named: a file given on the command line, instead of all others.
        directory: where config.toml and config.d/ are.

    Raises:
        ConfigError: a file cannot be read or has something in it that does not belong there.
    """
    values = {key.name: value_of(key, _default(key.default)) for key in KEYS}
    came_from: dict[str, str] = {}
    files = [named] if named is not None else _found(directory)
    for path in files:
        for name, given in _flat(_tables(path, named=named is not None), path):
            values[name] = _checked(name, given, path)
            came_from[name] = path
    return Config(_policy(values), str(values["publish.profile"]), values, came_from, tuple(files))


def _default(text: str) -> object:
    """A default as TOML would give it: a string, a truth value or a whole number."""
    if text.startswith('"'):
        return text.strip('"')
    return text == "true" if text in ("true", "false") else int(text)


def _found(directory: str) -> list[str]:
    """The files that exist."""
    main = os.path.join(directory, "config.toml")
    found = [main] if os.path.lexists(main) else []
    drop_ins = os.path.join(directory, "config.d")
    try:
        names = sorted(name for name in os.listdir(drop_ins) if name.endswith(".toml"))
    except (FileNotFoundError, NotADirectoryError):
        return found
    except OSError as error:
        raise ConfigError(f"{drop_ins}: {error.strerror}") from None
    if len(names) > _MOST_FILES:
        raise ConfigError(f"{drop_ins}: more than {_MOST_FILES} files")
    return found + [os.path.join(drop_ins, name) for name in names]


def _tables(path: str, *, named: bool) -> dict[str, Any]:
    """The content of one file; the parser is loaded only for a file that sets something."""
    try:
        content = _content(path, named=named)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise ConfigError(f"{path}: longer than {_MOST_BYTES // 1024} KiB")
    if _sets_nothing(content):
        return {}
    lines = content.splitlines()
    # The parser's time grows with the square of a key's parts; no key here has more than two.
    if any(line.count(b".") > _MOST_DOTS for line in lines if not line.lstrip().startswith(b"#")):
        raise ConfigError(f"{path}: not one of our keys: a line with over {_MOST_DOTS} dots")
    if sys.version_info >= (3, 11):  # 0.7 MiB
        import tomllib  # noqa: PLC0415
    else:
        import tomli as tomllib  # noqa: PLC0415 - what tomllib was before it was Python's own

    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not TOML: no UTF-8 text, see byte {error.start}") from None
    except (ValueError, RecursionError) as error:  # also an integer of too many digits
        raise ConfigError(f"{path}: not TOML: {error}") from None


def _content(path: str, *, named: bool) -> bytes:
    """What a file holds, or, if it was named on the command line, what comes through a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return stream.read(_MOST_BYTES + 1) or b""
        content, whole = b"", False
        ready = select.poll()
        ready.register(descriptor, select.POLLIN)
        while named and not whole and ready.poll(_PIPE_WAIT_MS):
            piece = stream.read(_MOST_BYTES) or b""
            content += piece
            whole = not piece or len(content) > _MOST_BYTES
        if not content or not whole:
            raise ConfigError(
                f"{path}: a pipe that does not give a whole file; name a file instead"
            )
        return content


def _sets_nothing(content: bytes) -> bool:
    """Whether there are only comments and the heads of tables, as in the file that is shipped."""
    lines = [line.strip() for line in content.splitlines()]
    heads = [line for line in lines if line and not line.startswith(b"#")]
    return len(set(heads)) == len(heads) and _HEADS.issuperset(heads)


def _flat(tables: Mapping[str, Any], path: str) -> Iterator[tuple[str, object]]:
    """`guard.step` for what stands as `step` in `[guard]`."""
    for name, given in tables.items():
        if name not in _TABLES:
            yield name, given
        elif not isinstance(given, dict):
            raise ConfigError(f"{path}: {name}: a table, written as [{name}]")
        else:
            for inner, value in given.items():
                yield f"{name}.{inner}", value


def _checked(name: str, given: object, path: str) -> Value:
    key = BY_NAME.get(name)
    if key is None:
        meant = nearest(name, tuple(BY_NAME))
        hint = f"; did you mean {meant}?" if meant else "; see `balloon-agent config show`"
        raise ConfigError(f"{path}: {name[:64]!a}: no such key{hint}")
    try:
        return value_of(key, given)
    except ValueError as error:
        raise ConfigError(f"{path}: {name}: {error}") from None


def _policy(values: Mapping[str, Any]) -> PolicySettings:
    return PolicySettings(
        mode=values["mode"],
        floor_kib=values["floor"],
        online_blocks=values["online_blocks"],
        reclaim_released=values["reclaim_released"],
        act_in_dom0=values["act_in_dom0"],
        driver_domain=values["driver_domain"],
        grace_s=values["timing.grace"],
        cooldown_s=values["timing.cooldown"],
        guard_step_kib=values["guard.step"],
        guard_stall_percent=values["guard.stall"],
        self_reserve_percent=values["self.reserve_percent"],
        self_reserve_kib=values["self.reserve"],
        self_dead_band_kib=values["self.dead_band"],
        self_interval_s=values["self.interval"],
        self_calm_s=values["self.calm"],
        self_remember_s=values["self.remember"],
    )
