# SPDX-License-Identifier: GPL-2.0-or-later
"""The catalogue of docs/findings.md, from the registry: what each code means, and what to do."""

from __future__ import annotations

from agent.core.findings.diagnosis import CODES
from agent.core.findings.registry import CHECKS, CRASH_KERNEL

HEAD = "| code | severity | means | do | not beside | follows from |\n|---|---|---|---|---|---|\n"


def catalogue() -> str:
    """A row for every check, as Markdown."""
    return HEAD + "".join(f"{_row(code)}\n" for code in CODES)


def _row(code: str) -> str:
    entry = CHECKS[code]
    unless = ", ".join(f"`{other}`" for other in entry.unless if other != CRASH_KERNEL)
    because = ", ".join(f"`{other}`" for other in entry.because)
    return f"| `{code}` | {entry.severity} | {entry.meaning} | {entry.do} | {unless} | {because} |"
