# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's looks: one full reading, then only what can have changed.

The firmware map, the kernel's log and its name are read once; memory blocks and the map again when
the balloon may have added memory.  Whether the balloon moves is told by comparing looks, so that
no look has to wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from agent.core.facts.snapshot import BalloonReading, BootRecord, Origin, Snapshot
from agent.core.facts.toolstack import known_toolstack
from agent.daemon.link import Link
from agent.sources import kernel
from agent.sources.host_keys import HostFacts
from agent.sources.meminfo import read_meminfo
from agent.sources.outcome import Statuses
from agent.sources.pressure import read_pressure
from agent.sources.system_root import SystemRoot
from agent.sources.xen_memory import read_xen_memory, refresh_xen_memory
from agent.sources.xenstore.key_store import NoKeys

STILL_AFTER_S: Final = 2.0


class Observer:
    """Makes snapshots of one domain; `last` is the last one."""

    SURVIVES_REST: Final = ("last", "_changed_s")

    def __init__(self, root: SystemRoot) -> None:
        self._root = root
        self.last: Snapshot | None = None
        self._changed_s = float("-inf")

    def look(self, link: Link, now_s: float, *, quickly: bool = False) -> Snapshot:
        """The domain now; `quickly`, where the host waits: without what hardly ever changes.

        Raises:
            NotXenError: at the first look, when there is no Xen domain.
        """
        before = self.last
        if before is None:
            from agent.gather import gather  # noqa: PLC0415 - once, and not after a rest

            where = "this machine" if self._root.is_live else self._root.path
            before = gather(self._root, NoKeys(), Origin("live", where))
        self.last = self._refreshed(before, link, now_s, quickly=quickly)
        return self.last

    def recorded(self, record: BootRecord) -> None:
        """The boot record has just been made."""
        if self.last is not None:
            self.last = self.last._replace(boot_record=record)

    def _refreshed(self, before: Snapshot, link: Link, now_s: float, *, quickly: bool) -> Snapshot:
        known = before.balloon
        if quickly and known is not None:
            balloon, statuses = refresh_xen_memory(self._root, known, before.sources)
        else:
            balloon, statuses = read_xen_memory(self._root)
        took = Statuses(statuses)
        snapshot = before._replace(
            balloon=self._with_motion(balloon, known, now_s),
            memory=took.take("meminfo", read_meminfo(self._root)),
            pressure=took.take("pressure", read_pressure(self._root)),
            uptime_s=took.take("uptime", kernel.read_uptime(self._root)),
        )
        if _may_have_grown(snapshot, before):
            snapshot = self._with_map(snapshot)
        return _with_host(snapshot, link.facts, before.sources, took | link.statuses)

    def _with_map(self, snapshot: Snapshot) -> Snapshot:
        """Hot-added memory shows in the map, the blocks and the zones."""
        from agent.sources.firmware_memmap import read_firmware_memmap  # noqa: PLC0415 - seldom
        from agent.sources.memory_blocks import read_memory_blocks  # noqa: PLC0415
        from agent.sources.zoneinfo import read_zoneinfo  # noqa: PLC0415

        return snapshot._replace(
            firmware_map=read_firmware_memmap(self._root).value or snapshot.firmware_map,
            blocks=read_memory_blocks(self._root).value or snapshot.blocks,
            zones=read_zoneinfo(self._root).value or snapshot.zones,
        )

    def _with_motion(
        self, balloon: BalloonReading | None, before: BalloonReading | None, now_s: float
    ) -> BalloonReading | None:
        if balloon is None:
            return None
        seen = (balloon.current_kib, balloon.target_kib)
        if before is None or seen != (before.current_kib, before.target_kib):
            self._changed_s = now_s
        still = now_s - self._changed_s >= STILL_AFTER_S
        return balloon._replace(motion="still" if still else "moved")


def _may_have_grown(snapshot: Snapshot, before: Snapshot) -> bool:
    """Whether memory may have been hot-added or put online since."""
    balloon, earlier = snapshot.balloon, before.balloon
    if balloon is None or balloon.current_kib is None or balloon.target_kib is None:
        return False
    if balloon.target_kib - balloon.current_kib > (balloon.ballooned_kib or 0):
        return True
    if earlier is None or earlier.current_kib is None:
        return False
    held_kib = balloon.current_kib + (balloon.ballooned_kib or 0)
    return held_kib != earlier.current_kib + (earlier.ballooned_kib or 0)


def _with_host(
    snapshot: Snapshot, facts: HostFacts, earlier: Mapping[str, str], statuses: Mapping[str, str]
) -> Snapshot:
    """What the host says, and what became of every source."""
    domain = snapshot.domain
    kept = {
        name: status
        for name, status in earlier.items()
        if not name.startswith(("xenstore", "balloon"))
    }
    return snapshot._replace(
        host=facts.memory,
        domain=domain._replace(
            name=facts.name or domain.name,
            uuid=domain.uuid or facts.uuid,
            domid=facts.domid if facts.domid is not None else domain.domid,
            toolstack=known_toolstack(
                facts.toolstack or domain.toolstack, domain.kernel_text, domain.xen_version
            ),
        ),
        sources={**kept, **statuses},
    )
