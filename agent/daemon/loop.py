# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's loop: sleep, take a turn, report.

Words: a *peek* reads the kernel's target, a *look* the whole domain; a *turn* is a look and all
that follows from it.  It is bounded (every request to xenstore has a deadline, every read a size),
and nothing it meets ends the daemon: what goes wrong is told once, counted, and leaves the watchdog
without its ping.

Relies on docs/design.md A14.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Set
from typing import Any, Final

from agent.core.policy.history import wanted_kib
from agent.core.policy.reflex import CLOSE_EVERY_S, CLOSE_S
from agent.core.policy.settings import HOLDING_MODES
from agent.daemon import journal as j
from agent.daemon.config.effective import Config, ConfigError
from agent.daemon.deadlines import Deadlines
from agent.daemon.link import Down
from agent.daemon.parts import Parts
from agent.daemon.published_keys import LOOK_EVERY_S, parting_keys, profile_for
from agent.daemon.reporter import Basis, Reporter
from agent.daemon.turn import Turn
from agent.daemon.wakeups import Woken
from agent.sources.pressure_trigger import open_trigger

_BETWEEN_LOOKS_S: Final = 0.01
_AFTER_FAILURE_S: Final = 10.0
_BREATH_S: Final = 0.5
_FIRST_WORDS_S: Final = 8.0  # after CONNECT_S: a start has thirty, and tries again after it
_LAST_WORDS_S: Final = 2.0  # a stop has five seconds
_WAITS_S: Final = 0.25
_SHORTEST_REST_S: Final = 20.0  # coming back takes the time of some forty turns
_AWAKE_S: Final = 600.0


