# SPDX-License-Identifier: GPL-2.0-or-later
"""sd_notify(3): tells the service manager how things are; does nothing without one.

`_socket` is the half of `socket` that opens one; the other half makes enumerations of every number
there is and a selector, 0.4 MiB of them.
"""

from __future__ import annotations

import _socket
import os
import time
from collections.abc import Mapping
from typing import Final

from agent.core.facts.numbers import is_digits

LONGEST_S: Final = 90.0
"""Between two pings: without a watchdog, too, as it is then that xenstore is found to be dead."""
_STATUS_CHARS: Final = 200


class Notifier:
    """The socket in $NOTIFY_SOCKET; never waits, never raises."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        watchdog_s = _watchdog_s(environment) if name else None
        self.ping_every_s = LONGEST_S if watchdog_s is None else min(LONGEST_S, watchdog_s)

    def ready(self) -> None:
        """The daemon has looked at its domain once, or has read its configuration again."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The configuration is being read again."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        """The watchdog's ping."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send("STATUS=" + " ".join(text.split())[:_STATUS_CHARS])

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            sender = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
            try:
                sender.setblocking(False)
                sender.sendto(message.encode("utf-8", "backslashreplace"), self._address)
            finally:
                sender.close()
        except OSError:
            pass  # the service manager is there or not


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Half of what the service manager waits for a ping, as sd_watchdog_enabled(3) advises."""
    text, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not is_digits(text, 18) or int(text) == 0 or pid not in ("", str(os.getpid())):
        return None
    return int(text) / 2_000_000
