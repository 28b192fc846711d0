# SPDX-License-Identifier: GPL-2.0-or-later
"""The program that publishes a scenario's domain.

    python3 -m sim_backend.published SCENARIO DIR [--speed FACTOR] [--seed N] [--held]

prints one line of JSON when everything is there:

    {"root": "DIR/root", "xenstore": "DIR/guest.sock", "dom0": "DIR/dom0.sock",
     "xenbus": "/dev/pts/7", "domid": 1}

`balloon-agent --root DIR/root --xenstore DIR/guest.sock` then lives in that domain, and
`XENSTORED_PATH=DIR/dom0.sock xenstore-ls` is dom0's view of it.  `xenbus` is a terminal that
stands for the guest's /dev/xen/xenbus.  The story passes in real time, FACTOR times as fast; with
--held it begins when told to.  Ends on SIGTERM, SIGINT, or the end of standard input, from which it
takes one command a line:

    go             a story that was held begins
    mem-set MIB    xl mem-set
    stall          xenstored answers nobody, as if it were stopped
    resume         ends that
    drop           xenstored closes every connection
    stop           xenstored dies
    start          and comes back with the same store
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import stat
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from sim_backend.host.libxl import ToolstackError
from sim_backend.published.domain import PublishedDomain
from sim_backend.stories import catalogue
from sim_backend.stories.scenario import Stage

_MIB_KIB = 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish the scenario that the command line names, until told to end."""
    parser = argparse.ArgumentParser(prog="python3 -m sim_backend.published")
    parser.add_argument("scenario")
    parser.add_argument("directory")
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held", action="store_true")
    options = parser.parse_args(arguments)
    try:
        scenario = catalogue.load(options.scenario)
    except KeyError:
        parser.error(f"no such scenario; there are: {', '.join(catalogue.scenario_names())}")
    if not options.speed > 0:
        parser.error("the speed must be above 0")
    ended: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        ended.append(number)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    stage = scenario.build(options.seed, scenario.name)
    try:
        published = PublishedDomain(stage.domain, options.directory, options.speed)
    except OSError as error:
        print(f"{options.directory}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    published.is_held = options.held
    commands = Commands(sys.stdin.fileno(), stage, published)
    print(json.dumps(published.paths()), flush=True)  # noqa: T201
    while not ended and not commands.ended:
        published.step()
        commands.serve()
    published.close()
    return 0


class Commands:
    """Standard input, as far as it is a pipe, a socket or a terminal."""

    def __init__(self, fd: int, stage: Stage, published: PublishedDomain) -> None:
        server = published.server
        self.ended = False
        self._stage = stage
        self._fd = fd
        self._pending = b""
        self._words: dict[str, Callable[[], None]] = {
            "go": published.go,
            "stall": server.stall,
            "resume": server.resume,
            "drop": server.drop_connections,
            "stop": server.stop,
            "start": server.start,
        }
        mode = os.fstat(fd).st_mode
        self._is_read = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd)
        if self._is_read:
            published.wake_on(fd)

    def serve(self) -> None:
        """Do what has been said since the last time."""
        while self._is_read and not self.ended and select.select([self._fd], [], [], 0)[0]:
            data = os.read(self._fd, 4096)
            self.ended = not data
            *lines, self._pending = (self._pending + data).split(b"\n")
            for line in lines:
                self._do(line.decode("utf-8", "replace").split())

    def _do(self, words: list[str]) -> None:
        if not words:
            return
        word, *rest = words
        if word == "mem-set" and len(rest) == 1 and rest[0].isdecimal():
            try:
                self._stage.toolstack.mem_set(self._stage.domain, int(rest[0]) * _MIB_KIB)
            except ToolstackError as error:
                print(error, file=sys.stderr)  # noqa: T201
        elif word in self._words and not rest:
            self._words[word]()
        else:
            print(f"no such command: {' '.join(words)}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
