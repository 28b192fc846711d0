# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/pressure/memory: how much time is lost for want of memory (PSI).

    some avg10=0.00 avg60=0.00 avg300=0.00 total=0
    full avg10=0.00 avg60=0.00 avg300=0.00 total=0

Documentation/accounting/psi.rst; Linux 4.20 and later, off with CONFIG_PSI_DEFAULT_DISABLED
until booted with `psi=1`: then the file is missing, or opening it gives EOPNOTSUPP.
"""

from __future__ import annotations

from typing import Final

from agent.core.facts.numbers import MalformedError, is_digits, is_hundredths
from agent.core.facts.snapshot import Pressure
from agent.sources.outcome import Outcome, parsed
from agent.sources.system_root import SystemRoot

FILE: Final = "proc/pressure/memory"

_NAMES: Final = ("avg10", "avg60", "avg300", "total")


def parse_pressure(text: str) -> Pressure:
    """Both lines; further ones of future kernels are ignored.

    Raises:
        MalformedError: one of them is missing.
    """
    lines = dict(line.partition(" ")[::2] for line in text.split("\n"))
    return Pressure(*_figures(lines.get("some", "")), *_figures(lines.get("full", "")))


def _figures(words: str) -> tuple[float, float, float, int]:
    pairs = [word.partition("=") for word in words.split(" ")]
    *averages, total = (figure for _, _, figure in pairs)
    known = tuple(name for name, _, _ in pairs) == _NAMES
    if not (known and all(is_hundredths(one, 3) for one in averages) and is_digits(total)):
        raise MalformedError("no 'some' and 'full' line in it")
    return float(averages[0]), float(averages[1]), float(averages[2]), int(total)


def read_pressure(root: SystemRoot) -> Outcome[Pressure]:
    """/proc/pressure/memory below `root`."""
    return parsed(root.read(FILE), parse_pressure)
