# SPDX-License-Identifier: GPL-2.0-or-later
"""Coming back: the daemon with what was handed on, as if it had been there all the time.

`waiter` calls it. Nothing is imported before there is something in typing's place.
"""

from __future__ import annotations

import gc

from agent.lean import stay_lean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from agent.daemon.rest.state import Handed


def taken_up(state: int, ready: Collection[int]) -> Callable[[], int]:
    """What there is to go on with; calling it goes on, and gives the exit status.

    Args:
        state: the descriptor of what was handed on.
        ready: the descriptors that have ended the rest.

    Raises:
        StateError: what was handed on cannot be used.
        OSError: nor can a descriptor.
    """
    gc.disable()  # a tenth of the time, for nothing: what is loaded stays; the loop has it on again
    stay_lean()
    from agent.daemon.rest.state import MOST_BYTES, Handed, StateError, unpacked  # noqa: PLC0415

    with open(state, "rb") as file:
        handed = unpacked(file.read(2 * MOST_BYTES))
    if not isinstance(handed, Handed):
        raise StateError("what was handed on is no daemon's")
    return _assembled(handed, ready)


def _assembled(handed: Handed, ready: Collection[int]) -> Callable[[], int]:
    from agent.daemon.loop import Daemon  # noqa: PLC0415
    from agent.daemon.main import parts_for, serve  # noqa: PLC0415
    from agent.daemon.rest.state import take_up  # noqa: PLC0415

    started = handed.started
    parts = parts_for(started)
    parts.runtime.lock_descriptor = handed.lock  # this process took it, and so still holds it
    parts.link.resume(handed.xenstore)
    parts.wakeups.resume(handed.pressure, fired=handed.pressure in ready)
    daemon = Daemon(parts, handed.config)
    take_up(daemon, handed.kept)
    daemon.resume()

    def go_on() -> int:
        try:
            serve(daemon, parts, started)
        finally:
            parts.close()
        return 0

    return go_on
