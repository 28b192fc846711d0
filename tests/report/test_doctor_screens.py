# SPDX-License-Identifier: GPL-2.0-or-later
"""The doctor's screen and a frame of the live view, kept in tests/report/golden_doctor/.

BALLOON_AGENT_UPDATE_GOLDEN=1 with these tests writes them anew; look at the difference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from agent.core.account.situation import understand
from agent.core.findings.diagnosis import Diagnosis, diagnose
from agent.core.findings.examination import Examination
from agent.examine import examine
from agent.report.doctor_text import doctor_lines
from agent.report.sparkline import Sample, sample_of, trend_lines
from agent.report.status_text import frame_lines
from agent.report.styled import plain
from agent.sources.system_root import SystemRoot
from agent.sources.xenstore.key_store import CapturedKeys
from tests import captures
from tests.support.captured import assessed
from tests.support.golden import check_reviewed
from tests.support.snapshots import a_pv_guest

GOLDEN: Final = Path(__file__).parent / "golden_doctor"
GUESTS: Final = {
    "settled": "pv-512-1024-k612/memset-512",
    "offline-blocks": "pv-512-1024-k510/memset-768",
    "refused": "pv-512-1024/guest-target_kb-655360",
    "large-map": "pv-512-16384/boot",
}
TERMINALS: Final = {
    "80": (80, False),
    "40": (40, False),
    "80-ascii": (80, True),
    "40-ascii": (40, True),
}


def diagnosed(name: str, directory: Path) -> Diagnosis:
    root = SystemRoot(str(captures.load(GUESTS[name]).write_to(directory)))
    snapshot = assessed(GUESTS[name]).situation.snapshot
    return diagnose(examine(snapshot, root, CapturedKeys(root), None))


@pytest.mark.parametrize("terminal", TERMINALS)
@pytest.mark.parametrize("name", GUESTS)
def test_the_doctors_screen_is_as_reviewed(name: str, terminal: str, tmp_path: Path) -> None:
    width, ascii_only = TERMINALS[terminal]
    shown = plain(doctor_lines(diagnosed(name, tmp_path), width), ascii_only=ascii_only)
    check_reviewed(GOLDEN / f"doctor-{name}-{terminal}.txt", shown)


@pytest.mark.parametrize("terminal", TERMINALS)
def test_a_frame_of_the_live_view_is_as_reviewed(terminal: str) -> None:
    width, ascii_only = TERMINALS[terminal]
    assessment = assessed("pvh-512-1024-moving/moving-1024-to-384")
    last = sample_of(assessment, 60.0)
    trends = trend_lines([*_a_minute_before(last), last], width)
    shown = plain(frame_lines(assessment, width, trends), ascii_only=ascii_only)
    check_reviewed(GOLDEN / f"frame-{terminal}.txt", shown)


def _a_minute_before(last: Sample) -> list[Sample]:
    """The guest had all of its memory, was asked for most of it, and is on its way."""
    assert last.current_kib is not None
    assert last.available_kib is not None
    full_kib = 1048188
    calm = last._replace(
        target_kib=full_kib, current_kib=full_kib, available_kib=900000, pressure_percent=0.0
    )
    samples = [calm._replace(at_s=float(second)) for second in range(50)]
    for second in range(50, 60):
        share = (second - 49) / 11
        samples.append(
            last._replace(
                at_s=float(second),
                current_kib=round(full_kib + (last.current_kib - full_kib) * share),
                available_kib=round(900000 + (last.available_kib - 900000) * share),
                pressure_percent=share * 8,
            )
        )
    return samples


def test_a_guest_in_order_says_so_in_one_sentence() -> None:
    lines = doctor_lines(diagnose(Examination(understand(a_pv_guest()), a_pv_guest().sources)), 80)
    assert "● OK: Nothing is wrong with this guest's balloon." in plain(lines)


@pytest.mark.parametrize("width", [40, 47, 71, 80, 100])
@pytest.mark.parametrize("name", GUESTS)
def test_no_line_is_wider_than_the_terminal_but_the_fix(
    name: str, width: int, tmp_path: Path
) -> None:
    rows = plain(doctor_lines(diagnosed(name, tmp_path), width)).splitlines()
    assert not [row for row in rows if len(row) > width and "Fix  " not in row]
