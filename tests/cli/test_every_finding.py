# SPDX-License-Identifier: GPL-2.0-or-later
"""Every finding is shown by a scenario or a capture, and not by the one next to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.core.findings.diagnosis import CODES
from tests import captures
from tests.cli.findings_shown import CASES
from tests.support.unprivileged import as_nobody


def test_every_code_has_a_guest_that_shows_it_and_one_that_does_not() -> None:
    assert set(CASES) == set(CODES)


@pytest.mark.parametrize("code", CASES)
def test_it_is_found_where_it_is_and_not_next_to_it(code: str, tmp_path: Path) -> None:
    has, has_not = CASES[code]
    found = has.examined(tmp_path / "has")
    assert code in {finding.code for finding in found.findings}, has.what
    clear = has_not.examined(tmp_path / "has-not")
    assert code not in {finding.code for finding in clear.findings}, has_not.what


def test_an_ordinary_user_finds_the_same_in_captures_and_simulations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A capture is the reader's own; what it may not read there is another test's."""
    words: list[list[str]] = [
        ["--sim", name] for name in ("balloon-up", "leak", "hotplug-offline", "xapi-uncooperative")
    ]
    for name in ("pv-512-1024/boot", "pv-512-1024-k510/memset-768", "pv-256-2816/boot"):
        captures.load(name).write_to(tmp_path / name)
        words.append(["--root", name])
    shown = as_nobody(
        tmp_path,
        f"""
        from agent.cli.main import main
        for words in {words!r}:
            print(main([*words, "doctor", "--json"]), end="\\0")
        """,
    )
    assert shown.stderr == ""
    parts = shown.stdout.split("\0")[:-1]
    for which, part in zip(words, parts):
        root = [str(tmp_path / word) if "/" in word else word for word in which]
        status = main([*root, "doctor", "--json"])
        expected = json.loads(capsys.readouterr().out)
        text, _, told = part.rpartition("\n")
        assert int(told) == status
        assert _codes(json.loads(text)) == _codes(expected)


def _codes(diagnosis: dict[str, list[dict[str, str]]]) -> list[tuple[str, str]]:
    return [(finding["code"], finding["severity"]) for finding in diagnosis["findings"]]
