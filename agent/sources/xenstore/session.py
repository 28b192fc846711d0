# SPDX-License-Identifier: GPL-2.0-or-later
"""A conversation with xenstore for the daemon's loop, a program of one thread.

    with XenstoreSession(default_path()) as xenstore:
        xenstore.watch("memory/target", "host-target")
        while True:
            while not xenstore.has_events():
                select.select([xenstore], [], [])
            xenstore.events()
            print(xenstore.read("memory/target"))

Every request ends within its deadline, by an answer, by `XenstoreRefused` or by `XenstoreLost`;
nothing else is raised. After `XenstoreLost` the session is closed, its watches are forgotten,
and `connect()` begins anew. Keys are relative, so they follow the domain through a migration.

One limit is the kernel's: over /dev/xen/xenbus a WATCH is carried out inside write(),
uninterruptibly. If xenstored dies in that moment the process waits until it is back. To make the
moment short, a request that has a deadline goes before it.

Relies on docs/design.md A27.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from agent.sources.xenstore.errors import XenstoreRefused, refusal
from agent.sources.xenstore.requests import KEY_CHARS, Requests, checked_key, names_in
from agent.sources.xenstore.router import LoopRouter
from agent.sources.xenstore.watches import Watches, WatchEvent
from agent.sources.xenstore.wire import NUL, Op

_Names = list[str]  # inside the class, `list` is a method
_Events = list[WatchEvent]
_MOST_TOKEN_CHARS: Final = 64


class XenstoreSession:
    """One connection to xenstore; not for several threads, and not to be used across fork()."""

    def __init__(self, path: str, timeout_s: float = 2.0) -> None:
        """Prepare a session; nothing is opened before `connect()`.

        Args:
            path: a unix socket or a xenbus device.
            timeout_s: what each request may take, in seconds.
        """
        self._watches = Watches()
        self._router = LoopRouter(path, timeout_s, self._watches)
        self._client = Requests(self._router)

    def __enter__(self) -> XenstoreSession:
        self.connect()
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def connect(self) -> None:
        """Open the connection; does nothing when it is open.

        Raises:
            DeviceMissing: there is no such path.
            DeviceDenied: this user may not open it.
            XenstoreUnreachable: any other reason; the two above are kinds of it.
        """
        self._router.start()

    @property
    def can_be_handed_on(self) -> bool:
        """Whether whoever goes on with the descriptor misses nothing: all that came was told."""
        return self.connected and self._router.is_between_packets and not self.has_news

    def adopt(self, descriptor: int, key: str, token: str) -> None:
        """Go on with a connection of an earlier program of this process, and the watch it has set.

        Raises:
            OSError: the descriptor is none.
        """
        self._router.adopt(descriptor)
        self._watches.add(key, token)

    def close(self) -> None:
        """Close the connection and forget the watches; never waits."""
        self._router.terminate()

    @property
    def connected(self) -> bool:
        """Whether the connection is open; that xenstored is alive shows in the next answer."""
        return self._router.is_connected

    def fileno(self) -> int:
        """The descriptor to poll for reading; another one after each `connect()`.

        A readable descriptor is one reason to call `events()`; having made a request is another,
        as events that arrived meanwhile no longer show there.

        Raises:
            XenstoreLost: not connected.
        """
        return self._router.fileno()

    @property
    def has_news(self) -> bool:
        """Whether an event came with what has been read so far."""
        return self._watches.any_due

    def end_by(self, at_s: float | None) -> None:
        """No request waits beyond that time (of the monotonic clock), however many there are."""
        self._router.until_s = at_s

    def call_meanwhile(self, call: Callable[[], float]) -> None:
        """While an answer is waited for, `call`; it says for how long not again, in seconds."""
        self._router.meanwhile = call

    def read(self, key: str) -> bytes:
        """The value of `key`, at most 4096 bytes, which may be any. To be distrusted."""
        return self._client.execute_command(Op.READ, checked_key(key, "read") + NUL)

    def write(self, key: str, value: bytes) -> None:
        """Set `key`, creating it and its parents; `value` may be any bytes, also none.

        xenstored takes 2048 bytes from a guest, a few of them for permissions.
        """
        self._client.execute_command(Op.WRITE, checked_key(key, "write") + NUL, value)

    def remove(self, key: str) -> None:
        """Remove `key` and all below it; no error when only `key` itself was absent."""
        self._client.execute_command(Op.RM, checked_key(key, "rm") + NUL)

    def watch(self, key: str, token: str) -> None:
        """From now on `events()` tells of changes at or below `key`, and at once of one.

        Raises:
            XenstoreRefused: with EEXIST when `token` is in use.
        """
        path = checked_key(key, "watch")
        word = _checked_token(token, key)
        if self._watches.key_of(token) is not None:
            raise refusal(b"EEXIST", f"watch {key} as {token}")
        self._ask_something(path)
        self._watches.add(key, token)  # first: the initial event may come before the answer
        try:
            self._client.execute_command(Op.WATCH, path + NUL, word + NUL)
        except XenstoreRefused:
            self._watches.discard(token)
            raise

    def events(self) -> _Events:
        """What has changed since the last call, each key and token once; never waits.

        Of a storm it takes in a bounded part; the rest keeps the descriptor readable.
        """
        self._router.collect()
        return self._watches.take()

    def has_events(self) -> bool:
        """Whether `events()` has one to tell, with what has just arrived; never waits."""
        self._router.collect()
        return self._watches.any_due

    def list(self, key: str) -> _Names:
        """The names of the keys directly below `key`.

        Raises:
            QuotaExceeded: they do not fit into one packet.
        """
        answer = self._client.execute_command(Op.DIRECTORY, checked_key(key, "directory") + NUL)
        return names_in(answer)

    def _ask_something(self, path: bytes) -> None:
        """Make sure xenstored answers before a request that cannot be given up."""
        if self._router.errno_is_answer:
            try:
                self._client.execute_command(Op.READ, path + NUL)
            except XenstoreRefused:
                pass  # that is an answer, too


def _checked_token(token: str, key: str) -> bytes:
    if not 0 < len(token) <= _MOST_TOKEN_CHARS or token.strip(KEY_CHARS + "."):
        raise refusal(b"EINVAL", f"watch {key} as {token[:64]!a}")
    return token.encode("ascii")
