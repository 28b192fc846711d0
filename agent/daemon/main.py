# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent run`: puts the daemon together, and turns what stops it into an exit status."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

from agent import exit_codes
from agent.daemon import journal as j
from agent.daemon.config.effective import Config, ConfigError
from agent.daemon.journal import Journal
from agent.daemon.link import Link
from agent.daemon.loop import Daemon
from agent.daemon.notify import Notifier
from agent.daemon.options import Options, UsageError, parse_options
from agent.daemon.parts import Parts, Started
from agent.daemon.runtime_directory import AlreadyRunningError, RuntimeDirectory
from agent.daemon.wakeups import Wakeups
from agent.sources.system_root import NotXenError, SystemRoot
from agent.sources.xenstore.errors import DeviceDenied, XenstoreLost, XenstoreUnreachable
from agent.sources.xenstore.session import XenstoreSession
from agent.sources.xenstore.transport import default_path

_RUNTIME: Final = "run/balloon-agent"

_ENDS: Final[Mapping[type[Exception], tuple[int, str]]] = {
    ConfigError: (exit_codes.CONFIGURATION, "{}"),
    AlreadyRunningError: (exit_codes.RUNNING, "{}"),
    NotXenError: (
        exit_codes.NOT_XEN,
        "no Xen domain here; try a simulated one: balloon-agent --sim balloon-up status",
    ),
    DeviceDenied: (exit_codes.NO_PERMISSION, "{}; the daemon has to run as root"),
    XenstoreLost: (exit_codes.NOT_XEN, "{}"),
    MemoryError: (exit_codes.NO_MEMORY, "there is too little memory to start"),
}
"""The exit status and the words of each; of two that fit the first, so the narrower one leads."""


def main(argv: Sequence[str], root: str | None = None, xenstore_path: str | None = None) -> int:
    """Run the daemon until a signal ends it; the exit status.

    Args:
        argv: the words behind `run`.
        root: a published domain's files; this machine's without it.
        xenstore_path: where to speak xenstore; the kernel's device without it.
    """
    _have_standard_descriptors()
    journal = Journal()
    try:
        options = parse_options(argv)
        if root is not None and xenstore_path is None:
            raise UsageError("run: a capture cannot be run; --root needs --xenstore PATH")
    except UsageError as error:
        return _failed(journal, f"{error}\nTry balloon-agent run --help.", exit_codes.USAGE)
    started = Started(tuple(argv), root, xenstore_path)
    try:
        if options.forget:
            _forget(journal, SystemRoot(root or "/"), xenstore_path)
        else:
            _start_and_serve(started, _configuration(options))
    except tuple(_ENDS) as error:
        status, words = next(end for kind, end in _ENDS.items() if isinstance(error, kind))
        return _failed(journal, words.format(error), status)
    return exit_codes.OK


def parts_for(started: Started) -> Parts:
    """The edges of a daemon that was started so; the lock is not taken yet.

    Raises:
        NotXenError, XenstoreUnreachable: there is no way to xenstore.
    """
    root = SystemRoot(started.root or "/")
    path = started.xenstore if started.xenstore is not None else _device(root)
    options = parse_options(started.words)
    return Parts(
        root,
        Link(path),
        Wakeups(),
        RuntimeDirectory(_runtime_path(root)),
        Journal(),
        Notifier(),
        lambda: _configuration(options),
    )


def serve(daemon: Daemon, parts: Parts, started: Started) -> None:
    """Until a signal ends it, with a rest whenever there is nothing to do."""
    parts.wakeups.let_signals_in()
    while daemon.run():
        from agent.daemon.rest.handover import rest  # noqa: PLC0415 - not in every mode

        rest(daemon, parts, started)  # it comes back only if it cannot be


def _have_standard_descriptors() -> None:
    """Where 0, 1 or 2 is closed the next file would get its number, and the journal's lines."""
    while (descriptor := os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)) <= 2:
        pass
    os.close(descriptor)


def _come_first() -> None:
    """Wait for no other program where a processor is scarce: the driver gives away meanwhile."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    except OSError:
        pass  # not root, or not allowed; the unit has its own way


def _configuration(options: Options) -> Config:
    from agent.daemon.config.load import load_config  # noqa: PLC0415 - not after a rest

    config = load_config(options.config)
    if options.mode is None:
        return config
    return config._replace(policy=config.policy._replace(mode=options.mode))  # type: ignore[arg-type]


def _start_and_serve(started: Started, config: Config) -> None:
    """Until a signal ends it; raises what is in `_ENDS`."""
    parts = parts_for(started)
    try:
        parts.runtime.lock()
        _come_first()
        parts.wakeups.let_signals_in()  # whoever could not go on after a rest has kept them
        daemon = Daemon(parts, config)
        daemon.start()
        serve(daemon, parts, started)
    finally:
        parts.close()


def _forget(journal: Journal, root: SystemRoot, xenstore_path: str | None) -> None:
    """Take back what a daemon that ended has left; raises what is in `_ENDS`."""
    from agent.daemon.forget import forget  # noqa: PLC0415 - the daemon itself never needs it

    runtime = RuntimeDirectory(_runtime_path(root))
    runtime.lock()
    try:
        path = xenstore_path if xenstore_path is not None else _device(root)
        with XenstoreSession(path) as session:
            forget(session, root, journal)
    finally:
        runtime.discard()


def _device(root: SystemRoot) -> str:
    """The xenbus device; where there is none, whether that is for want of Xen."""
    try:
        return default_path()
    except XenstoreUnreachable:
        if not os.path.exists(root.absolute("sys/hypervisor/type")):
            raise NotXenError from None
        raise


def _runtime_path(root: SystemRoot) -> str:
    """The directory of systemd, its usual place, or below another root."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if root.is_live and given.startswith("/"):
        return given
    return root.absolute(_RUNTIME)


def _failed(journal: Journal, text: str, status: int) -> int:
    for number, line in enumerate(text.splitlines()):
        journal.say(j.ERROR, f"end {number}", f"balloon-agent: {line}", 0.0)
    return status
