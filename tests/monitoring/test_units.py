# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd accepts the units of both exporters and finds them well locked up."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"
NAMES = (
    "balloon-agent-metrics.socket",
    "balloon-agent-metrics@.service",
    "balloon-agent-textfile.service",
    "balloon-agent-textfile.timer",
)
MOST_EXPOSURE = 3.0  # of 10; systemd calls it OK


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units with a program that is there."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not there: apt-get install systemd")
    for name in NAMES:
        text = (UNITS / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("/usr/bin/balloon-agent", "/bin/true"))
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_is_understood_to_the_last_line(name: str, units: Path) -> None:
    command = ["systemd-analyze", "verify", "--man=no", str(units / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Failed to" in done.stderr:
        pytest.skip(f"systemd-analyze cannot look at a file here: {done.stderr}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".service")])
def test_a_service_can_do_little_but_read(name: str, units: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(units / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    if level is None:
        pytest.skip(f"systemd-analyze cannot look at a file here: {done.stderr}")
    assert float(level[1]) <= MOST_EXPOSURE


def test_the_port_is_local_and_bounded() -> None:
    socket = (UNITS / "balloon-agent-metrics.socket").read_text(encoding="utf-8")
    service = (UNITS / "balloon-agent-metrics@.service").read_text(encoding="utf-8")
    assert re.findall(r"^Listen\w+=(.*)$", socket, re.MULTILINE) == ["127.0.0.1:9786"]
    assert "\nMaxConnections=4\n" in socket
    assert "\nRuntimeMaxSec=30\nMemoryMax=64M\n" in service


def test_the_exporter_is_a_socket_that_starts_one_process_a_connection() -> None:
    socket = (UNITS / "balloon-agent-metrics.socket").read_text(encoding="utf-8")
    service = (UNITS / "balloon-agent-metrics@.service").read_text(encoding="utf-8")
    assert "\nAccept=yes\n" in socket
    assert "\nTriggerLimitIntervalSec=0\n" in socket  # many at once close it for nobody
    assert "\nStandardInput=socket\nStandardOutput=socket\n" in service
    assert "\nExecStart=/usr/bin/balloon-agent metrics --http\n" in service
