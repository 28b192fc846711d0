# SPDX-License-Identifier: GPL-2.0-or-later
"""From memory/target written by dom0 to the decision published below data/balloon.

python3 -m tests.bench.reaction [COUNT] [--device]
"""

import statistics
import sys
import time

from tests.bench.daemon_under_test import BALLOON, HOME, running_daemon

BETWEEN_S = 0.25  # the daemon's own limit on how often it publishes is not what is measured


def main() -> None:
    count = next((int(word) for word in sys.argv[1:] if word.isdigit()), 200)
    device = "--device" in sys.argv
    seen_ms: list[float] = []
    with running_daemon("--mode", "observe", device=device) as bench:
        key = f"{BALLOON}/host_target_kb"
        bench.dom0.watch(key, "seen")
        bench.dom0.next_event()
        for number in range(count):
            wanted = 524288 + 4 * (number + 1)
            began_s = time.perf_counter()
            bench.dom0.write(f"{HOME}/memory/target", wanted)
            while True:
                bench.dom0.next_event()
                if bench.dom0.read(key) == str(wanted).encode():
                    break
            seen_ms.append((time.perf_counter() - began_s) * 1000)
            time.sleep(BETWEEN_S)
    seen_ms.sort()
    p99 = seen_ms[min(len(seen_ms) - 1, int(len(seen_ms) * 0.99))]
    way = "device" if device else "socket"
    print(
        f"reaction over a {way}, {count} times: median {statistics.median(seen_ms):.2f} ms, "
        f"p99 {p99:.2f} ms, most {seen_ms[-1]:.2f} ms"
    )


if __name__ == "__main__":
    main()
