# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever happens to the files of a capture: it is gathered, judged and shown, or is no Xen."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import exit_codes
from agent.report.memmap_json import memmap_object
from agent.report.memmap_text import memmap_lines
from agent.report.status_json import status_object
from agent.report.status_text import status_lines
from agent.report.styled import plain
from agent.sources.system_root import NotXenError
from tests.support.captured import QUICK, gathered, load
from tests.support.judged import assess

GUESTS = ("pv-512-1024-k510/memset-768", "hvm-512-1024/boot", "dom0/boot")
GARBAGE = st.one_of(
    st.binary(max_size=64),
    st.sampled_from([b"", b"0\n", b"-1\n", b"18446744073709551615\n", b"f" * 16, b"\x1b[2J"]),
    st.integers(0, 1 << 64).map(lambda number: b"%d\n" % number),
    st.integers(0, 1 << 64).map(lambda number: b"0x%x\n" % number),
)  # fmt: skip
CHANGE = st.one_of(
    st.tuples(st.just("delete"), st.just(b"")),
    st.tuples(st.just("truncate"), st.just(b"")),
    st.tuples(st.just("replace"), GARBAGE),
    st.tuples(st.just("insert"), GARBAGE),
    st.tuples(st.just("swap"), st.just(b"")),
)


def damage(
    files: dict[str, bytes], changes: list[tuple[int, int, tuple[str, bytes]]]
) -> dict[str, bytes]:
    """Some files deleted, cut, replaced, swapped or with garbage inside."""
    damaged = dict(files)
    names = sorted(files)
    for which, where, (kind, garbage) in changes:
        name, other = names[which % len(names)], names[where % len(names)]
        text = damaged.get(name, b"")
        cut = where % (len(text) + 1)
        if kind == "delete":
            damaged.pop(name, None)
        elif kind == "truncate":
            damaged[name] = text[:cut]
        elif kind == "replace":
            damaged[name] = garbage
        elif kind == "insert":
            damaged[name] = text[:cut] + garbage + text[cut:]
        else:
            damaged[name], damaged[other] = damaged.get(other, b""), text
    return damaged


@pytest.mark.parametrize("guest", GUESTS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 1 << 16), st.integers(0, 1 << 16), CHANGE), max_size=8
    )
)
def test_a_damaged_capture_is_judged_and_shown_or_is_no_xen(
    guest: str, changes: list[tuple[int, int, tuple[str, bytes]]]
) -> None:
    files = {name: text.encode() for name, text in load(guest).files.items()}
    with tempfile.TemporaryDirectory(dir=QUICK) as directory:
        for name, content in damage(files, changes).items():
            path = Path(directory, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        try:
            snapshot = gathered(Path(directory), "damaged")
        except NotXenError:
            return
    assessment = assess(snapshot)
    assert exit_codes.OF_VERDICT[assessment.verdict] in (0, 1, 2, 4)
    for shown in (status_object(assessment), memmap_object(assessment.situation)):
        json.dumps(shown, allow_nan=False)
    for width in (40, 100):
        for lines in (status_lines(assessment, width), memmap_lines(assessment.situation, width)):
            assert plain(lines).replace("\n", "").isprintable()
            assert plain(lines, ascii_only=True).isascii()
