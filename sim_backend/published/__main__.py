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
import sys
from collections.abc import Callable, Sequence

from agent.core.facts.units import MIB_KIB
from sim_backend.host.libxl import ToolstackError
from sim_backend.published.domain import PublishedDomain
from sim_backend.published.standard_input import CommandLines, ending_signals, speed_factor
from sim_backend.stories import catalogue
from sim_backend.stories.scenario import Stage


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish the scenario that the command line names, until told to end."""
    parser = argparse.ArgumentParser(prog="python3 -m sim_backend.published")
    parser.add_argument("scenario")
    parser.add_argument("directory")
    parser.add_argument("--speed", type=speed_factor, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held", action="store_true")
    options = parser.parse_args(arguments)
    try:
        scenario = catalogue.load(options.scenario)
    except KeyError:
        parser.error(f"no such scenario; there are: {', '.join(catalogue.scenario_names())}")
    ended = ending_signals()
    stage = scenario.build(options.seed)
    try:
        published = PublishedDomain(stage.domain, options.directory, options.speed)
    except OSError as error:
        print(f"{options.directory}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    published.is_held = options.held
    lines = CommandLines(sys.stdin)
    if lines.is_read:
        published.wake_on(lines.fd)
    print(json.dumps(published.paths()), flush=True)  # noqa: T201
    while not ended and not lines.ended:
        published.step()
        for words in lines.taken():
            _do(words, stage, published)
    published.close()
    return 0


def _do(words: list[str], stage: Stage, published: PublishedDomain) -> None:
    word, *rest = words
    server = published.server
    known: dict[str, Callable[[], None]] = {
        "go": published.go,
        "stall": server.stall,
        "resume": server.resume,
        "drop": server.drop_connections,
        "stop": server.stop,
        "start": server.start,
    }
    if word == "mem-set" and len(rest) == 1 and rest[0].isdecimal():
        try:
            stage.toolstack.mem_set(stage.domain, int(rest[0]) * MIB_KIB)
        except ToolstackError as error:
            print(error, file=sys.stderr)  # noqa: T201
    elif word in known and not rest:
        known[word]()
    else:
        print(f"no such command: {' '.join(words)}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
