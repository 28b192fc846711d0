# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever a file holds, its parser gives a value or refuses with a reason on one line.

What once went wrong, or is known to be odd, lies in tests/corpus/PARSER/ and is replayed.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sources.outcome import Outcome, parsed
from tests.sources.parsers import CORPUS, PARSERS, REFUSALS
from tests.support.captured import load

SEEDS = sorted(path for name in PARSERS for path in (CORPUS / name).iterdir())
REAL = load("pv-512-1024-k612/memset-1024").files
LIKE = {
    "iomem": REAL["proc/iomem"],
    "zoneinfo": REAL["proc/zoneinfo"],
    "kernel_log": REAL["kernel.log"],
    "pressure": REAL["proc/pressure/memory"],
    "boot_record": '{"schema": 1, "current_kib": 1, "ballooned_kib": 1, "e820_ram_kib": 1}',
    "uptime": REAL["proc/uptime"],
}


def must_give_a_value_or_refuse(parser: str, raw: bytes) -> None:
    try:
        PARSERS[parser](raw)
    except REFUSALS as refusal:
        shown = str(refusal)
        assert shown.isprintable(), shown
        assert len(shown) < 300


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: str(seed.relative_to(CORPUS)))
def test_an_odd_input_of_the_corpus_is_a_value_or_refused(seed: Path) -> None:
    must_give_a_value_or_refuse(seed.parent.name, seed.read_bytes())


@pytest.mark.parametrize("parser", PARSERS)
def test_any_bytes_are_a_value_or_refused(parser: str) -> None:
    @given(st.binary(max_size=300))
    def fuzz(raw: bytes) -> None:
        must_give_a_value_or_refuse(parser, raw)

    fuzz()


@pytest.mark.parametrize("parser", PARSERS)
def test_any_text_is_a_value_or_refused(parser: str) -> None:
    @given(st.text(alphabet=st.one_of(st.sampled_from("0123456789abcdefx -:.\n"), st.characters())))
    def fuzz(text: str) -> None:
        must_give_a_value_or_refuse(parser, text.encode("utf-8", "surrogatepass"))

    fuzz()


@pytest.mark.parametrize("parser", LIKE)
def test_a_real_text_with_a_part_replaced_is_a_value_or_refused(parser: str) -> None:
    real = LIKE[parser].encode()

    @given(st.integers(0, len(real)), st.integers(0, 40), st.binary(max_size=40))
    def fuzz(start: int, length: int, part: bytes) -> None:
        must_give_a_value_or_refuse(parser, real[:start] + part + real[start + length :])

    fuzz()


def test_a_refusal_becomes_a_status_of_one_line() -> None:
    outcome = parsed(Outcome("no\nrange\x1b[31m", "ok"), iomem_of)
    assert outcome.value is None
    assert outcome.status.startswith("malformed: ")
    assert outcome.status.isprintable()


def iomem_of(text: str) -> object:
    return PARSERS["iomem"](text.encode())
