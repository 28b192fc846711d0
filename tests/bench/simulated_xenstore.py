# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast the simulated xenstored answers, beside Debian's real one in the same run.

    python3 -m tests.bench.simulated_xenstore [--json] [--requests N]

Rounds on the two daemons alternate, so that a busy machine slows both; what counts is the ratio.
Without the real daemon there is no ratio.  "in process" is the store without any socket.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median

from sim_backend.xenstore.server import Server
from sim_backend.xenstore.store import Store
from tests.support.simulated_xenstore import KeptSession, libxl_guest
from tests.support.xenstored import libxl_tree
from tests.support.xenstored.daemon import Xenstored, XenstoredMissing
from tests.support.xenstored.raw_client import RawClient

ROUNDS = 7
TARGET = "/local/domain/5/memory/target"
Work = Callable[[RawClient], object]


def _watched(client: RawClient) -> None:
    client.write(TARGET, b"524288")
    client.next_event()


def _commit(client: RawClient) -> None:
    tx = client.begin()
    client.write("/local/domain/5/data/x", b"1", tx)
    client.commit(tx)


WORK: dict[str, Work] = {
    "read": lambda client: client.read(TARGET),
    "write": lambda client: client.write("/local/domain/5/data/x", b"value"),
    "write to watch event": _watched,
    "transaction of one write": _commit,
}


def serve(path: str) -> None:
    """The simulated daemon as a process of its own, until its input ends."""
    server = Server(Store())
    server.store.create_domain(5)
    server.listen(path, 0)
    print("ready", flush=True)
    while True:
        server.step(None)


def rate(client: RawClient, work: Work, requests: int) -> float:
    """Requests per second of one client that waits for each answer."""
    began_s = time.perf_counter()
    for _ in range(requests):
        work(client)
    return requests / (time.perf_counter() - began_s)


def in_process(requests: int) -> dict[str, float]:
    """Operations per second of the store alone."""
    store = Store()
    libxl_guest(store)
    dom0, guest = KeptSession(store), KeptSession(store, 5)
    guest.watch("memory/target", "t")

    def watched() -> None:
        dom0.write(TARGET, b"524288")
        guest.take_events()

    found = {}
    for name, work in (("read", lambda: guest.read("memory/target")), ("write, watched", watched)):
        began_s = time.perf_counter()
        for _ in range(requests * 5):
            work()
        found[name] = requests * 5 / (time.perf_counter() - began_s)
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
    rates: dict[str, dict[str, list[float]]] = {name: {} for name in WORK}
    with ExitStack() as stack:
        clients = {"simulated": stack.enter_context(_simulated(stack))}
        try:
            daemon = stack.enter_context(Xenstored())
        except XenstoredMissing as missing:
            print(f"no ratio: {missing}", file=sys.stderr)
        else:
            clients["real"] = stack.enter_context(daemon.connect())
            daemon.introduce(5)
        for client in clients.values():
            libxl_tree.write_guest(client, libxl_tree.GuestConfig(5))
            client.watch(TARGET, "t")
            client.next_event()
        for _ in range(ROUNDS):
            for name, work in WORK.items():
                for which, client in clients.items():
                    rates[name].setdefault(which, []).append(rate(client, work, options.requests))
    result = {
        "requests_per_s": {
            name: {which: round(median(found)) for which, found in by_daemon.items()}
            for name, by_daemon in rates.items()
        },
        "ratio_to_real": {
            name: round(median(a / b for a, b in zip(found["simulated"], found["real"])), 3)
            for name, found in rates.items()
            if "real" in found
        },
        "in_process_per_s": {name: round(n) for name, n in in_process(options.requests).items()},
    }
    print(json.dumps(result) if options.json else json.dumps(result, indent=2))
    return 0


def _simulated(stack: ExitStack) -> RawClient:
    path = stack.enter_context(tempfile.TemporaryDirectory(prefix="xenstore-")) + "/socket"
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-m", "tests.bench.simulated_xenstore", "--serve", path],
            stdout=subprocess.PIPE,
        )
    )
    stack.callback(process.kill)
    assert process.stdout is not None
    process.stdout.readline()
    return RawClient(path)


if __name__ == "__main__":
    sys.exit(main())
