# SPDX-License-Identifier: GPL-2.0-or-later
"""Publishes a simulated domain as files and sockets, for a separate and unmodified process.

`python3 -m sim_backend.published` does it for a scenario; see `__main__`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from typing import Final, Protocol

from sim_backend.guest.store import DomainStore
from sim_backend.published.files import PublishedFiles
from sim_backend.published.store import StoreMirror
from sim_backend.xenstore.server import Server
from sim_backend.xenstore.store import Store

_REFRESH_S: Final = 0.25  # what follows no event (uptime, pressure) is at most that old
_BREATH_S: Final = 0.001
_FAST_BREATH_S: Final = 0.01  # however fast the story passes
_LATE_S: Final = 0.002
_RETRY_S: Final = 0.001  # a writer waits for a reader, who does not say when he is done


class Publishable(Protocol):
    """What a domain has to offer in order to be published."""

    store: DomainStore
    domid: int

    def files(self) -> Mapping[str, str]:
        """The kernel's files by path relative to the root."""
        ...

    def write_file(self, path: str, text: str) -> None:
        """Somebody wrote a kernel file; OSError with the errno the kernel would give."""
        ...

    def now_s(self) -> float: ...

    def advance_to(self, time_s: float) -> bool:
        """Let time pass up to `time_s`; whether anything happened since it was last told."""
        ...

    def next_event_s(self) -> float | None:
        """When something will happen next; None when nothing is planned."""
        ...


class PublishedDomain:
    """A domain below `directory`, which is made if need be.

    With a `server` it is one of several on a host, whose xenstored somebody else closes.

    Only for the main thread: leases are announced by a signal.  Making it raises OSError when
    the directory cannot be used, FileExistsError when it holds something else.
    """

    def __init__(
        self, domain: Publishable, directory: str, speed: float = 1.0, server: Server | None = None
    ) -> None:
        self.root = os.path.join(directory, "root")
        self._domain = domain
        self._speed = speed
        self._began_s = self._served_s = time.monotonic()
        self._breath_s = min(_FAST_BREATH_S, _BREATH_S * max(1.0, speed))
        self._domain_began_s = domain.now_s()
        self.is_held = False  # nothing happens in the domain, and no time passes for it
        # Below the root, for a reader may ask where what he opened lies (proc/self/fd).
        staging = os.path.join(self.root, ".staging")
        self._claim(directory, staging)
        self._owns_server = server is None
        self.server = Server(Store()) if server is None else server
        self._mirror = StoreMirror(self.server.store, domain.domid, domain.store)
        self.dom0_path = self.server.listen(os.path.join(directory, "dom0.sock"), 0)
        self.guest_path = self.server.listen(os.path.join(directory, "guest.sock"), domain.domid)
        self.xenbus_path = self.server.open_pty(domain.domid)
        self._files = PublishedFiles(self.root, staging, self._written)
        self._wake_r, self._wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup_before = signal.set_wakeup_fd(self._wake_w, warn_on_full_buffer=False)
        signal.signal(signal.SIGIO, lambda _number, _frame: None)  # a broken lease wakes the loop
        self._selector = selectors.DefaultSelector()
        for readable in (self.server, self._files, self._wake_r):
            self._selector.register(readable, selectors.EVENT_READ)
        self._publish()

    def _claim(self, directory: str, staging: str) -> None:
        """Begin with empty folders; what is in them goes only if it was published by us."""
        mark = os.path.join(directory, ".published")
        if os.path.lexists(self.root) and not os.path.exists(mark):
            raise FileExistsError(errno.EEXIST, "is there already and not ours", self.root)
        shutil.rmtree(self.root, ignore_errors=True)
        os.makedirs(staging)
        with open(mark, "w", encoding="ascii"):
            pass

    def paths(self) -> dict[str, str | int]:
        return {
            "root": self.root,
            "xenstore": self.guest_path,
            "dom0": self.dom0_path,
            "xenbus": self.xenbus_path,
            "domid": self._domain.domid,
        }

    def wake_on(self, fd: int) -> None:
        """End a step's wait when `fd` is readable, too."""
        self._selector.register(fd, selectors.EVENT_READ)

    def go(self) -> None:
        """The domain was held, and is no more."""
        self.is_held = False

    def destroyed(self) -> None:
        """Nothing of it is left in xenstore; its files stay as they were."""
        self._mirror.destroyed()

    def step(self, limit_s: float = _REFRESH_S) -> None:
        """Wait until something happens, at most `limit_s`; serve it and bring all up to date.

        Who asks the store for something does not wait for files that are as they were.
        """
        self._heed_server()
        pause_s = self._pause_s(limit_s)
        self._selector.select(pause_s)
        self._drain_wake()
        self._advance(pause_s)
        self.server.step(0)
        self._files.serve()
        self._advance()
        self._follow_the_domain()
        self.server.flush()
        if self._is_stale or time.monotonic() >= self._published_s + _REFRESH_S:
            self._publish()

    def close(self) -> None:
        """Close the sockets and remove them; the files stay."""
        self._selector.close()
        if self._owns_server:
            self.server.close()
        self._mirror.close()
        self._files.close()
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._wake_r)
        os.close(self._wake_w)

    def _heed_server(self) -> None:
        """Wait for the server's clients, but not while it would not serve them."""
        is_heeded = self.server.fileno() in self._selector.get_map()
        if self.server.is_stalled and is_heeded:
            self._selector.unregister(self.server)
        elif not self.server.is_stalled and not is_heeded:
            self._selector.register(self.server, selectors.EVENT_READ)

    def _pause_s(self, limit_s: float) -> float:
        if self._files.writer_waits:
            return _RETRY_S
        now_s, due_s = time.monotonic(), self._domain.next_event_s()
        pause_s = min(limit_s, self._published_s + _REFRESH_S - now_s)
        if due_s is not None:
            pause_s = min(pause_s, (due_s - self._present_s(now_s)) / self._speed)
        return max(pause_s, self._breath_s)

    def _present_s(self, now_s: float) -> float:
        return self._domain_began_s + (now_s - self._began_s) * self._speed

    def _drain_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_r, 4096)

    def _advance(self, paused_s: float = 0.0) -> None:
        """Let the domain's time pass; what this process was late by it does not notice.

        Who writes while this process has to wait for a processor would otherwise write after all
        that the domain did meanwhile.  So it stands still, as a guest without a processor does.
        """
        now_s = time.monotonic()
        passed_s = now_s - self._served_s
        late_s = passed_s if self.is_held else passed_s - paused_s - _LATE_S
        self._began_s += max(0.0, late_s)
        self._served_s = now_s
        self._is_stale |= self._domain.advance_to(self._present_s(now_s))

    def _follow_the_domain(self) -> None:
        """After a resume elsewhere, or a new xenstored, the guest has to connect again."""
        before, now = self._mirror.domid, self._domain.domid
        if now != before:
            self._mirror.move(now)
            self.server.move(before, now)
        elif self._mirror.everything_fired:
            self.server.drop_connections(now)
        self._mirror.everything_fired = False

    def _publish(self) -> None:
        self._is_stale = False
        self._published_s = time.monotonic()
        self._files.publish(self._domain.files())

    def _written(self, path: str, line: str) -> None:
        self._is_stale = True
        try:
            self._domain.write_file(path, line + "\n")
        except OSError as error:  # a kernel says it to the writer; here he is gone
            print(f"{path}: {line!r} refused: {error.strerror}", file=sys.stderr)  # noqa: T201
