# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest

from sim_backend.published.xl import mem_size_kib


@pytest.mark.parametrize(
    ("text", "kib"),
    [
        ("512", 524288), ("512m", 524288), ("512M", 524288), ("1g", 1048576), ("1T", 1 << 30),
        ("4096k", 4096), ("4096b", 4), ("", 0), ("-1", -1024), ("1.5g", None), ("5x", None),
        ("512mb", None),
    ],
)  # fmt: skip
def test_a_size_is_read_as_xl_reads_it(text: str, kib: int | None) -> None:
    """tools/xl/xl_parse.c, parse_mem_size_kb: strtoll, then at most one letter."""
    assert mem_size_kib(text) == kib
