# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon where Python is set up in an odd way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.daemon_process import DaemonProcess
from tests.support.host_view import ask_for
from tests.support.xenstored.guest import Guest
from tests.support.xenstored.raw_client import RawClient

pytestmark = pytest.mark.xenstored


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONPYCACHEPREFIX": "/dev/null/nowhere"},  # no byte code, and no place for any
        {"PYTHONWARNINGS": "error", "PYTHONDEVMODE": "1"},  # a file left open would show
        {"LC_ALL": "tr_TR.UTF-8", "LANG": "nonsense", "TZ": "nowhere"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"},
    ],
    ids=["no-byte-code", "warnings-are-errors", "odd-locale", "no-utf-8"],
)
def test_it_serves_and_says_nothing_odd(
    root: Path, guest: Guest, dom0: RawClient, environment: dict[str, str]
) -> None:
    words = ("--config", "/dev/null")
    with DaemonProcess(root, guest.path, *words, environment=environment) as daemon:
        daemon.ready()
        ask_for(dom0, 393216)
        assert daemon.end() == 0
        assert "Warning" not in daemon.stderr
        assert "Traceback" not in daemon.stderr
