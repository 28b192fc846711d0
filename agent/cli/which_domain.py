# SPDX-License-Identifier: GPL-2.0-or-later
"""Which domain a command is about: this machine, a capture, a published domain, a simulated one."""

import time
from typing import NamedTuple, NoReturn

import click

from agent.cli import exit_codes
from agent.core.snapshot import Origin, Snapshot
from agent.gather import NotXenError, gather
from agent.sources.key_store import CapturedKeys, KeyStore, NoKeys, SessionKeys, status_of_error
from agent.sources.system_root import SystemRoot
from agent.sources.xenstore_errors import XenstoreError


class CommandError(click.ClickException):
    """A sentence for the user and the exit status that goes with it."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class WhichDomain(NamedTuple):
    """What --root, --xenstore and --sim said."""

    root: str | None = None
    xenstore: str | None = None
    sim: str | None = None

    def snapshot(self) -> Snapshot:
        """Read that domain once.

        Raises:
            CommandError: there is no Xen domain there.
        """
        if self.sim is not None:
            return _simulated(self.sim)
        root = SystemRoot(self.root or "/")
        origin = Origin("capture", root.path) if self.root else Origin("live", "this machine")
        live = not self.root or self.xenstore is not None
        store = self.keys()
        try:
            return gather(root, store, origin, sleep=time.sleep if live else None)
        except NotXenError:
            _fail_not_xen(root)

    def system_root(self) -> SystemRoot:
        """The files of that domain.

        Raises:
            CommandError: a simulated domain has none.
        """
        if self.sim is not None:
            raise CommandError(
                "A simulated domain has no files; leave out --sim.", exit_codes.USAGE
            )
        return SystemRoot(self.root or "/")

    def keys(self) -> KeyStore:
        """How its xenstore is read."""
        if self.root and self.xenstore is None:
            return CapturedKeys(SystemRoot(self.root))
        from agent.sources.xenstore_session import XenstoreSession, default_path  # noqa: PLC0415

        try:
            return SessionKeys(XenstoreSession(self.xenstore or default_path()))
        except XenstoreError as error:
            return NoKeys(status_of_error(error))


def _simulated(name: str) -> Snapshot:
    """A snapshot of a scenario's domain."""
    from sim_backend import scenarios  # noqa: PLC0415 - not needed on a real guest

    if name not in scenarios.scenario_names():
        known = ", ".join(scenarios.scenario_names())
        raise CommandError(f"There is no scenario '{name}'. There are: {known}.", exit_codes.USAGE)
    return scenarios.load(name).domain().snapshot()


def _fail_not_xen(root: SystemRoot) -> NoReturn:
    if root.is_live:
        sentence = (
            "This is not a Xen domain. Try a simulated one: balloon-agent --sim balloon-up status"
        )
    else:
        sentence = (
            f"{root.path} is not a capture of a Xen domain: it has neither "
            "sys/hypervisor/type nor sys/devices/system/xen_memory."
        )
    raise CommandError(sentence, exit_codes.NOT_XEN)
