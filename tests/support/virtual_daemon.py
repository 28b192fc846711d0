# SPDX-License-Identifier: GPL-2.0-or-later
"""The real daemon's loop in virtual time: a simulated guest, and edges that fail when told to.

Everything between the edges is the daemon's own; its clock is the simulation's, so that an hour
of faults passes in a second and always in the same way.
"""

from __future__ import annotations

import errno
import math
import random
import time as real_time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final, cast
from unittest.mock import patch

from agent.core.account.situation import understand
from agent.core.policy.settings import PolicySettings
from agent.core.policy.use import NOTHING_SEEN
from agent.core.policy.view import floor_kib
from agent.daemon import link, loop, notify, parts, reporter, turn
from agent.daemon.config.effective import Config, Value
from agent.daemon.forget import forget
from agent.daemon.journal import Journal
from agent.daemon.link import REQUEST_S, Link
from agent.daemon.loop import Daemon
from agent.daemon.notify import Notifier
from agent.daemon.parts import Parts
from agent.daemon.rest.state import kept, packed, take_up, unpacked
from agent.daemon.runtime_directory import RuntimeDirectory
from agent.daemon.wakeups import Wakeups, Woken
from agent.sources.outcome import ABSENT, OK, Outcome
from agent.sources.system_root import SystemRoot
from agent.sources.xen_memory import TARGET_FILE
from agent.sources.xenstore.errors import KeyAbsent, KeyDenied, QuotaExceeded, XenstoreLost
from agent.sources.xenstore.session import XenstoreSession
from agent.sources.xenstore.watches import WatchEvent
from sim_backend.guest.domain import SimulatedDomain

LOOK_S: Final = 0.001  # what a look takes, unless told otherwise
IDLE_S: Final = 0.02  # at most: how long the daemon goes on is for the daemon to say
PING_S: Final = 90.0
RESTART_S: Final = 2.0
QUIET_S: Final = 10.0
_CLOCKED: Final = (link, loop, notify, parts, reporter, turn)


class Killed(BaseException):
    """The daemon's process is gone in this moment; raised by an edge."""


class Write:
    """One target written, with what was allowed at that moment."""

    def __init__(self, domain: SimulatedDomain, target_kib: int, settings: PolicySettings) -> None:
        situation = understand(domain.snapshot())
        self.when_s = domain.clock.now_s
        self.target_kib = target_kib
        self.aimed_kib = domain.target_kib
        self.current_kib = domain.current_kib
        self.lowest_kib = floor_kib(situation, settings, domain.current_kib, NOTHING_SEEN)
        self.static_max_kib = situation.snapshot.host.static_max_kib


class Root(SystemRoot):
    """The simulated guest's files.  `missing` and `garbage` replace what some of them say."""

    def __init__(self, domain: SimulatedDomain) -> None:
        super().__init__("/nonexistent")
        self.domain = domain
        self.settings = PolicySettings()
        self.refusal: int | None = None
        self.missing: set[str] = set()
        self.garbage: dict[str, bytes] = {}
        self.writes: list[Write] = []
        self.all_writes = 0
        self.breaks = False

    def read_bytes(self, relative: str, limit_bytes: int = 4096) -> Outcome[bytes]:
        if self.breaks and relative == "proc/uptime":
            raise MemoryError
        if relative in self.missing:
            return Outcome(None, ABSENT)
        if relative in self.garbage:
            return Outcome(self.garbage[relative][:limit_bytes], OK)
        if relative == TARGET_FILE:
            word = self.domain.target_kib % (1 << 64)  # below zero it wraps, as the kernel's does
            return Outcome(f"{word}\n".encode(), OK)  # read a thousand times
        text = self.domain.files().get(relative)
        return Outcome(None, ABSENT) if text is None else Outcome(text.encode(), OK)

    def names(self, relative: str) -> Outcome[tuple[str, ...]]:
        below = [n.removeprefix(f"{relative}/") for n in self.domain.files() if relative in n]
        names = tuple(sorted({name.split("/")[0] for name in below}))
        return Outcome(names, OK) if names else Outcome(None, ABSENT)

    def write(self, relative: str, text: str) -> None:
        self.all_writes += 1
        if self.refusal is not None:
            raise OSError(self.refusal, errno.errorcode[self.refusal], relative)
        if relative == TARGET_FILE:
            self.writes.append(Write(self.domain, int(text), self.settings))
        self.domain.write_file(relative, text)


