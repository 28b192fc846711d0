# SPDX-License-Identifier: GPL-2.0-or-later
"""All there is of the daemon while there is nothing to do: a poll, and the way back.

`handover` puts this program in the daemon's place, with execve(2), as

    python3 -I -S /proc/self/fd/CODE STATE TIMEOUT_MS PATH ARCHIVE FD:EVENTS,... COMMAND...

It sleeps on the descriptors until one of them is ready, a signal comes or the time is over. Then it
loads the daemon where PATH says, or from the one file ARCHIVE, and `resumption` goes on in the same
process with what STATE holds. If that cannot be, COMMAND starts the daemon afresh.

It has to be small, so it imports nothing that is not in the interpreter already: `_signal` is what
`signal` wraps in enumerations, `posix` what `os` adds to.

Relies on docs/design.md A27 and A28.
"""

import _signal  # type: ignore[import-not-found]
import posix
import select
import sys

SIGNALS = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP)
NAME = b"balloon-agent"  # by which `doctor` and administrators find it


def main(words: list[str]) -> None:
    """Sleep, and be the daemon again."""
    code, state, timeout_ms, path, archive, handed, *command = words
    posix.close(int(code.rpartition("/")[2]))
    _call_it(NAME)
    pairs = [pair.split(":") for pair in handed.split(",")]
    events = {int(descriptor): int(wanted) for descriptor, wanted in pairs}
    ready = wait(int(timeout_ms), events)
    for descriptor in (int(state), *events):
        posix.set_inheritable(descriptor, False)
    try:
        _find_modules(path, archive)
        from agent.daemon.rest.resumption import taken_up  # noqa: PLC0415

        go_on = taken_up(int(state), ready)
    except Exception as error:  # noqa: BLE001 - whatever it is, a new start is as good
        posix.write(2, f"<5>the daemon cannot go on and starts afresh: {error!r}\n".encode())
        posix.execv(sys.executable, command)
    sys.exit(go_on())


def wait(timeout_ms: int, events: dict[int, int]) -> list[int]:
    """Sleep until something happens; the descriptors that are ready.

    Signals are blocked before and after. Those that came are sent once more, for whoever goes on:
    they stay pending through an execve(2), too.
    """
    heard, tells = posix.pipe2(posix.O_NONBLOCK | posix.O_CLOEXEC)
    for number in SIGNALS:
        _signal.signal(number, _noted)
    _signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
    poll = select.poll()
    poll.register(heard, select.POLLIN)
    for descriptor, wanted in events.items():
        if wanted:
            poll.register(descriptor, wanted)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, SIGNALS)
    ready = [descriptor for descriptor, _ in poll.poll(timeout_ms)]
    _signal.pthread_sigmask(_signal.SIG_BLOCK, SIGNALS)
    _signal.set_wakeup_fd(-1)
    try:
        came = posix.read(heard, 512)
    except BlockingIOError:
        came = b""
    posix.close(heard)
    posix.close(tells)
    for number in came:
        posix.kill(posix.getpid(), number)
    return [descriptor for descriptor in ready if descriptor != heard]


def _noted(_number: int, _frame: object) -> None:
    """The byte in the pipe says it all."""


def _call_it(name: bytes) -> None:
    """The kernel calls a process by the file it runs, which would be python3."""
    try:
        comm = posix.open("/proc/self/comm", posix.O_WRONLY | posix.O_CLOEXEC)
    except OSError:
        return
    posix.write(comm, name)
    posix.close(comm)


def _find_modules(path: str, archive: str) -> None:
    """Find modules where the daemon found its own: with `-S` nothing else is looked at."""
    sys.path[:] = path.split(":")
    if archive:
        import zipimport  # noqa: PLC0415

        front = {"__name__": "front"}  # not __main__, which would run the program
        exec(zipimport.zipimporter(archive).get_code("__main__"), front)  # noqa: S102 - our own
        front["use_compiled_modules"](archive)  # type: ignore[operator]


if __name__ == "__main__":
    main(sys.argv)
