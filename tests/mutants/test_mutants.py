# SPDX-License-Identifier: GPL-2.0-or-later
"""The breaks themselves: each is Python, each is another program, and each kind is there."""

from __future__ import annotations

import ast
from collections.abc import Iterable

import pytest

from tests.mutants.__main__ import drawn, stages
from tests.mutants.breaks import KINDS, breaks_of, is_another_program
from tests.support.copied_tree import TOP


def becomes(source: str) -> Iterable[str]:
    text = source.encode()
    found = [one for one in breaks_of(text) if is_another_program(one, text)]
    return [one.done_to(text).decode() for one in found]


@pytest.mark.parametrize(
    ("source", "broken"),
    [
        ("x = a < b", ["x = a <= b"]),
        ("x = (a) == (b)", ["x = (a) != (b)"]),
        ("x = 'ä' in b", ["x = 'ä' not in b"]),
        ("x = p < q <= r", ["x = p <= q <= r", "x = p < q < r"]),
        ("x = a + b", ["x = a - b"]),
        ("x = min(a, b)", ["x = max(a, b)"]),
        ("x = 1", ["x = (1 + 1)", "x = (1 - 1)"]),
        ("x = True", ["x = False"]),
        ("x = a and b", ["x = True and b", "x = a or b", "x = a and True"]),
        ("x = ('a', 'b', 'c')", ["x = ('b', 'c')", "x = ('a', 'c')"]),
        ("def f():\n    return a", ["def f():\n    return None"]),
        ("def f():\n    g()", ["def f():\n    pass"]),
        (
            "def f():\n    if a:\n        pass",
            [f"def f():\n    if {test}:\n        pass" for test in ("(not (a))", "False", "True")],
        ),
    ],
)
def test_each_kind_of_break_is_what_a_slip_could_have_made(source: str, broken: list[str]) -> None:
    assert becomes(source) == broken


@pytest.mark.parametrize(
    "source", ["x: Optional[1] = y", "f'{a + b}'", "T = Literal['a', 'b', 'c']", "x = y"]
)
def test_what_nothing_runs_and_what_has_no_place_is_left(source: str) -> None:
    assert becomes(source) == []


def test_a_draw_has_every_kind_and_is_the_same_each_time() -> None:
    some = drawn(seed=1, count=2 * len(KINDS))
    assert {broken.one.kind for broken in some} == set(KINDS)
    assert some == drawn(seed=1, count=2 * len(KINDS))
    for broken in some:
        ast.parse(broken.one.done_to((TOP / broken.file).read_bytes()))


def test_every_test_that_may_notice_is_there() -> None:
    for path in (TOP / "agent/core").rglob("*.py"):
        for tests in stages(str(path.relative_to(TOP))):
            assert all((TOP / test).exists() for test in tests)