class Session:
    """xenstore as the guest sees it.  `silent` answers nobody, `slow_s` each time after that long.

    `refusal` answers every write.
    """

    connected = False

    def __init__(self, domain: SimulatedDomain) -> None:
        self.domain = domain
        self.silent = False
        self.slow_s = 0.0
        self.refusal: str | None = None
        self.written = 0
        self.largest = 0
        self.until_s = float("inf")
        self.meanwhile: Callable[[], float] = lambda: REQUEST_S
        self._hung_up = False
        self._paths: dict[str, None] = {}
        domain.store.watch("memory", self._changed)

    def _changed(self, path: str) -> None:
        if self.connected:
            self._paths[path] = None

    def _answered(self) -> None:
        if not self.connected:
            raise XenstoreLost("not connected")
        self._check_end()
        clock = self.domain.clock
        answer_s = float("inf") if self.silent else clock.now_s + self.slow_s
        began_s = clock.now_s
        while clock.now_s < answer_s:
            deadline_s = min(began_s + REQUEST_S, self.until_s)  # a stop moves it
            if clock.now_s >= deadline_s:
                self.close()
                raise XenstoreLost("no answer")
            pause_s = max(0.001, self.meanwhile())
            clock.run_until(min(deadline_s, answer_s, clock.now_s + pause_s))

    def _check_end(self) -> None:
        if self._hung_up:
            self.close()
            raise XenstoreLost("closed by xenstored")

    def connect(self) -> None:
        self.connected = True

    def close(self) -> None:
        self.connected = self._hung_up = False
        self._paths.clear()

    def hang_up(self) -> None:
        """xenstored closes the connection."""
        self._hung_up = self.connected

    def fileno(self) -> int:
        return -1

    def call_meanwhile(self, call: Callable[[], float]) -> None:
        self.meanwhile = call

    def end_by(self, at_s: float | None) -> None:
        self.until_s = float("inf") if at_s is None else at_s

    def adopt(self, _descriptor: int, _key: str, _token: str) -> None:
        assert self.connected

    @property
    def can_be_handed_on(self) -> bool:
        return self.connected and not self._paths

    @property
    def has_news(self) -> bool:
        return bool(self._paths)

    def watch(self, key: str, _token: str) -> None:
        self._answered()
        self._paths[key] = None

    def has_events(self) -> bool:
        self._check_end()
        return bool(self._paths) and not self.silent

    def events(self) -> list[WatchEvent]:
        self._check_end()
        found = [WatchEvent(path, "memory") for path in self._paths]
        self._paths.clear()
        return found

    def read(self, key: str) -> bytes:
        self._answered()
        value = self.domain.store.read(key)
        if value is None:
            raise KeyAbsent("ENOENT", f"read {key}")
        return value.encode()

    def list(self, key: str) -> list[str]:
        self._answered()
        return [n.removeprefix(f"{key}/") for n in self.domain.store.items() if n.startswith(key)]

    def write(self, key: str, value: bytes) -> None:
        self._answered()
        if self.refusal is not None:
            kind = KeyDenied if self.refusal == "EACCES" else QuotaExceeded
            raise kind(self.refusal, f"write {key}")
        self.written += 1
        self.largest = max(self.largest, len(value))
        if not self.domain.store.guest_may_write(key):
            raise KeyDenied("EACCES", f"write {key}")
        self.domain.store.write(key, value.decode("ascii"))

    def remove(self, key: str) -> None:
        self._answered()
        if self.domain.store.read(key) is not None and not self.domain.store.guest_may_write(key):
            raise KeyDenied("EACCES", f"rm {key}")
        self.domain.store.remove(key)

    @property
    def shows(self) -> bool:
        """Whether its descriptor would be readable."""
        return self._hung_up or self.has_events()


