# SPDX-License-Identifier: GPL-2.0-or-later
"""Fuzzes one target in this process: `python -m tests.fuzz.one TARGET SECONDS SEED`."""

import importlib.util
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Final

CORPUS: Final = Path(__file__).parents[1] / "corpus"
FOUND: Final = Path(__file__).parent / "found"
LARGEST_BYTES: Final = 8192
GUIDED: Final = importlib.util.find_spec("atheris") is not None


def guide(name: str, seconds: float, seed: int) -> None:
    """Let libFuzzer find inputs that reach new code."""
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415

    with atheris.instrument_imports(include=["agent"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - instrumented here
    FOUND.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as learned:
        atheris.Setup(
            [
                name,
                f"-max_total_time={max(1, round(seconds))}",
                f"-max_len={LARGEST_BYTES}",
                f"-seed={seed}",
                f"-artifact_prefix={FOUND}/{name}-",
                "-timeout=10",
                "-verbosity=0",
                learned,
                str(CORPUS / name),
            ],
            TARGETS[name],
        )
        atheris.Fuzz()


def mutate(name: str, seconds: float, seed: int) -> None:
    """Change, cut, join and repeat inputs of the corpus at random."""
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - in the process that runs it

    rng = random.Random(seed)
    seeds = [file.read_bytes() for file in sorted((CORPUS / name).iterdir())]
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        raw = mutated(rng, seeds)
        try:
            TARGETS[name](raw)
        except Exception:  # noqa: BLE001 - that is what is sought
            traceback.print_exc()
            FOUND.mkdir(exist_ok=True)
            file = FOUND / f"{name}-{seed:x}"
            file.write_bytes(raw)
            print(f"{name}: the input is in {file}", file=sys.stderr)
            sys.exit(1)


def mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    """One input: some seed after one to eight changes."""
    raw = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 8)):
        where = rng.randint(0, len(raw))
        match rng.randrange(5):
            case 0:
                raw[where : where + 1] = rng.randbytes(1)
            case 1:
                del raw[where : where + rng.randint(1, 16)]
            case 2:
                raw[where:where] = rng.choice(
                    (b"\n", b" ", b":", b"-", b"0", b"\0", b"\x1b", b"9" * 20)
                )
            case 3:
                raw[where:where] = rng.choice(seeds)[: rng.randint(1, 64)]
            case _:
                raw[where:where] = raw[max(0, where - 32) : where]
    return bytes(raw[:LARGEST_BYTES])


if __name__ == "__main__":
    target, seconds_text, seed_text = sys.argv[1:]
    (guide if GUIDED else mutate)(target, float(seconds_text), int(seed_text))
