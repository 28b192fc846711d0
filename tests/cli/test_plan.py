# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent plan` as it is called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cli.main import main
from tests import captures


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("--memory 512 --maxmem 1024", 0),
        ("--memory 128 --maxmem 4G --kernel 6.1.0-56-amd64", 1),
        ("--memory 256M --maxmem 16G --type pvh", 2),
        ("--memory 1G", 0),
    ],
)
def test_the_exit_status_says_whether_it_boots(
    words: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--json", *words.split()]) == status
    assert json.loads(capsys.readouterr().out)["boots"] == ("yes", "risky", "no")[status]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "Give --memory and --maxmem"),
        ("--memory lots", "'lots' is not a size; write for example 512M"),
        ("--memory 2G --maxmem 1G", "raise maxmem to 2048M or lower memory."),
        ("--memory 1G --kernel bookworm", "'bookworm' is no Linux release"),
        ("--memory 1G --target 1G", "give one or the other."),
        ("--memory 1G --type pv --arch i386", "no 32-bit PV kernel since 5.9"),
        ("--target 0.0001K", "not a whole number of KiB"),
    ],
)
def test_what_cannot_be_planned_is_one_sentence_and_64(
    words: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *words.split()]) == 64
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert not said.out


def test_a_bare_size_is_in_mib_as_in_xl_cfg(capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", "--memory", "512", "--json"])
    assert json.loads(capsys.readouterr().out)["memory_kib"] == 512 * 1024


def test_a_target_is_judged_on_the_guest_that_root_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = captures.load("pv-512-1024/memset-768").write_to(tmp_path)
    assert main(["--root", str(root), "plan", "--target", "384M"]) == 0
    assert "384 MiB would not hurt" in capsys.readouterr().out
    assert main(["--root", str(root), "plan", "--target", "100", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["answer"] == "no"


def test_a_target_of_a_guest_that_cannot_be_read_is_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = captures.load("pv-512-1024/boot").write_to(tmp_path)
    (root / "proc/meminfo").unlink()
    assert main(["--root", str(root), "plan", "--target", "384M"]) == 4
    assert "nothing can be said" in capsys.readouterr().err
