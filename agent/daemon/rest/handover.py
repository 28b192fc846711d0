# SPDX-License-Identifier: GPL-2.0-or-later
"""Going to rest: the small `waiter` takes the daemon's place, in the same process.

The process id stays, and so do the descriptors that are handed on: xenstore's with its watch, the
pressure trigger, the lock; and what the daemon remembers, in a memory file. Everything else is
closed and given back. Nothing is on disk, and whoever kills the process loses what a restart loses.

Relies on docs/design.md A27, A28 and A29.
"""

from __future__ import annotations

import marshal
import os
import select
import sys
import time
from importlib import import_module
from importlib._bootstrap_external import MAGIC_NUMBER  # importlib.util would load typing
from typing import Any, Final, cast

from agent.daemon import journal as j
from agent.daemon.loop import Daemon
from agent.daemon.parts import Parts, Started
from agent.daemon.rest.state import Handed, StateError, kept, packed

_WAITER: Final = "agent.daemon.rest.waiter"
_NOEXEC_SEAL: Final = 8  # MFD_NOEXEC_SEAL of Linux 6.3, which logs of those who do not say it
_LONGEST_S: Final = 86400.0


def rest(daemon: Daemon, parts: Parts, started: Started) -> None:
    """Go to rest; it comes back only where that cannot be, and then the daemon stays awake."""
    if not parts.wakeups.hold_signals():
        return  # one has come
    opened: list[int] = []
    handed: dict[int, int] = {}
    try:
        started = started._replace(command=started.command or _command_line())
        leaves = Handed(
            started,
            daemon.config,
            parts.link.session.fileno(),
            parts.runtime.lock_descriptor,
            parts.wakeups.pressure_descriptor,
            kept(daemon),
        )
        handed = _descriptors(leaves)
        state = packed(leaves)
        for name, content in (("waiter", _compiled()), ("state", state)):
            opened.append(_memory_file(name))
            with open(opened[-1], "wb", closefd=False) as file:
                file.write(content)
            os.lseek(opened[-1], 0, os.SEEK_SET)
        os.stat(f"/proc/self/fd/{opened[0]}")
        for descriptor in handed:
            os.set_inheritable(descriptor, True)
        command = _command(opened[0], opened[1], _timeout_ms(daemon), handed, started)
        # Another locale than C would cost 0.2 MiB.
        os.execve(command[0], command, {**os.environ, "LC_ALL": "C"})  # noqa: S606
    except (AttributeError, MemoryError, OSError, StateError) as error:
        for descriptor in handed:
            os.set_inheritable(descriptor, False)
        for descriptor in opened:
            os.close(descriptor)
        daemon.stay_awake()
        parts.wakeups.let_signals_in()
        parts.say(j.NOTICE, "rest", f"the daemon cannot rest and stays loaded: {error}")


def _command_line() -> tuple[str, ...]:
    """What the process was started with, by a path that needs no $PATH."""
    with open("/proc/self/cmdline", "rb") as file:
        words = os.fsdecode(file.read()).split("\0")[:-1]
    return (sys.executable, *words[1:])


def _descriptors(leaves: Handed) -> dict[int, int]:
    """What is handed on, and which events of each wake the waiter."""
    events = {leaves.xenstore: select.POLLIN, leaves.pressure: select.POLLPRI, leaves.lock: 0}
    return {number: wake for number, wake in events.items() if number is not None}


def _compiled() -> bytes:
    """The waiter as a .pyc, which Python runs without compiling it, and without its importer."""
    loader = cast("Any", import_module(_WAITER).__spec__).loader
    return MAGIC_NUMBER + bytes(12) + marshal.dumps(loader.get_code(_WAITER))


def _memory_file(name: str) -> int:
    """A file that is nowhere but in memory, and goes with its last descriptor."""
    called = f"balloon-agent-{name}"
    try:
        return os.memfd_create(called, _NOEXEC_SEAL)
    except OSError:  # an older kernel knows no such flag
        return os.memfd_create(called, 0)


def _timeout_ms(daemon: Daemon) -> int:
    first_s = daemon.deadlines.first_s()
    if first_s is None:
        return -1
    return max(0, int(min(_LONGEST_S, first_s - time.monotonic()) * 1000))


def _command(
    code: int, state: int, timeout_ms: int, handed: dict[int, int], started: Started
) -> list[str]:
    """See `waiter`."""
    flags = ["-I", "-S"]
    flags += ["-B"] if sys.dont_write_bytecode else []
    flags += ["-X", f"pycache_prefix={sys.pycache_prefix}"] if sys.pycache_prefix else []
    archive = os.path.abspath(sys.path[0]) if os.path.isfile(sys.path[0]) else ""
    return [
        sys.executable,
        *flags,
        f"/proc/self/fd/{code}",
        str(state),
        str(timeout_ms),
        ":".join(sys.path),
        archive,
        ",".join(f"{descriptor}:{events}" for descriptor, events in handed.items()),
        *started.command,
    ]
