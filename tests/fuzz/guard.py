# SPDX-License-Identifier: GPL-2.0-or-later
"""Searches for a schedule of the host's that breaks what mode guard promises.

    python3 -m tests.fuzz.guard [--runs N] [--first N]

The real policy and loop beside a simulated guest, in virtual time.  Host writes of every kind, by
chance: targets (the same again, too), lowered and moving maxima, garbage; writes to target_kb that
fail; another domain number; a daemon that is slow.  The judge knows nothing of the policy: nothing
is killed, and after any number of asks the guest is never further below the floor published before
them than ASK_KIB for each, where those that ask for more than the floor count as none.  A workload
that stays as it is is part of it: a floor is of what is in use.  And of the guest's size, as a part
of that is kept as air: the judge counts that part of the size at the floor.
"""

from __future__ import annotations

import argparse
import errno
import math
import random
import sys
from typing import Final, NamedTuple

from agent.core.account.headroom import least_kib
from agent.core.policy.settings import PolicySettings
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.host.libxl import Libxl, ToolstackError, simple_guest
from sim_backend.hypervisor import Host
from tests.support.virtual_daemon import VirtualDaemon

MIB: Final = 1024
ASK_KIB: Final = 4 * MIB
REFUSED_KIB_S: Final = 2 * MIB / 0.0112  # what the driver takes in a second, where nothing holds it
QUIET_S: Final = 20.0
LOOKS_S: Final = (0.001, 0.001, 0.003, 0.008)  # the longest that was measured of the real daemon
PAUSES_S: Final = ((0.001, 0.03, 0.1, 0.5, 1.0, 3.0, 7.0), (0.1,), (1.0,))
MARGIN_KIB: Final = 64 * MIB  # between memory/target and what the kernel makes of it, at most
LASTS_S: Final = 60.0
SETTLES_S: Final = 10.0
SEEN_EVERY_S: Final = 0.05
GARBAGE: Final = ("0x80000", "", "abc", "-1", "0", "1", str(1 << 54), str((1 << 64) - 1))


class Outcome(NamedTuple):
    """How one run ended: how far below its floor the guest was, and how far it might have been."""

    asks: int  # for less than the floor
    floor_kib: int
    lowest_kib: int
    allowed_kib: int
    kills: int

    @property
    def broken(self) -> bool:
        """Whether the promise was broken."""
        return self.kills > 0 or self.floor_kib - self.lowest_kib > self.allowed_kib


def run(number: int) -> Outcome:
    """One schedule, always the same for its number."""
    chance = random.Random(number)
    memory_mib = chance.choice([512, 1024, 2048])
    toolstack, domain = simple_guest(
        domain_type=chance.choice(["pv", "pvh"]),
        memory_kib=memory_mib * MIB,
        maxmem_kib=2 * memory_mib * MIB,
    )
    domain.change_workload(anon_kib=int(memory_mib * chance.uniform(0.2, 0.6)) * MIB)
    virtual = VirtualDaemon(domain, PolicySettings(mode="guard"))
    virtual.peeks_idly = False
    virtual.look_s = chance.choice(LOOKS_S)
    clock, start_s = domain.clock, domain.clock.now_s
    virtual.start()
    virtual.run(start_s + QUIET_S)
    floor_kib = min(int(domain.store.read("data/balloon/floor_kb") or 0), _floor_there_kib(domain))
    lowest_kib, asks, failed_s = domain.current_kib, 0, 0.0
    when_s = clock.now_s

    def see() -> None:
        nonlocal lowest_kib
        lowest_kib = min(lowest_kib, domain.current_kib)

    clock.every(SEEN_EVERY_S, see)
    pauses_s = chance.choice(PAUSES_S)
    for _ in range(chance.randint(1, 20)):
        when_s += chance.choice(pauses_s)
        virtual.run(when_s)
        see()
        asks += _something(chance, toolstack, virtual, memory_mib) < floor_kib + MARGIN_KIB
        if virtual.root.refusal is not None:
            fails_s = chance.choice([0.005, 0.02, 0.05])
            when_s += fails_s
            virtual.run(when_s)
            virtual.root.refusal = None
            failed_s += fails_s + 0.05  # the last try before may have been long ago
    virtual.run(max(clock.now_s + SETTLES_S, start_s + LASTS_S))
    see()
    allowed_kib = int(asks * ASK_KIB + failed_s * REFUSED_KIB_S)
    return Outcome(asks, floor_kib, lowest_kib, allowed_kib, domain.memory.oom_kills)


def _floor_there_kib(domain: SimulatedDomain) -> int:
    """What is in use and its air when the guest is that small; not below its size's minimum."""
    floor_kib = domain.current_kib
    in_use_kib = floor_kib - domain.memory.available_kib
    for _ in range(8):
        total_kib = domain.memory.managed_kib - domain.current_kib + floor_kib
        floor_kib = max(in_use_kib + max(16 * MIB, total_kib // 20), least_kib(floor_kib))
    return floor_kib


def _something(
    chance: random.Random, toolstack: Libxl, virtual: VirtualDaemon, memory_mib: int
) -> float:
    """Something the host does; how small it wants the guest, in KiB; infinity: it asks nothing."""
    domain = virtual.domain
    what = chance.choice(["mem-set", "raw", "again", "garbage", "static-max", "domid", "refuse"])
    if what == "mem-set":
        size_kib = chance.randint(memory_mib // 5, memory_mib * 11 // 10) * MIB
        try:
            toolstack.mem_set(domain, size_kib)
        except ToolstackError:  # xl reads what is there, and does not like it
            return math.inf
        return size_kib
    if what == "raw":
        domain.store.write("memory/target", str(chance.randint(100, memory_mib) * MIB))
    elif what == "again":
        domain.store.write("memory/target", domain.store.read("memory/target") or "0")
    elif what == "garbage":
        domain.store.write("memory/target", chance.choice(GARBAGE))
    elif what == "static-max":
        domain.store.write("memory/static-max", str(chance.randint(100, 2 * memory_mib) * MIB))
        return math.inf
    elif what == "domid":
        toolstack.migrate(domain, Host())  # every watch fires: the kernel takes its target again
    else:
        virtual.root.refusal = errno.EIO
        domain.store.write("memory/target", str(chance.randint(100, memory_mib // 2) * MIB))
    asked = domain.store.read("memory/target") or ""
    return int(asked) if asked.isdecimal() and asked not in GARBAGE else 0


def main() -> int:
    """Play and tell; 1 when the promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    broken, deepest_kib, kills = 0, 0, 0
    for number in range(given.first, given.first + given.runs):
        outcome = run(number)
        kills += outcome.kills
        below_kib = outcome.floor_kib - outcome.lowest_kib
        deepest_kib = max(deepest_kib, below_kib // max(1, outcome.asks))
        if outcome.broken:
            broken += 1
            print(f"run {number}: {outcome}")
    print(f"{given.runs} runs, {broken} broken, {kills} kills, {deepest_kib} KiB an ask at most")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
