# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/pressure/memory: how much time is lost for want of memory (PSI).

    some avg10=0.00 avg60=0.00 avg300=0.00 total=0
    full avg10=0.00 avg60=0.00 avg300=0.00 total=0

Documentation/accounting/psi.rst; Linux 4.20 and later, off with CONFIG_PSI_DEFAULT_DISABLED
until booted with `psi=1`: then the file is missing, or opening it gives EOPNOTSUPP.
"""

from __future__ import annotations

import re
from typing import Final

from agent.core.facts.snapshot import Pressure
from agent.sources.outcome import MalformedError, Outcome, parsed
from agent.sources.system_root import SystemRoot

FILE: Final = "proc/pressure/memory"

_LINE = re.compile(
    r"^(some|full) avg10=([0-9]{1,3}\.[0-9]{2}) avg60=([0-9]{1,3}\.[0-9]{2})"
    r" avg300=([0-9]{1,3}\.[0-9]{2}) total=([0-9]{1,20})$",
    re.ASCII | re.MULTILINE,
)


def parse_pressure(text: str) -> Pressure:
    """Both lines; further ones of future kernels are ignored.

    Raises:
        MalformedError: one of them is missing.
    """
    lines = {match[0]: match for match in _LINE.findall(text)}
    if not {"some", "full"} <= lines.keys():
        raise MalformedError("no 'some' and 'full' line in it")
    some, full = lines["some"], lines["full"]
    return Pressure(
        float(some[1]), float(some[2]), float(some[3]), int(some[4]),
        float(full[1]), float(full[2]), float(full[3]), int(full[4]),
    )  # fmt: skip


def read_pressure(root: SystemRoot) -> Outcome[Pressure]:
    """/proc/pressure/memory below `root`."""
    return parsed(root.read(FILE), parse_pressure)
