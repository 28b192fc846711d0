# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.recordings` takes whatever others have recorded, and says how far it agrees."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.recordings.__main__ import main
from tests.recordings.records import KEPT, files, read


def some(kind: str, count: int = 40) -> list[str]:
    """The first lines of what is kept of that kind."""
    return [json.dumps(record) for record in read(files(kind)[0])[:count]]


def test_a_file_that_is_put_beside_the_others_is_tried_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = "\n".join(some("qmemman-balance"))
    (tmp_path / "qmemman-balance-next.jsonl").write_text(lines)
    (tmp_path / "meminfo-captures-next.jsonl.gz").write_bytes(
        gzip.compress("\n".join(some("meminfo-captures")).encode())
    )
    (tmp_path / "README.md").write_text("of no kind")
    assert main([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "qmemman-balance-next.jsonl: 40 of 40 agree" in said
    assert "meminfo-captures-next.jsonl.gz: 40 of 40 agree" in said
    monkeypatch.setenv("BALLOON_AGENT_RECORDINGS", str(tmp_path))
    tried = files("qmemman-balance")
    assert tried[-1] == tmp_path / "qmemman-balance-next.jsonl"
    assert tried[0].parent == KEPT


def test_what_a_model_answers_otherwise_is_counted_named_and_not_passed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = some("meminfo-captures")
    for at in (3, 17):
        record = json.loads(lines[at])
        lines[at] = json.dumps(record | {"meminfo_kib": record["meminfo_kib"] + 4})
    path = tmp_path / "of-a-friend.jsonl"
    path.write_text("\n".join(lines))
    assert main([f"meminfo-captures={path}"]) == 1
    said = capsys.readouterr().out
    assert "38 of 40 agree" in said
    assert json.loads(lines[17])["capture"] in said


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("squeezed-host.jsonl", b"", "0 of 0 agree"),
        ("squeezed-host.jsonl", b"[1, 2]", "a line is no JSON object"),
        ("squeezed-host.jsonl", b'{"n": 1', "cannot be read"),
        ("squeezed-host.jsonl.gz", gzip.compress(b"{}")[:-9], "cannot be read"),
        ("squeezed-host.jsonl.gz", gzip.compress(b"{}")[:10] + b"\xff" * 9, "cannot be read"),
        ("squeezed-host.jsonl", b'{"n": 1}', "cannot be played"),
        ("neighbours.jsonl", b"{}", "of none of the kinds"),
    ],
    ids=["empty", "a list", "cut off", "packed, cut off", "packed, spoilt", "bare", "of no kind"],
)
def test_what_is_no_recording_is_said_in_a_sentence(
    name: str, content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    assert main([str(tmp_path / name)]) == 1
    assert said in capsys.readouterr().out


def test_a_file_or_directory_without_recordings_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 1
    assert "no recording of" in capsys.readouterr().out
    assert main([str(tmp_path / "nothing.jsonl")]) == 1
    assert main([str(tmp_path / "xe-daemon.jsonl")]) == 1
    assert "cannot be read" in capsys.readouterr().out