class Sleep:
    """Wakes the daemon as poll(2) would, in virtual time."""

    SURVIVES_REST: Final = ("count",)

    def __init__(self, domain: SimulatedDomain, session: Session) -> None:
        self.count = 0
        self.has_pressure_trigger = True
        self._domain = domain
        self._session = session
        self._listens = False
        self._stalled = False
        domain.memory.on_stall = self._stall

    def _stall(self) -> None:
        self._stalled = self.has_pressure_trigger

    @property
    def pressure_descriptor(self) -> int | None:
        return 0 if self.has_pressure_trigger else None

    def listen_to(self, descriptor: int | None) -> None:
        self._listens = descriptor is not None

    def end_waits(self) -> bool:
        return False

    def watch_pressure(self, _trigger: int | None) -> None:
        pass

    def _ready(self) -> bool:
        return self._stalled or (self._listens and self._session.shows)

    def wait(self, timeout_s: float | None, until_s: float) -> Woken:
        """Sleep, at the latest until the end of the run."""
        clock = self._domain.clock
        due_s = until_s if timeout_s is None else min(until_s, clock.now_s + timeout_s)
        if not self._ready():
            clock.run_until(due_s, stop=self._ready)
        self.count += 1
        stalled, self._stalled = self._stalled, False
        return Woken((), self._listens and self._session.shows, stalled)


class Files:
    """The runtime directory; full when told so."""

    def __init__(self) -> None:
        self.problem: str | None = None
        self.full = False
        self.written = 0
        self.largest = 0

    def replace(self, _name: str, content: bytes) -> bool:
        self.problem = "/run: No space left on device" if self.full else None
        if not self.full:
            self.written += 1
            self.largest = max(self.largest, len(content))
        return not self.full


class Lines(Journal):
    """Keeps each line with its time."""

    def __init__(self, domain: SimulatedDomain) -> None:
        super().__init__(2)
        self._domain = domain
        self.lines: list[tuple[float, str]] = []

    def _write(self, priority: int, text: str) -> None:
        self.lines.append((self._domain.clock.now_s, text))


class Manager(Notifier):
    """A service manager that wants a ping."""

    def __init__(self, domain: SimulatedDomain) -> None:
        super().__init__({})
        self.ping_every_s = PING_S
        self.pings: list[float] = []
        self.ready_s: float | None = None
        self._domain = domain

    def ready(self) -> None:
        self.ready_s = self._domain.clock.now_s

    def alive(self) -> None:
        self.pings.append(self._domain.clock.now_s)


