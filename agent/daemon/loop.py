# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's loop: sleep, take a turn, report.

A turn is one look at the domain and all that follows from it.  It is bounded (every request to
xenstore has a deadline, every read a size), and nothing it meets ends the daemon: what goes wrong
is told once, counted, and leaves the watchdog without its ping.
"""

from __future__ import annotations

import contextlib
import signal
import time
from typing import Any, Final

from agent.core.findings.assessment import judge
from agent.core.policy.memory import wanted_kib
from agent.daemon import journal as j
from agent.daemon.config.load import Config, ConfigError
from agent.daemon.hearing import Hearing
from agent.daemon.parts import Parts
from agent.daemon.published_keys import LOOK_EVERY_S, parting_keys, profile_for
from agent.daemon.reporter import Reporter
from agent.daemon.turn import Turn
from agent.daemon.upkeep import settle, tidy
from agent.daemon.wakeups import Woken
from agent.sources.pressure_trigger import open_trigger
from agent.sources.xenstore.errors import (
    DeviceDenied,
    DeviceMissing,
    XenstoreError,
    XenstoreUnreachable,
)

_SOON_S: Final = 0.01
_AFTER_FAILURE_S: Final = 10.0
_BREATH_S: Final = 0.5


class Daemon:
    """One domain's daemon; `run` returns when a signal asks it to."""

    def __init__(self, parts: Parts, config: Config) -> None:
        self._parts = parts
        self._config = config
        self._reporter = Reporter(parts.runtime, parts.say, parts.root)
        self._turn = Turn(parts, config.policy, self._reporter.log)
        self._hearing = Hearing(parts, lost=self._look_at, back=self._reporter.forget)
        self._stopping = False
        self._look_at_s: float | None = None
        self._ping_at_s: float | None = None
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
        self._mind_pressure()
        self._turn.observer.look(self._parts.bus, now_s)
        try:
            self._parts.bus.connect(now_s)
        except (DeviceMissing, DeviceDenied):
            raise
        except XenstoreUnreachable as error:
            self._parts.say(j.WARNING, "xenstore", f"xenstore cannot be reached yet: {error}", 3)
        self._hearing.listen()
        self.tick("start")
        self._say_settings()
        self._parts.notifier.ready()
        if self._parts.notifier.watchdog_s is not None:
            self._ping_at_s = now_s + self._parts.notifier.watchdog_s

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        settle()
        while not self._stopping:
            try:
                self.serve(self._parts.wakeups.wait(self._timeout_s(time.monotonic())))
            except Exception:  # noqa: BLE001 - as in `tick`
                self._stumbled()
        self._parts.notifier.stopping()
        now_s = time.monotonic()
        with contextlib.suppress(MemoryError):  # to leave a stale status is no bad end
            self._part(now_s)
            self._write_status(now_s)

    def serve(self, woken: Woken) -> None:
        """Everything that is due after a sleep."""
        if any(number != signal.SIGHUP for number in woken.signals):
            self._stopping = True
            return
        if woken.signals:
            self._reload()
        now_s = time.monotonic()
        cause = self._cause(woken, now_s)
        if cause is not None:
            self.tick(cause)
        now_s = time.monotonic()
        if self._reporter.publish_is_due(now_s):
            self._publish(now_s)
        if self._reporter.status_is_due(now_s):
            self._write_status(now_s)
        tidy()

    def tick(self, cause: str) -> bool:
        """One turn and its report; whether it went well.  Never raises."""
        now_s = time.monotonic()
        self._ticks += 1
        try:
            self._tick(cause, now_s)
        except Exception as error:  # noqa: BLE001 - nothing a look meets may end the daemon
            self._failed_ticks += 1
            self._look_at_s = now_s + _AFTER_FAILURE_S
            self._parts.say(j.ERROR, "tick", f"a look at the domain failed: {error!r}")
            return False
        self._parts.journal.settled("tick")
        return True

    def _stumbled(self) -> None:
        """Something failed outside a look, or there was no memory even to say that one failed.

        Nothing is said here, as that may be what failed; the pause keeps a fault that lasts from
        taking the CPU.  The look that follows earns the watchdog's ping, or does not.
        """
        self._failed_ticks += 1
        self._look_at_s = time.monotonic() + _AFTER_FAILURE_S
        time.sleep(_BREATH_S)

    def _cause(self, woken: Woken, now_s: float) -> str | None:
        """Why to look now; None when there is no reason."""
        retry_at_s = self._parts.bus.retry_at_s
        if retry_at_s is not None and now_s >= retry_at_s:
            return "reconnected" if self._hearing.reconnect(now_s) else None
        shows = woken.xenstore and not self._hearing.holds_back(now_s)
        if shows or self._hearing.events_wait(now_s):
            said = self._hearing.hear(now_s)
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

    def _look_at(self, at_s: float) -> None:
        self._look_at_s = at_s

    def _tick(self, cause: str, now_s: float) -> None:
        self._mind_resume(now_s)
        situation = self._turn.take(cause, now_s)
        self._look_at_s = self._next_look_s(now_s)
        self._reporter.note_rest(situation, self._turn.memory, self._turn.settings, now_s)
        if self._parts.bus.connected:
            record = self._reporter.record_boot(situation)
            if record is not None:
                self._turn.observer.recorded(record)
        self._publish(now_s)
        if self._reporter.want_status(now_s):
            self._write_status(now_s)

    def _next_look_s(self, now_s: float) -> float | None:
        """When the turn or the profile wants another look."""
        wanted = [self._turn.next_look_s(now_s)]
        profile = self._profile()
        if profile in LOOK_EVERY_S:
            wanted.append(now_s + LOOK_EVERY_S[profile])
            if not self._reporter.came_to_rest:
                wanted.append(now_s + self._turn.settings.grace_s)
        return min(
            (max(at_s, now_s + _SOON_S) for at_s in wanted if at_s is not None), default=None
        )

    def _mind_resume(self, now_s: float) -> None:
        """After a resume or a migration, what is known of the host is of another one."""
        moved, slept = self._turn.was_moved(), self._turn.was_resumed()
        if not (moved or slept):
            return
        self._turn.start_afresh()
        self._reporter.moved()
        self._parts.say(j.NOTICE, "resumed", "the domain was resumed or moved; starting afresh", 3)
        if slept and not moved and self._parts.bus.connected:
            try:
                self._parts.bus.read_all()
            except XenstoreError as error:
                self._hearing.lose(error, now_s)

    def _profile(self) -> str:
        return profile_for(self._config.profile, self._parts.bus.facts.toolstack)

    def _publish(self, now_s: float) -> None:
        """Tell the host."""
        situation = self._turn.situation
        if situation is None or not self._parts.bus.connected:
            self._reporter.publish_at_s = None  # a connection that comes back is told everything
            return
        session, settings, memory = self._parts.bus.session, self._turn.settings, self._turn.memory
        profile = self._profile()
        try:
            self._reporter.publish(session, profile, situation, settings, memory, now_s=now_s)
        except XenstoreError as error:
            self._hearing.lose(error, now_s)

    def _part(self, now_s: float) -> None:
        """Tell the host that this daemon stops."""
        situation = self._turn.situation
        if situation is None or not self._parts.bus.connected:
            return
        settings = self._turn.settings
        aim_kib = wanted_kib(situation, self._turn.memory)
        keys = parting_keys(self._profile(), situation, settings, aim_kib)
        try:
            self._reporter.part(self._parts.bus.session, keys)
        except XenstoreError as error:
            self._hearing.lose(error, now_s)

    def _write_status(self, now_s: float) -> None:
        """Tell whoever reads the status."""
        if self._turn.situation is None:
            return
        assessment = judge(self._turn.situation)
        self._reporter.write_status(assessment, self._condition(now_s), now_s)
        self._parts.notifier.status(self._turn.banner or assessment.headline)

    def _condition(self, now_s: float) -> dict[str, Any]:
        """How the daemon is, for status.json."""
        bus = self._parts.bus
        return {
            "stopped": self._stopping,
            "mode": self._turn.settings.mode,
            "configured_mode": self._config.policy.mode,
            "banner": self._turn.banner,
            "config_files": list(self._config.files),
            "xenstore": "connected" if bus.connected else f"host-silent: {bus.lost_because}",
            "profile": self._profile(),
            "ticks": self._ticks,
            "failed_ticks": self._failed_ticks,
            "wakeups": self._parts.wakeups.count,
            "connections": bus.connections,
            "look_again_in_s": None if self._look_at_s is None else self._look_at_s - now_s,
        }

    def _reload(self) -> None:
        self._parts.notifier.reloading()
        try:
            self._config = self._parts.reload()
        except (ConfigError, MemoryError) as error:
            why = str(error) or "there is too little memory to read it"
            self._parts.say(j.ERROR, "config", f"the configuration stays as it was: {why}", 5)
        else:
            self._turn.configured(self._config.policy)
            self._mind_pressure()
            self._say_settings()
        self.tick("reload")
        self._parts.notifier.ready()

    def _mind_pressure(self) -> None:
        """Be woken when memory gets short; sooner where there is something to be done about it."""
        soon = self._config.policy.mode in ("guard", "self")
        self._parts.wakeups.mind_pressure(open_trigger(self._parts.root, soon=soon))

    def _say_settings(self) -> None:
        files = ", ".join(self._config.files) or "no file, all defaults"
        text = f"mode {self._turn.settings.mode} ({files})"
        self._parts.say(j.INFO, "settings", text, j.EVENT_BURST)

    def _ping(self, now_s: float) -> None:
        """A ping is earned by a good look, for which the host is asked as well."""
        self._hearing.ask(now_s)
        if self.tick("watchdog"):
            self._parts.notifier.alive()
        self._ping_at_s = now_s + (self._parts.notifier.watchdog_s or 60.0)

    def _timeout_s(self, now_s: float) -> float | None:
        # Asking for events may find that the connection is gone, and when to try again.
        if self._hearing.events_wait(now_s):
            return 0.0
        due = (
            self._look_at_s,
            self._reporter.publish_at_s,
            self._reporter.status_at_s,
            self._ping_at_s,
            self._hearing.due_s,
            self._parts.bus.retry_at_s,
        )
        times = [at_s for at_s in due if at_s is not None]
        return max(0.0, min(times) - now_s) if times else None
