# SPDX-License-Identifier: GPL-2.0-or-later
"""Fuzzes one target in this process: `python -m tests.fuzz.one TARGET SECONDS INPUTS SEED`.

Ends after SECONDS, or after INPUTS if that is not 0.  A target breaks by any exception that is not
its own, by an input that takes too long, and by memory that grows.
"""

from __future__ import annotations

import gc
import importlib.util
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Final

CORPUS: Final = Path(__file__).parents[1] / "corpus"
FOUND: Final = Path(__file__).parent / "found"
LARGEST_BYTES: Final = 8192
HANG_S: Final = 10  # of the processor's time, whoever else wants it
BLOCKED_S: Final = 300
GROWTH_KIB: Final = 4096
WARM_INPUTS: Final = 1000
GUIDED: Final = importlib.util.find_spec("atheris") is not None


def guide(name: str, seconds: float, inputs: int, seed: int) -> None:
    """Let libFuzzer find inputs that reach new code."""
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415

    with atheris.instrument_imports(include=["agent"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - instrumented here
    FOUND.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as learned:
        atheris.Setup(
            [
                name,
                f"-runs={inputs}" if inputs else f"-max_total_time={max(1, round(seconds))}",
                f"-max_len={LARGEST_BYTES}",
                f"-seed={seed}",
                f"-artifact_prefix={FOUND}/{name}-",
                f"-timeout={HANG_S}",
                "-verbosity=0",
                learned,
                str(CORPUS / name),
            ],
            TARGETS[name],
        )
        atheris.Fuzz()


def mutate(name: str, seconds: float, inputs: int, seed: int) -> None:
    """Change, cut, join and repeat inputs of the corpus at random; make some up altogether."""
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - in the process that runs it

    rng = random.Random(seed)
    seeds = [file.read_bytes() for file in sorted((CORPUS / name).iterdir())]
    signal.signal(signal.SIGPROF, _hangs)
    signal.signal(signal.SIGALRM, _hangs)
    end_s = time.monotonic() + seconds
    tried = warm_kib = 0
    while tried < inputs if inputs else time.monotonic() < end_s:
        raw = mutated(rng, seeds) if rng.random() < 0.9 else rng.randbytes(rng.randrange(300))
        signal.setitimer(signal.ITIMER_PROF, HANG_S)
        signal.alarm(BLOCKED_S)
        try:
            TARGETS[name](raw)
        except Exception:  # noqa: BLE001 - that is what is sought
            traceback.print_exc()
            FOUND.mkdir(exist_ok=True)
            file = FOUND / f"{name}-{seed:x}"
            file.write_bytes(raw)
            print(f"{name}: the input is in {file}", file=sys.stderr)
            sys.exit(1)
        tried += 1
        if tried == WARM_INPUTS:
            warm_kib = anonymous_kib()
    grown_kib = anonymous_kib() - warm_kib if warm_kib else 0
    print(f"{tried} inputs, {grown_kib:+d} KiB")
    if grown_kib > GROWTH_KIB:
        sys.exit(f"{name}: grew by {grown_kib} KiB")


def _hangs(_number: int, _frame: object) -> None:
    raise TimeoutError(f"it works for {HANG_S} s, or waits for {BLOCKED_S} s")


def anonymous_kib() -> int:
    """What this process has of memory of its own, when all is put away."""
    gc.collect()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


def mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    """One input: some seed after one to eight changes."""
    raw = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 8)):
        where = rng.randint(0, len(raw))
        way = rng.randrange(5)
        if way == 0:
            raw[where : where + 1] = rng.randbytes(1)
        elif way == 1:
            del raw[where : where + rng.randint(1, 16)]
        elif way == 2:
            raw[where:where] = rng.choice(
                (b"\n", b" ", b":", b"-", b"0", b"\0", b"\x1b", b"9" * 20)
            )
        elif way == 3:
            raw[where:where] = rng.choice(seeds)[: rng.randint(1, 64)]
        else:
            raw[where:where] = raw[max(0, where - 32) : where]
    return bytes(raw[:LARGEST_BYTES])


if __name__ == "__main__":
    target, seconds_text, inputs_text, seed_text = sys.argv[1:]
    (guide if GUIDED else mutate)(target, float(seconds_text), int(inputs_text), int(seed_text))