class VirtualDaemon:
    """The daemon and its edges; `run` lets virtual time pass.

    Whenever the daemon would go to rest, all of it is taken apart and made anew of what was handed
    on, unless `may_rest` is False.  With `peeks_idly` False it does not read the kernel's target
    again while nothing at all has happened: most of what a long search would spend its time on.
    """

    def __init__(
        self, domain: SimulatedDomain, policy: PolicySettings, profile: str = "auto"
    ) -> None:
        self.domain = domain
        self.root = Root(domain)
        self.root.settings = policy
        self.session = Session(domain)
        self.sleep = Sleep(domain, self.session)
        self.files = Files()
        self.lines = Lines(domain)
        self.manager = Manager(domain)
        self.sleep_gap_s = 0.0
        self.longest_turn_s = 0.0
        self.runs = False
        self.may_rest = True
        self.peeks_idly = True
        self.look_s = LOOK_S
        self.rests = 0
        self._chance = random.Random(0)
        values: dict[str, Value] = {"rest": "auto", "timing.quiet": QUIET_S}
        self._config = Config(policy, profile, values, {}, ())
        self.daemon = self._made()

    def _made(self) -> Daemon:
        connection = Link("/nonexistent")
        connection.session = cast("XenstoreSession", self.session)
        made = Parts(
            self.root,
            connection,
            cast("Wakeups", self.sleep),
            cast("RuntimeDirectory", self.files),
            self.lines,
            self.manager,
            lambda: self._config,
        )
        return Daemon(made, self._config)

    def _rest(self) -> None:
        """The daemon goes, and comes back with what it handed on."""
        handed = packed(kept(self.daemon))
        self.daemon = self._made()
        self.daemon._parts.link.resume(0)
        take_up(self.daemon, unpacked(handed))
        self.daemon.resume()
        self.rests += 1

    def restart(self) -> None:
        """Killed, and started by the service manager, again and again until it starts."""
        self.session.close()
        self.daemon = self._made()
        self.runs = False
        try:
            self.daemon.start()
        except (MemoryError, Killed):
            self._ended()
        else:
            self.runs = True

    def _ended(self) -> None:
        """Its process is gone; the service manager starts another one soon."""
        self.session.close()
        self.runs = False
        self.domain.clock.after(RESTART_S, self.restart)

    def start(self) -> None:
        with self.clock_of_the_domain():
            self.restart()

    def stop(self) -> None:
        """SIGTERM: the last words, and the end of the connection."""
        with self.clock_of_the_domain():
            self.daemon._part(self.domain.clock.now_s)
        self.session.close()
        self.runs = False

    def purge(self) -> None:
        """As the package's removal: a stop, then `run --forget`."""
        self.stop()
        self.session.connect()
        forget(cast("XenstoreSession", self.session), self.root, self.lines)
        self.session.close()

    def run(self, until_s: float) -> None:
        """Serve until that moment of the domain's clock."""
        clock = self.domain.clock
        with self.clock_of_the_domain():
            while clock.now_s < until_s:
                if not self.runs:
                    clock.run_until(until_s, stop=lambda: self.runs)
                    continue
                rest_s = self.daemon.rest_s(clock.now_s) if self.may_rest else None
                if rest_s is not None and rest_s <= clock.now_s:
                    self._rest()
                    rest_s = None
                timeout_s = self.daemon.timeout_s(clock.now_s)
                if rest_s is not None:
                    timeout_s = rest_s - clock.now_s
                elif not (self.peeks_idly or self.daemon._parts.link.news):
                    timeout_s = self._next_busy_s(timeout_s)
                self.sleep.listen_to(self.daemon._parts.link.descriptor)
                woken = self.sleep.wait(timeout_s, until_s)
                began_s = clock.now_s
                try:
                    self.daemon.serve(woken)
                except Killed:
                    self._ended()
                    continue
                self.longest_turn_s = max(self.longest_turn_s, clock.now_s - began_s)
                clock.run_until(clock.now_s + self.look_s)

    def _next_busy_s(self, timeout_s: float | None) -> float | None:
        """How long until the first thing is due that may find something new."""
        deadlines, now_s = self.daemon.deadlines, self.domain.clock.now_s
        if deadlines.peek is None or deadlines.first_s() != deadlines.peek:
            return timeout_s
        others = (deadlines._replace(peek=None).first_s(), self.domain.clock.next_event_s())
        idle_s = min(one - now_s for one in (*others, now_s + IDLE_S) if one is not None)
        peeks = math.floor((idle_s - LOOK_S / 2) / LOOK_S)
        return timeout_s if peeks <= 0 else peeks * LOOK_S

    @contextmanager
    def clock_of_the_domain(self) -> Iterator[None]:
        """Every module of the daemon that looks at the clock sees the domain's, and no chance.

        Nor does a turn collect its garbage: it would look through all that pytest has loaded.
        """
        clock = self.domain.clock
        fake: Any = SimpleNamespace(
            CLOCK_BOOTTIME=real_time.CLOCK_BOOTTIME,
            clock_gettime=lambda _number: clock.now_s + self.sleep_gap_s,
            gmtime=real_time.gmtime,
            monotonic=lambda: clock.now_s,
            monotonic_ns=lambda: int(clock.now_s * 1e9),
            sleep=lambda seconds: clock.run_until(clock.now_s + seconds),
            strftime=real_time.strftime,
            time=lambda: 1.7e9 + clock.now_s,
        )
        patches = [patch.object(module, "time", fake) for module in _CLOCKED]
        patches.append(patch.object(link, "os", SimpleNamespace(urandom=self._chance.randbytes)))
        nothing = SimpleNamespace(collect=int, freeze=int, enable=int)
        patches.append(patch.object(loop, "gc", nothing))
        for one in patches:
            one.start()
        try:
            yield
        finally:
            for one in patches:
                one.stop()