class Daemon:
    """One domain's daemon; `run` returns when a signal asks it to."""

    SURVIVES_REST: Final = (
        "_turn", "_reporter", "_link", "_wakeups", "_journal",
        "_look_s", "_looked_s", "_ping_s", "_busy_s", "_turns", "_failed_turns", "_rests",
    )  # fmt: skip

    def __init__(self, parts: Parts, config: Config) -> None:
        self.config = config
        self._parts = parts
        self._link, self._wakeups, self._journal = parts.link, parts.wakeups, parts.journal
        self._reporter = Reporter(parts.runtime, parts.say, parts.root)
        self._turn = Turn(parts, config.policy, self._reporter.log)
        self._stopping = False
        self._settled = False
        self._look_s: float | None = None
        self._looked_s = float("-inf")
        self._ping_s: float | None = None
        self._busy_s = float("-inf")
        self._rests = 0
        self._turns = 0
        self._failed_turns = 0
        parts.link.session.call_meanwhile(self._meanwhile)

    def start(self) -> None:
        """The first look and the first connection.

        Raises:
            NotXenError: there is no Xen domain here.
            DeviceMissing: there is no xenstore.
            DeviceDenied: there is, but not for this user.
        """
        self._busy_s = now_s = time.monotonic()
        self._check_pressure()
        link = self._link
        self._turn.observer.look(link, now_s)
        link.connect(now_s)
        if isinstance(link.state, Down):
            text = f"xenstore cannot be reached yet: {link.state.because}"
            self._parts.say(j.WARNING, "xenstore", text, 3)
        link.session.end_by(time.monotonic() + _FIRST_WORDS_S)
        self.turn({"start"})
        if not self._stopping:
            link.session.end_by(None)
        self._say_settings()
        self._parts.notifier.ready()
        self._ping_s = now_s + self._parts.notifier.ping_every_s
        self._tidy()

    def resume(self) -> None:
        """In place of `start` after a rest, with what survived it."""
        self._turn.resume()
        self._rests += 1

    def stay_awake(self) -> None:
        """It could not go to rest: not again for a while."""
        self._busy_s = time.monotonic() + _AWAKE_S

    def run(self) -> bool:
        """Serve until SIGTERM or SIGINT, or, which True says, until it is time to rest."""
        while not self._stopping:
            try:
                now_s = time.monotonic()
                timeout_s, rest_s = self.timeout_s(now_s), self.rest_s(now_s)
                if rest_s is not None:
                    timeout_s = rest_s - now_s
                self._wakeups.listen_to(self._link.descriptor)
                woken = self._wakeups.wait(timeout_s)
                if rest_s is not None and woken == Woken():
                    return True
                self.serve(woken)
            except Exception:  # noqa: BLE001 - as in `turn`
                self._stumbled()
        self._parts.notifier.stopping()
        now_s = time.monotonic()
        try:
            self._part(now_s)
            self._write_status(now_s)
        except MemoryError:
            pass  # to leave a stale status is no bad end
        return False

    def rest_s(self, now_s: float) -> float | None:
        """When to go to rest, if nothing happens before; None: not while this lasts."""
        if self.config.quiet_s is None or not self._link.may_rest:
            return None
        rest_s = max(now_s, self._busy_s + self.config.quiet_s)
        first_s = self.deadlines.first_s()
        return rest_s if first_s is None or first_s >= rest_s + _SHORTEST_REST_S else None

    @property
    def deadlines(self) -> Deadlines:
        """What is due when, unless something happens before."""
        return Deadlines(
            peek=self._turn.peek_s,
            look=self._look_s,
            link=self._link.due_s,
            ping=self._ping_s,
            publish=self._reporter.publish_at_s,
            status=self._reporter.status_at_s,
        )

    def timeout_s(self, now_s: float) -> float | None:
        """How long to sleep at most."""
        # Asking for events may find that the connection is gone, which is news, too.
        if self._link.has_events(now_s) or self._link.news:
            return 0.0
        first_s = self.deadlines.first_s()
        return None if first_s is None else max(0.0, first_s - now_s)

    def serve(self, woken: Woken) -> None:
        """Everything that has happened or is due after a sleep."""
        if woken.ends:
            self._stop()
            return
        now_s = time.monotonic()
        if woken != Woken():
            self._busy_s = now_s
        if "peek" in self.deadlines.due(now_s):
            self._peek(now_s)
        if woken.xenstore:
            self._await_kernel(now_s)
        due = self.deadlines.due(now_s)
        causes = self._causes(woken, due, now_s)
        good = self.turn(causes) if causes else True
        if "ping" in due:
            self._ping_s = now_s + self._parts.notifier.ping_every_s
            if good:  # a ping is earned by a good look, for which the host is asked as well
                self._parts.notifier.alive()
        if "reload" in causes:
            self._parts.notifier.ready()
        now_s = time.monotonic()
        due = self.deadlines.due(now_s)
        if "publish" in due:
            self._publish(now_s)
        if "status" in due:
            self._write_status(now_s)
        self._tidy()

    def turn(self, causes: Set[str]) -> bool:
        """One turn and its report; whether it went well.  Never raises."""
        now_s = time.monotonic()
        self._turns += 1
        try:
            self._take_turn(causes, now_s)
        except Exception as error:  # noqa: BLE001 - nothing a look meets may end the daemon
            self._failed_turns += 1
            self._look_s = now_s + _AFTER_FAILURE_S
            self._parts.say(j.ERROR, "turn", f"a look at the domain failed: {error!r}")
            return False
        self._journal.settled("turn")
        return True

    def _stumbled(self) -> None:
        """Something failed outside a look, or there was no memory even to say that one failed.

        Nothing is said here, as that may be what failed; the pause keeps a fault that lasts from
        taking the CPU.  The look that follows earns the watchdog's ping, or does not.
        """
        self._failed_turns += 1
        self._look_s = time.monotonic() + _AFTER_FAILURE_S
        time.sleep(_BREATH_S)

    def _causes(self, woken: Woken, due: Set[str], now_s: float) -> set[str]:
        """Every reason to take a turn now; what was consumed to find it is among them."""
        causes = {"timer"} if "look" in due else set()
        if woken.pressure:
            causes.add("pressure")
        if woken.reloads:
            self._reload()
            causes.add("reload")
        link = self._link
        if link.serve(now_s, shows=woken.xenstore):
            self._busy_s = now_s  # an event that has been read already wakes nobody
        if "ping" in due:
            link.ask(now_s)
            causes.add("watchdog")
        news = frozenset(link.news)
        link.news.clear()
        self._tell(news)
        return causes | news

    def _tell(self, news: Set[str]) -> None:
        """What has become of xenstore."""
        state = self._link.state
        if "xenstore-lost" in news and isinstance(state, Down):
            self._parts.say(j.WARNING, "xenstore", f"xenstore is lost: {state.because}", 3)
        if "reconnected" in news:
            self._reporter.publisher.forget()
            self._journal.settled("xenstore")
            self._parts.say(j.NOTICE, "xenstore-back", "xenstore is back", j.EVENT_BURST)

    def _await_kernel(self, now_s: float) -> None:
        """Let the kernel take a target first, for which it needs up to 60 ms.

        A look in the middle of that costs another batch or two: seen on a real Xen, 2.6 MiB an ask
        instead of 2.
        """
        until_s = now_s + CLOSE_S
        while not self._peek(now_s) and self._turn.guards and now_s < until_s:
            time.sleep(CLOSE_EVERY_S)
            now_s = time.monotonic()

    def _peek(self, now_s: float) -> bool:
        if not self._turn.peek(now_s):
            return False
        soonest_s = max(now_s, self._looked_s + _BETWEEN_LOOKS_S)
        self._look_s = soonest_s if self._look_s is None else min(self._look_s, soonest_s)
        return True

    def _meanwhile(self) -> float:
        """While xenstore is waited for: protection does not wait with it, nor does a stop."""
        if self._wakeups.end_waits() and not self._stopping:
            self._stop()
        if not self._turn.guards:
            return _WAITS_S
        now_s = time.monotonic()
        if self._link.session.has_news or "peek" in self.deadlines.due(now_s):
            self._peek(now_s)
        peek_s = self._turn.peek_s
        return _WAITS_S if peek_s is None else min(_WAITS_S, max(0.0, peek_s - now_s))

    def _stop(self) -> None:
        self._stopping = True
        self._link.session.end_by(time.monotonic() + _LAST_WORDS_S)

    def _take_turn(self, causes: Set[str], now_s: float) -> None:
        causes = causes | self._resumed(now_s)
        situation = self._turn.take(causes, now_s)
        self._looked_s = time.monotonic()
        self._look_s = self._next_look_s(now_s)
        self._reporter.note_rest(situation, self._turn.history, self._turn.settings, now_s)
        if self._link.is_up:
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
        first_s = min((at_s for at_s in wanted if at_s is not None), default=None)
        return None if first_s is None else max(first_s, now_s + _BETWEEN_LOOKS_S)

    def _resumed(self, now_s: float) -> set[str]:
        """After a resume or a migration, what is known of the host is of another one.

        The kernel then takes up memory/target by itself, as its watches are set up anew
        (drivers/xen/xenbus/xenbus_xs.c, xs_resume).
        """
        moved, slept = self._turn.was_moved(), self._turn.was_resumed()
        if not (moved or slept):
            return set()
        self._turn.start_afresh()
        self._reporter.moved()
        self._parts.say(j.NOTICE, "resumed", "the domain was resumed or moved; starting afresh", 3)
        if slept and not moved:
            self._link.while_up(self._link.read_all, now_s)
        return {"asked"}

    def _profile(self) -> str:
        return profile_for(self.config.profile, self._link.facts.toolstack)

    def _publish(self, now_s: float) -> None:
        turn, link = self._turn, self._link
        if turn.situation is None or not link.is_up:
            self._reporter.publish_at_s = None  # a connection that comes back is told everything
            return
        basis = Basis(self._profile(), turn.situation, turn.settings, turn.history, now_s)
        link.while_up(lambda: self._reporter.publish(link.session, basis), now_s)

    def _part(self, now_s: float) -> None:
        """Tell the host that this daemon stops."""
        turn, link = self._turn, self._link
        if turn.situation is None:
            return
        aim_kib = wanted_kib(turn.situation, turn.history)
        keys = parting_keys(self._profile(), turn.situation, turn.settings, aim_kib)
        link.while_up(lambda: self._reporter.publisher.part(link.session, keys), now_s)

    def _write_status(self, now_s: float) -> None:
        if self._turn.situation is None:
            return
        assessment = self._reporter.judged(self._turn.situation)
        self._reporter.write_status(assessment, self._condition(now_s), now_s)
        self._parts.notifier.status(self._turn.denial.banner or assessment.headline)

    def _condition(self, now_s: float) -> dict[str, Any]:
        """How the daemon is, for status.json."""
        link = self._link
        down = link.state if isinstance(link.state, Down) else None
        return {
            "stopped": self._stopping,
            "mode": self._turn.settings.mode,
            "configured_mode": self.config.policy.mode,
            "banner": self._turn.denial.banner,
            "config_files": list(self.config.files),
            "xenstore": f"host-silent: {down.because}" if down else "connected",
            "profile": self._profile(),
            "ticks": self._turns,
            "failed_ticks": self._failed_turns,
            "wakeups": self._wakeups.count,
            "rests": self._rests,
            "connections": link.connections,
            "look_again_in_s": None if self._look_s is None else self._look_s - now_s,
        }

    def _reload(self) -> None:
        self._parts.notifier.reloading()
        try:
            self.config = self._parts.reload()
        except (ConfigError, MemoryError) as error:
            why = str(error) or "there is too little memory to read it"
            self._parts.say(j.ERROR, "config", f"the configuration stays as it was: {why}", 5)
        else:
            self._turn.configured(self.config.policy)
            self._check_pressure()
            self._say_settings()

    def _check_pressure(self) -> None:
        """Be woken when memory gets short; sooner where there is something to be done about it."""
        soon = self.config.policy.mode in HOLDING_MODES
        self._wakeups.watch_pressure(open_trigger(self._parts.root, soon=soon))

    def _tidy(self) -> None:
        """After each waking.

        Python keeps freed tuples for later, up to 2000 of each length (Objects/tupleobject.c), and
        every look makes many: named tuples of all lengths.  Only a full collection gives them
        back, which by itself comes rarely, and looks at every object there is.  So those that
        came with the start are set aside once, when everything is loaded that will stay, and then
        a full collection costs microseconds.
        """
        gc.collect()
        if not self._settled:
            gc.freeze()
            gc.enable()  # off while the daemon comes back
            self._settled = True

    def _say_settings(self) -> None:
        files = ", ".join(self.config.files) or "no file, all defaults"
        text = f"mode {self._turn.settings.mode} ({files})"
        self._parts.say(j.INFO, "settings", text, j.EVENT_BURST)
