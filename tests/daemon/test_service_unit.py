# SPDX-License-Identifier: GPL-2.0-or-later
"""The systemd unit: hardened as promised, and still able to do its work."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
UNIT = TOP / "systemd" / "balloon-agent.service"
MOST_EXPOSURE = 1.5
WITH_SYSTEMD = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not there: apt-get install systemd",
)


def directives() -> list[tuple[str, str]]:
    lines = [line for line in UNIT.read_text().splitlines() if "=" in line and line[0] != "#"]
    return [(name, value) for name, _, value in (line.partition("=") for line in lines)]


def values(name: str) -> list[str]:
    return [value for found, value in directives() if found == name]


@WITH_SYSTEMD
def test_its_exposure_is_at_most_what_was_promised(tmp_path: Path) -> None:
    copy = shutil.copy(UNIT, tmp_path)
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", copy],
        capture_output=True,
        text=True,
        check=False,
    )
    if "Overall exposure level" not in done.stdout:
        pytest.skip(f"systemd-analyze cannot look at a file here: {done.stderr}")
    overall = done.stdout.strip().splitlines()[-1]
    assert float(overall.split(": ")[1].split()[0]) <= MOST_EXPOSURE


@WITH_SYSTEMD
def test_systemd_finds_nothing_to_blame_in_it(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/bin/balloon-agent", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    if "Failed to" in done.stderr and UNIT.name not in done.stderr:
        pytest.skip(f"systemd-analyze cannot look at a file here: {done.stderr}")
    assert (done.returncode, done.stderr) == (0, "")


def test_it_starts_before_anything_that_could_have_the_host_change_the_target() -> None:
    assert values("DefaultDependencies") == ["no"]
    assert "sysinit.target" in values("Before")[0].split()
    assert values("WantedBy") == ["sysinit.target"]
    assert set(values("After")[0].split()) <= {
        "local-fs.target",
        "systemd-tmpfiles-setup-dev.service",
    }


def test_it_may_write_what_the_agent_writes() -> None:
    writable = " ".join(values("ReadWritePaths"))
    assert "/sys/devices/system/xen_memory" in writable
    assert "/sys/devices/system/memory" in writable
    assert "/dev/xen/xenbus rw" in values("DeviceAllow")
    # drivers/xen/xen-balloon.c, store_target_kb: EPERM without it, also for root.
    assert "CAP_SYS_ADMIN" in values("CapabilityBoundingSet")[0]
    assert values("ProtectKernelTunables") == []
    assert values("RuntimeDirectory") == ["balloon-agent"]


def test_dom0_is_xen_although_systemd_finds_no_virtualisation_there() -> None:
    assert values("ConditionVirtualization") == ["|xen"]
    assert values("ConditionPathExists") == ["|/sys/hypervisor/properties/features"]


def test_what_only_an_administrator_can_change_is_not_tried_again() -> None:
    assert values("Restart") == ["on-failure"]
    assert values("RestartPreventExitStatus") == ["64 69 75 77 78"]


def test_no_directive_is_set_twice_by_mistake() -> None:
    lists = {"DeviceAllow", "SystemCallFilter", "Before", "After"}
    names = [name for name, _ in directives() if name not in lists]
    assert len(names) == len(set(names))


def test_every_line_of_the_service_has_its_reason_in_the_security_document() -> None:
    section = UNIT.read_text(encoding="utf-8").partition("[Service]\n")[2].partition("\n[")[0]
    set_here = {line for line in section.splitlines() if line and not line.startswith("#")}
    document = (TOP / "SECURITY.md").read_text(encoding="utf-8")
    table = document.partition("## The unit, line by line")[2].partition("\n\nWhat that leaves")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([^`]+)`", row[0])} == set_here
    assert all(len(row) == 2 and len(row[1]) > len("| x |") for row in rows)
