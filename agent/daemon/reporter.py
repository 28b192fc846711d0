# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon tells: the host through xenstore, everybody else through its two files.

Relies on docs/design.md A21.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from agent import __version__
from agent.core.account.situation import Situation
from agent.core.facts.snapshot import BootRecord
from agent.core.policy.history import History
from agent.core.policy.settings import PolicySettings
from agent.core.policy.view import floor_kib
from agent.daemon import journal as j
from agent.daemon.boot_recorder import record_of
from agent.daemon.key_table import USED
from agent.daemon.motion import is_in_motion
from agent.daemon.published_keys import keys_for
from agent.daemon.publisher import Publisher
from agent.daemon.record import DecisionLog
from agent.daemon.runtime_directory import RuntimeDirectory
from agent.sources.system_root import SystemRoot
from agent.sources.xenstore.session import XenstoreSession

if TYPE_CHECKING:
    from agent.core.findings.assessment import Assessment
    from agent.daemon.use_report import UseReport

STATUS_EVERY_S: Final = 1.0

Say = Callable[[int, str, str], None]


class Basis(NamedTuple):
    """What the keys are made of: a moment, and how the daemon is set in it."""

    profile: str
    situation: Situation
    settings: PolicySettings
    history: History
    now_s: float


class Reporter:
    """`publish_at_s` and `status_at_s`: when something held back is due."""

    SURVIVES_REST: Final = (
        "log", "came_to_rest", "publish_at_s", "status_at_s", "publisher", "_status_written_s",
        "_finding",
    )  # fmt: skip

    def __init__(self, runtime: RuntimeDirectory, say: Say, root: SystemRoot) -> None:
        self.log = DecisionLog()
        self.came_to_rest = False
        self.publish_at_s: float | None = None
        self.status_at_s: float | None = None
        self._runtime = runtime
        self._say = say
        self._root = root
        self.publisher = Publisher()
        self._use: UseReport | None = None
        self._assessment: Assessment | None = None
        self._finding: str | None = None
        self._status_written_s = float("-inf")

    def moved(self) -> None:
        """Another host, which takes its measure of this guest anew."""
        self.publisher.forget()
        self.came_to_rest = False

    def note_rest(
        self, situation: Situation, history: History, settings: PolicySettings, now_s: float
    ) -> None:
        """After a look: whether the balloon has been at rest where the host wants it.

        squeezed takes what a guest has beyond memory/target when it first hears of it for a
        constant, so it is not to hear of it before.
        """
        still_s = now_s - history.unchanged_since_s
        if still_s >= settings.grace_s and situation.is_where_the_host_wants_it:
            self.came_to_rest = True

    def publish(self, session: XenstoreSession, basis: Basis) -> None:
        """Write the keys that changed: first what was decided, then what is to be thought of it.

        Raises:
            XenstoreLost: the connection is gone.
        """
        told = self._publish(session, basis) if self.publisher.sent else False
        finding = _gravest_code(self.judged(basis.situation))
        if finding != self._finding or not self.publisher.sent:
            self._finding = finding
            self._publish(session, basis, goes_on=told)

    def _publish(self, session: XenstoreSession, basis: Basis, *, goes_on: bool = False) -> bool:
        """One round; whether anything was written."""
        profile, situation, settings, history, now_s = basis
        self.publish_at_s = None
        balloon = situation.snapshot.balloon
        floor = None
        if balloon is not None and balloon.current_kib is not None:
            floor = floor_kib(situation, settings, balloon.current_kib, history.use)
        keys = keys_for(
            profile,
            situation,
            settings,
            floor,
            finding=self._finding,
            came_to_rest=self.came_to_rest,
            in_motion=is_in_motion(situation, history, settings, now_s),
            time_of_day=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )
        reports = profile == "qubes" and self.publisher.may_publish(USED)
        use = self._use_looked_at(now_s) if reports else None
        if use is not None:
            keys = {**use.keys(), **keys}
        done = self.publisher.publish(session, keys, now_s, goes_on=goes_on)
        for key, reason in done.refused:
            self._say(j.NOTICE, f"refused {key}", f"xenstore refused {key}: {reason}")
        for key, why in done.left:
            self._say(j.NOTICE, f"left {key}", f"{key} is left alone: {why}")
        self.publish_at_s = self.publisher.due_s(keys, now_s)
        if use is not None:
            self.publish_at_s = min(use.due_s, self.publish_at_s or use.due_s)
        return done.written > 0

    def judged(self, situation: Situation) -> Assessment:
        """What is to be thought of a moment; what judges is loaded once the host has been told."""
        from agent.core.findings.assessment import judge  # noqa: PLC0415

        if self._assessment is None or self._assessment.situation is not situation:
            self._assessment = judge(situation)
        return self._assessment

    def _use_looked_at(self, now_s: float) -> UseReport:
        """What a qube says of its use of memory, after a look if one is due."""
        if self._use is None:
            from agent.daemon.use_report import UseReport  # noqa: PLC0415 - memory others save

            self._use = UseReport()
        if now_s >= self._use.due_s:
            self._use.look(self._root, now_s)
        return self._use

    def record_boot(self, situation: Situation) -> BootRecord | None:
        """Keep the boot's first readings, if these are; the record when it was made."""
        record = record_of(situation)
        if record is None:
            return None
        from agent.sources.boot_record import format_boot_record  # noqa: PLC0415 - once a boot

        made = self._runtime.replace("boot.json", format_boot_record(record).encode())
        self._check_runtime()
        return record if made else None

    def want_status(self, now_s: float) -> bool:
        """Whether to write the status now; if it is fresh, it is due a moment later."""
        if now_s - self._status_written_s >= STATUS_EVERY_S:
            return True
        if self.status_at_s is None:
            self.status_at_s = self._status_written_s + STATUS_EVERY_S
        return False

    def write_status(self, assessment: Assessment, condition: dict[str, Any], now_s: float) -> None:
        """Replace status.json; what is only for that is loaded once the host has been told."""
        import json  # noqa: PLC0415

        from agent.report.status_json import status_object  # noqa: PLC0415

        self.status_at_s = None
        self._status_written_s = now_s
        daemon = {
            "version": __version__,
            "pid": os.getpid(),
            "written": int(time.time()),
            "monotonic_s": round(now_s, 3),
            **condition,
            "xenstore_writes": self.publisher.writes,
            "published": dict(self.publisher.sent),
            "denied_keys": sorted(self.publisher.denied),
            "decisions": self.log.as_objects(),
        }
        status = status_object(assessment) | {"daemon": daemon}
        self._runtime.replace("status.json", json.dumps(status).encode() + b"\n")
        self._check_runtime()

    def _check_runtime(self) -> None:
        problem = self._runtime.problem
        if problem is not None:
            self._say(j.WARNING, "runtime", f"the status cannot be kept: {problem}")


def _gravest_code(assessment: Assessment) -> str | None:
    """The finding a host should know of; None where nothing is wrong."""
    from agent.core.findings.finding import RANK  # noqa: PLC0415 - as in `judged`

    findings = assessment.findings
    return findings[0].code if findings and RANK[findings[0].severity] else None
