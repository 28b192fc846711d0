# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent run --forget` where there is nothing to take back."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import exit_codes
from agent.daemon import main as program
from agent.sources.xenstore.errors import DeviceMissing


def test_where_there_is_no_xenstore_it_leaves_no_directory_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def none() -> str:
        raise DeviceMissing("/dev/xen/xenbus", "No such file or directory")

    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    monkeypatch.setattr(program, "default_path", none)
    assert program.main(["--forget"]) == exit_codes.NOT_XEN
    assert not (tmp_path / "run").exists()
