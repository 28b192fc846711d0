# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast virtual time runs: a day of one guest, an hour of a thousand.

    python -m tests.bench.simulated_day [GUESTS]

Prints processor seconds, events per second and how much faster than the clock on the wall.
The limits are those the simulator promises: 1 s and 60 s on one core.
"""

from __future__ import annotations

import sys
import time

from tests.bench.rows import Row
from tests.support.fleet import Fleet, FleetPlan

DAY_S = 86400.0
HOUR_S = 3600.0
DAY_LIMIT_S = 1.0
FLEET_LIMIT_S = 60.0


def measure(title: str, plan: FleetPlan, agent: str, for_s: float) -> float:
    """Processor seconds of one run, printed with its ratios."""
    start_s = time.process_time()
    result = Fleet(plan, agent).run(for_s)
    took_s = time.process_time() - start_s
    guest_s = for_s * plan.guests
    print(
        f"{title:<44} {took_s:>7.2f} s  {result.events / took_s:>9,.0f} events/s  "
        f"{result.looks / took_s:>9,.0f} looks/s  {guest_s / took_s:>13,.0f} x real time"
    )
    return took_s


def processor_s(plan: FleetPlan, for_s: float) -> float:
    """Processor seconds of one run with the agent in mode follow."""
    start_s = time.process_time()
    Fleet(plan, "follow").run(for_s)
    return time.process_time() - start_s


def rows() -> list[Row]:
    """A day of one guest and an hour of a thousand, each with an agent in mode follow."""
    day_s = processor_s(FleetPlan(guests=1), DAY_S)
    fleet_s = processor_s(FleetPlan(guests=1000), HOUR_S)
    return [
        Row("a day of one guest", day_s, DAY_LIMIT_S, "s"),
        Row("that day / real time", DAY_S / day_s, None, "times as fast"),
        Row("an hour of 1,000 guests", fleet_s, FLEET_LIMIT_S, "s"),
        Row("those hours / real time", 1000 * HOUR_S / fleet_s, None, "times as fast"),
    ]


def main() -> int:
    """Measure; 1 when a limit is broken."""
    guests = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    one = FleetPlan(guests=1)
    many = FleetPlan(guests=guests)
    measure("a day of one guest, nobody looks", one, "none", DAY_S)
    day_s = measure("a day of one guest, mode follow", one, "follow", DAY_S)
    fleet_s = measure(f"an hour of {guests} guests, mode follow", many, "follow", HOUR_S)
    return 0 if day_s < DAY_LIMIT_S and fleet_s < FLEET_LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
