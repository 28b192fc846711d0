# SPDX-License-Identifier: GPL-2.0-or-later
"""`doctor --json`: one object.  Keys may be added here, never renamed or removed."""

from __future__ import annotations

from typing import Any, Final

from agent.core.findings.diagnosis import Diagnosis

SCHEMA: Final = 1


def doctor_object(diagnosis: Diagnosis) -> dict[str, Any]:
    """The diagnosis as JSON's own types."""
    examination = diagnosis.examination
    watch = examination.watch
    return {
        "schema": SCHEMA,
        "source": examination.situation.snapshot.origin._asdict(),
        "sources": dict(examination.sources),
        "verdict": diagnosis.verdict,
        "watched_s": watch.lasted_s if watch else 0,
        "findings": [finding._asdict() for finding in diagnosis.findings],
        "clear": list(diagnosis.clear),
        "not_made": [lacking._asdict() for lacking in diagnosis.not_made],
    }
