# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's loop: sleep, look, decide, act, report.

One tick is one look at the domain and all that follows from it.  It is bounded (every request to
xenstore has a deadline, every read a size), and nothing it meets ends the daemon: what goes wrong
is told once, counted, and leaves the watchdog without its ping.
"""

import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from agent.act import ActDeniedError, online_block, set_target_kib
from agent.core.assessment import Assessment, assess
from agent.core.decision import Decision
from agent.core.policy import EMPTY, PolicySettings, decide
from agent.core.snapshot import Origin
from agent.daemon import journal as j
from agent.daemon.allowance import Allowance
from agent.daemon.bus import Bus
from agent.daemon.config import Config, ConfigError
from agent.daemon.journal import Journal
from agent.daemon.notify import Notifier
from agent.daemon.observer import Observer
from agent.daemon.published_keys import LOOK_EVERY_S, profile_for
from agent.daemon.record import Entry
from agent.daemon.reporter import Reporter
from agent.daemon.runtime_directory import RuntimeDirectory
from agent.daemon.wakeups import Wakeups, Woken
from agent.sources.domain import ActRefusedError
from agent.sources.system_root import SystemRoot
from agent.sources.xenstore_errors import (
    DeviceDenied,
    DeviceMissing,
    XenstoreError,
    XenstoreUnreachable,
)

_ACTIONS_PER_TICK: Final = 64
_RESUME_GAP_S: Final = 1.0
_POLL_WITHOUT_TRIGGER_S: Final = 10.0
_SOON_S: Final = 0.01
_HEARINGS_AT_ONCE: Final = 30
_HEARINGS_PER_S: Final = 20.0


class Parts(NamedTuple):
    """What a daemon is made of."""

    root: SystemRoot
    bus: Bus
    wakeups: Wakeups
    runtime: RuntimeDirectory
    journal: Journal
    notifier: Notifier
    reload: Callable[[], Config]


class Daemon:
    """One domain's daemon; `run` returns when a signal asks it to."""

    def __init__(self, parts: Parts, config: Config) -> None:
        self._parts = parts
        self._config = config
        self._settings: PolicySettings = config.policy
        self._banner: str | None = None
        origin = Origin("live", "this machine" if parts.root.is_live else parts.root.path)
        self._observer = Observer(parts.root, origin)
        self._reporter = Reporter(parts.runtime, self._say)
        self._memory = EMPTY
        self._assessment: Assessment | None = None
        self._domid: int | None = None
        self._sleep_gap_s = _sleep_gap_s()
        self._stopping = False
        self._look_at_s: float | None = None
        self._ping_at_s: float | None = None
        self._hear_at_s: float | None = None  # xenstore is left alone until then
        self._hearings = Allowance(_HEARINGS_AT_ONCE, _HEARINGS_PER_S)
        self._ticks = 0
        self._failed_ticks = 0

    def start(self) -> None:
        """The first look and the first connection.

        Raises:
            NotXenError: there is no Xen domain here.
            DeviceMissing: there is no xenstore.
            DeviceDenied: there is, but not for this user.
        """
        now_s = time.monotonic()
        self._observer.look(self._parts.bus, now_s)
        try:
            self._parts.bus.connect(now_s)
        except (DeviceMissing, DeviceDenied):
            raise
        except XenstoreUnreachable as error:
            self._say(j.WARNING, "xenstore", f"xenstore cannot be reached yet: {error}", 3)
        self._listen()
        self.tick("start")
        self._say_settings()
        self._parts.notifier.ready()
        if self._parts.notifier.watchdog_s is not None:
            self._ping_at_s = now_s + self._parts.notifier.watchdog_s

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        while not self._stopping:
            self.serve(self._parts.wakeups.wait(self._timeout_s(time.monotonic())))
        self._parts.notifier.stopping()
        self._write_status(time.monotonic())

    def serve(self, woken: Woken) -> None:
        """Everything that is due after a sleep."""
        for number in woken.signals:
            self._on_signal(number)
        if self._stopping:
            return
        now_s = time.monotonic()
        cause = self._cause(woken, now_s)
        if cause is not None:
            self.tick(cause)
        now_s = time.monotonic()
        if self._reporter.publish_is_due(now_s):
            self._publish(now_s)
        if self._reporter.status_is_due(now_s):
            self._write_status(now_s)

    def tick(self, cause: str) -> bool:
        """One look and what follows; whether it went well.  Never raises."""
        now_s = time.monotonic()
        self._ticks += 1
        try:
            self._tick(cause, now_s)
        except Exception as error:  # noqa: BLE001 - nothing a look meets may end the daemon
            self._failed_ticks += 1
            self._look_at_s = now_s + 10.0
            self._say(j.ERROR, "tick", f"a look at the domain failed: {error!r}")
            return False
        self._parts.journal.settled("tick")
        return True

    def _cause(self, woken: Woken, now_s: float) -> str | None:
        """Why to look now; None when there is no reason."""
        bus = self._parts.bus
        if bus.retry_at_s is not None and now_s >= bus.retry_at_s:
            return "reconnected" if self._reconnect(now_s) else None
        hears = self._hear_at_s is None or now_s >= self._hear_at_s
        if hears and bus.connected and (woken.xenstore or self._events_may_be_due(now_s)):
            said = self._hear(now_s)
            if said is not None:
                return said
        if woken.pressure:
            return "pressure"
        if self._ping_at_s is not None and now_s >= self._ping_at_s:
            self._ping(now_s)
            return None
        if self._look_at_s is not None and now_s >= self._look_at_s:
            return "timer"
        return None

    def _events_may_be_due(self, now_s: float) -> bool:
        """Events that came while a request was made no longer show at the descriptor."""
        if not self._parts.bus.connected:
            return False
        try:
            return self._parts.bus.session.wait(0.0)
        except XenstoreError as error:
            self._lose(error, now_s)
            return False

    def _hear(self, now_s: float) -> str | None:
        """Take the events in.  In a storm of them the host is heard a few times a second."""
        if not self._hearings.take(now_s):
            self._parts.wakeups.listen_to(None)
            self._hear_at_s = now_s + 1.0 / _HEARINGS_PER_S
            return None
        if self._hear_at_s is not None:
            self._listen()
        try:
            return "host" if self._parts.bus.listen() else None
        except XenstoreError as error:
            self._lose(error, now_s)
            return "xenstore-lost"

    def _reconnect(self, now_s: float) -> bool:
        try:
            connected = self._parts.bus.connect(now_s)
        except XenstoreUnreachable:
            connected = False
        self._listen()
        if connected:
            self._reporter.forget()
            self._parts.journal.settled("xenstore")
            self._say(j.NOTICE, "xenstore-back", "xenstore is back", j.EVENT_BURST)
        return connected

    def _lose(self, error: XenstoreError, now_s: float) -> None:
        self._parts.bus.lose(error, now_s)
        self._listen()
        self._look_at_s = now_s
        self._say(j.WARNING, "xenstore", f"xenstore is lost: {error}", 3)

    def _listen(self) -> None:
        self._hear_at_s = None
        bus = self._parts.bus
        self._parts.wakeups.listen_to(bus.session.fileno() if bus.connected else None)

    def _tick(self, cause: str, now_s: float) -> None:
        self._mind_resume(now_s)
        for _ in range(_ACTIONS_PER_TICK):
            snapshot = self._observer.look(self._parts.bus, now_s)
            self._assessment = assess(snapshot)
            situation = self._assessment.situation
            decision, self._memory = decide(situation, self._memory, self._settings, now_s)
            outcome = self._act(decision)
            self._note(cause, decision, outcome, now_s)
            if decision.action == "none":
                break
        self._look_at_s = self._next_look_s(decision, now_s)
        rested_s = now_s - self._memory.unchanged_since_s
        if situation.state == "settled" and rested_s >= self._settings.grace_s:
            self._reporter.came_to_rest = True
        self._report(now_s)

    def _next_look_s(self, decision: Decision, now_s: float) -> float | None:
        """When the policy, the profile or a guarded shrink wants another look."""
        wanted = [decision.look_again_s]
        profile = self._profile()
        if profile in LOOK_EVERY_S:
            wanted.append(now_s + LOOK_EVERY_S[profile])
            if not self._reporter.came_to_rest:
                wanted.append(now_s + self._settings.grace_s)
        minds_pressure = (
            self._settings.mode in ("guard", "self") and self._memory.own_kib is not None
        )
        if minds_pressure and not self._parts.wakeups.has_pressure_trigger:
            wanted.append(now_s + _POLL_WITHOUT_TRIGGER_S)
        times = [max(at_s, now_s + _SOON_S) for at_s in wanted if at_s is not None]
        return min(times, default=None)

    def _act(self, decision: Decision) -> str:
        """Carry a decision out; what became of it."""
        try:
            if decision.target_kib is not None:
                set_target_kib(self._parts.root, decision.target_kib)
            elif decision.block is not None:
                online_block(self._parts.root, decision.block)
            else:
                return "nothing to do"
        except ActDeniedError as error:
            self._settings = self._settings._replace(mode="observe")
            self._banner = f"Nothing can be changed, mode observe is in force: {error}"
            self._say(j.WARNING, "denied", self._banner)
            return f"denied: {error}"
        except ActRefusedError as error:
            self._say(j.WARNING, "refused", f"the kernel refused: {error}", 3)
            return f"refused: {error}"
        return "done"

    def _note(self, cause: str, decision: Decision, outcome: str, now_s: float) -> None:
        is_new = self._reporter.log.add(Entry(now_s, int(time.time()), cause, decision, outcome))
        if decision.action != "none":
            text = f"{decision.sentence} [{decision.reason}: {outcome}]"
            self._say(j.NOTICE, decision.reason, text, j.EVENT_BURST)
        elif is_new and decision.reason not in ("settled", "moving", "kernel-has-time"):
            self._say(j.INFO, decision.reason, decision.sentence, 3)

    def _mind_resume(self, now_s: float) -> None:
        """After a resume or a migration, what is known of the host is of another one."""
        domid, gap_s = self._parts.bus.facts.domid, _sleep_gap_s()
        moved = domid is not None and self._domid is not None and domid != self._domid
        slept = abs(gap_s - self._sleep_gap_s) > _RESUME_GAP_S
        self._domid = domid if domid is not None else self._domid
        self._sleep_gap_s = gap_s
        if not (moved or slept):
            return
        offset_kib = self._memory.offset_kib  # the kernel keeps it for as long as it runs
        self._memory = EMPTY._replace(offset_kib=offset_kib)
        self._reporter.forget()
        self._say(j.NOTICE, "resumed", "the domain was resumed or moved; starting afresh", 3)
        if slept and not moved and self._parts.bus.connected:
            try:
                self._parts.bus.read_all()
            except XenstoreError as error:
                self._lose(error, now_s)

    def _profile(self) -> str:
        return profile_for(self._config.profile, self._parts.bus.facts.toolstack)

    def _report(self, now_s: float) -> None:
        """Tell the host, and whoever reads the status."""
        if self._assessment is None:
            return
        if self._parts.bus.connected:
            record = self._reporter.record_boot(self._assessment.situation)
            if record is not None:
                self._observer.recorded(record)
        self._publish(now_s)
        if self._reporter.want_status(now_s):
            self._write_status(now_s)

    def _publish(self, now_s: float) -> None:
        if self._assessment is None or not self._parts.bus.connected:
            return
        try:
            self._reporter.publish(
                self._parts.bus.session,
                self._profile(),
                self._assessment.situation,
                self._settings,
                now_s,
            )
        except XenstoreError as error:
            self._lose(error, now_s)

    def _write_status(self, now_s: float) -> None:
        if self._assessment is None:
            return
        self._reporter.write_status(self._assessment, self._condition(now_s), now_s)
        self._parts.notifier.status(self._banner or self._assessment.headline)

    def _condition(self, now_s: float) -> dict[str, Any]:
        """How the daemon is, for status.json."""
        bus = self._parts.bus
        return {
            "stopped": self._stopping,
            "mode": self._settings.mode,
            "configured_mode": self._config.policy.mode,
            "banner": self._banner,
            "config_files": list(self._config.files),
            "xenstore": "connected" if bus.connected else f"host-silent: {bus.lost_because}",
            "profile": self._profile(),
            "ticks": self._ticks,
            "failed_ticks": self._failed_ticks,
            "wakeups": self._parts.wakeups.count,
            "connections": bus.connections,
            "look_again_in_s": None if self._look_at_s is None else self._look_at_s - now_s,
        }

    def _on_signal(self, number: int) -> None:
        if number == 1:  # SIGHUP
            self._reload()
        else:
            self._stopping = True

    def _reload(self) -> None:
        self._parts.notifier.reloading()
        try:
            self._config = self._parts.reload()
        except ConfigError as error:
            self._say(j.ERROR, "config", f"the configuration stays as it was: {error}", 5)
        else:
            self._settings = self._config.policy
            self._banner = None
            self._say_settings()
        self.tick("reload")
        self._parts.notifier.ready()

    def _say_settings(self) -> None:
        files = ", ".join(self._config.files) or "no file, all defaults"
        self._say(j.INFO, "settings", f"mode {self._settings.mode} ({files})", j.EVENT_BURST)

    def _ping(self, now_s: float) -> None:
        """A ping is earned by a good look."""
        if self.tick("watchdog"):
            self._parts.notifier.alive()
        self._ping_at_s = now_s + (self._parts.notifier.watchdog_s or 60.0)

    def _timeout_s(self, now_s: float) -> float | None:
        bus = self._parts.bus
        # Looking for events may find that the connection is gone, and when to try again.
        events_due = self._hear_at_s is None and self._events_may_be_due(now_s)
        due = (
            self._look_at_s,
            self._reporter.publish_at_s,
            self._reporter.status_at_s,
            self._ping_at_s,
            self._hear_at_s,
            bus.retry_at_s,
        )
        times = [at_s for at_s in due if at_s is not None]
        if events_due:
            return 0.0
        return max(0.0, min(times) - now_s) if times else None

    def _say(self, priority: int, kind: str, text: str, burst: int = 1) -> None:
        self._parts.journal.say(priority, kind, text, time.monotonic(), burst)


def _sleep_gap_s() -> float:
    """How long this kernel has slept: CLOCK_BOOTTIME counts that, CLOCK_MONOTONIC does not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
