# SPDX-License-Identifier: GPL-2.0-or-later
"""Which domain a command is about: this machine, a capture, a published domain, a simulated one.

What reads and judges a domain is loaded when that is asked for: half the start of a command that
does not, as in dom0.
"""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

from agent import exit_codes
from agent.cli.endings import CommandError
from agent.sources.system_root import NotXenError, SystemRoot
from agent.sources.xenstore.errors import XenstoreError

if TYPE_CHECKING:
    from agent.core.facts.snapshot import Snapshot
    from agent.core.findings.assessment import Assessment
    from agent.sources.xenstore.key_store import KeyStore
    from sim_backend.published.in_process import Simulation

_PATIENCE_S = 5.0  # with a xenstored that answers, but late: a command tells what it has by then


class WhichDomain:
    """What --root, --xenstore and --sim said."""

    def __init__(
        self, root: str | None = None, xenstore: str | None = None, sim: str | None = None
    ) -> None:
        self.root = root
        self.xenstore = xenstore
        self.sim = sim

    @property
    def stands_still(self) -> bool:
        """Whether nothing changes however long one waits: a capture is one moment."""
        return self.root is not None and self.xenstore is None

    def snapshot(self, store: KeyStore | None = None) -> Snapshot:
        """Read that domain once.

        Args:
            store: what `keys` returned, where it is read several times: the deadline of a silent
                xenstored is then paid once.

        Raises:
            CommandError: there is no Xen domain there.
        """
        if self.sim is not None:
            return self._simulation.snapshot()
        from agent.core.facts.snapshot import Origin  # noqa: PLC0415 - see above
        from agent.gather import gather  # noqa: PLC0415

        root = self.system_root()
        origin = Origin("capture", root.path) if self.root else Origin("live", "this machine")
        try:
            return gather(
                root, store or self.keys(), origin, sleep=None if self.stands_still else time.sleep
            )
        except NotXenError:
            _fail_not_xen(root)

    def assessment(self) -> Assessment:
        """One look at that domain, and every check that one look allows.

        Raises:
            CommandError: there is no Xen domain there.
        """
        from agent.core.findings.diagnosis import diagnose  # noqa: PLC0415 - see above
        from agent.examine import examine  # noqa: PLC0415

        store = self.keys()
        snapshot = self.snapshot(store)
        return diagnose(examine(snapshot, self.system_root(), store, None)).assessment

    def play(self) -> None:
        """Let a simulated domain live in step with real time; others do anyway."""
        if self.sim is not None:
            self._simulation.play()

    def wait(self, seconds: float) -> None:
        """Let time pass for that domain; virtual time for a simulated one that is not played."""
        if self.sim is not None:
            self._simulation.let_pass(seconds)
        else:
            time.sleep(seconds)

    def system_root(self) -> SystemRoot:
        if self.sim is not None:
            from sim_backend.published.in_process import SimulatedRoot  # noqa: PLC0415 - not on a real guest

            return SimulatedRoot(self._simulation.domain)
        return SystemRoot(self.root or "/")

    def keys(self) -> KeyStore:
        if self.sim is not None:
            from sim_backend.published.in_process import SimulatedKeys  # noqa: PLC0415 - not on a real guest

            return SimulatedKeys(self._simulation.domain)
        from agent.sources.xenstore.key_store import CapturedKeys, NoKeys, SessionKeys  # noqa: PLC0415 - see above

        if self.stands_still:
            return CapturedKeys(self.system_root())
        from agent.sources.xenstore.pyxs_client import StoreClient  # noqa: PLC0415 - not of a capture
        from agent.sources.xenstore.transport import default_path  # noqa: PLC0415

        try:
            path = self.xenstore or default_path()
            return SessionKeys(StoreClient(path, patience_s=_PATIENCE_S))
        except XenstoreError as error:
            return NoKeys(error.status)

    @cached_property
    def _simulation(self) -> Simulation:
        from sim_backend.published.in_process import Simulation  # noqa: PLC0415 - not on a real guest

        assert self.sim is not None
        try:
            return Simulation(self.sim)
        except KeyError:
            from sim_backend.stories.catalogue import scenario_names  # noqa: PLC0415 - as above

            known = ", ".join(scenario_names())
            raise CommandError(
                f"There is no scenario '{self.sim}'. There are: {known}.", exit_codes.USAGE
            ) from None


def _fail_not_xen(root: SystemRoot) -> NoReturn:
    from agent.sources.hypervisor import firmware_is_xens  # noqa: PLC0415 - see above

    if firmware_is_xens(root):
        sentence = (
            f"{'This' if root.is_live else root.path} is a Xen HVM domain, as its firmware says, "
            "but its kernel does not speak with Xen: it has no balloon driver, and the host cannot "
            "change its memory. Boot a kernel with CONFIG_XEN=y and CONFIG_XEN_BALLOON=y, and "
            "without nopv among its options."
        )
    elif root.is_live:
        sentence = (
            "This is not a Xen domain. Try a simulated one: balloon-agent --sim balloon-up status"
        )
    else:
        sentence = (
            f"{root.path} is not a capture of a Xen domain: it has neither "
            "sys/hypervisor/type nor sys/devices/system/xen_memory."
        )
    raise CommandError(sentence, exit_codes.NOT_XEN)
