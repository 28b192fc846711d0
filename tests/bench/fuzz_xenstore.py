# SPDX-License-Identifier: GPL-2.0-or-later
"""A million bad packets, then a million watch events, against one process's xenstore session.

    python -m tests.bench.fuzz_xenstore [--packets N] [--seed N]

Prints what became of the packets, and how much memory and CPU the session took. Any exception
that is not the session's own ends the run with a traceback; so does growth beyond a mebibyte.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections import Counter

from agent.sources.xenstore.errors import XenstoreError
from agent.sources.xenstore.session import XenstoreSession
from agent.sources.xenstore.watches import WatchEvent
from tests.support.scripted_peer import ScriptedPeer
from tests.support.xenstored.raw_client import HEADER, WATCH, WATCH_EVENT

PACKETS_PER_ROUND = 40
ADDRESS_SPACE_BYTES = 64 << 20
MOST_GROWTH_KIB = 1024
PAYLOADS = (
    b"OK\0", b"ENOENT\0", b"EQUOTA\0", b"memory/target\0t\0", b"memory/target/x\0t\0more\0",
    b"/\0t\0", b"memory/target\0u\0", b"memory/target", b"\0", b"", b"\xff" * 60, b"x" * 4096,
)  # fmt: skip


def status_kib(field: str) -> int:
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    raise LookupError(field)


def random_packet(rng: random.Random) -> bytes:
    """Mostly well-framed nonsense, so that the stream survives long enough to be tested."""
    if rng.random() < 0.002:
        return rng.randbytes(rng.randrange(1, 40))
    op = WATCH_EVENT if rng.random() < 0.5 else rng.randrange(23)
    op = rng.getrandbits(32) if rng.random() < 0.001 else op
    rq_id = rng.randrange(3) if rng.random() < 0.1 else rng.getrandbits(32)
    payload = rng.choice(PAYLOADS)
    size = len(payload) if rng.random() > 0.002 else rng.getrandbits(rng.choice((4, 12, 32)))
    return HEADER.pack(op, rq_id, rng.choice((0, 0, 0, 7)), size) + payload


def connect(peer: ScriptedPeer) -> XenstoreSession:
    """A fresh session with one watch."""
    session = XenstoreSession(peer.path, timeout_s=0.001)
    session.connect()
    peer.accept()
    peer.packet(WATCH, b"OK\0", 1)
    session.watch("memory/target", "t")
    return session


def ask(session: XenstoreSession, rng: random.Random) -> str:
    """One call of the session, and what became of it."""
    try:
        way = rng.randrange(4)
        if way == 0:
            session.read("memory/target")
        elif way == 1:
            session.write("data/x", b"\xff")
        else:
            events = session.events()
            assert len(events) <= 70
            assert all(isinstance(event, WatchEvent) for event in events)
    except XenstoreError as error:
        return type(error).__name__
    return "answered"


def fuzz(peer: ScriptedPeer, packets: int, seed: int) -> None:
    """Send nonsense and ask on; connect anew when the session gave up."""
    rng = random.Random(seed)
    outcomes: Counter[str] = Counter()
    sessions = 1
    session = connect(peer)
    before_kib = status_kib("RssAnon")
    begin_s = time.process_time()
    for _ in range(packets // PACKETS_PER_ROUND):
        try:
            for _ in range(PACKETS_PER_ROUND):
                peer.send(random_packet(rng))
        except OSError:
            outcomes["peer's send failed"] += 1
        outcomes[ask(session, rng)] += 1
        if not session.connected:
            session = connect(peer)
            sessions += 1
    session.close()
    report("nonsense", packets, before_kib, time.process_time() - begin_s)
    print(f"  {sessions} sessions; calls: " + ", ".join(f"{n} {w}" for w, n in outcomes.items()))


def storm(peer: ScriptedPeer, packets: int) -> None:
    """Send events of one live watch, each with another path, as fast as they are taken."""
    session = connect(peer)
    before_kib = status_kib("RssAnon")
    begin_s = time.process_time()
    sent = calls = most = 0
    while sent < packets:
        try:
            while sent < packets:
                peer.event(b"memory/target/%d" % (sent % 1000), b"t")
                sent += 1
        except BlockingIOError:
            pass
        most = max(most, len(session.events()))
        calls += 1
    session.close()
    report("storm", packets, before_kib, time.process_time() - begin_s)
    print(f"  {calls} calls of events(), of at most {most} events each")


def report(name: str, packets: int, before_kib: int, cpu_s: float) -> None:
    growth_kib = status_kib("RssAnon") - before_kib
    print(
        f"{name}: {packets} packets, {cpu_s * 1e6 / packets:.1f} us each with the peer's own"
        f" share, memory {growth_kib:+d} KiB"
    )
    if growth_kib > MOST_GROWTH_KIB:
        raise SystemExit(f"{name}: more than {MOST_GROWTH_KIB} KiB of growth")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    # An allocation by a length that the peer claims would be refused.
    limit = status_kib("VmSize") * 1024 + ADDRESS_SPACE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with ScriptedPeer() as peer:
        fuzz(peer, arguments.packets, arguments.seed)
        storm(peer, arguments.packets)


if __name__ == "__main__":
    main()
