# SPDX-License-Identifier: GPL-2.0-or-later
"""The pressure trigger: only on this machine, and only where the kernel has one."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from agent.sources.pressure_trigger import open_trigger
from agent.sources.system_root import SystemRoot


def test_below_another_root_the_file_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "proc/pressure/memory"
    file.parent.mkdir(parents=True)
    file.write_text("some avg10=0.00\n")
    assert open_trigger(SystemRoot(str(tmp_path))) is None
    assert file.read_text() == "some avg10=0.00\n"


@pytest.mark.parametrize("soon", [False, True])
def test_the_kernel_takes_the_trigger(soon: bool) -> None:
    descriptor = open_trigger(SystemRoot("/"), soon=soon)
    if descriptor is None:
        pytest.skip("this kernel gives this user no pressure trigger")
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLPRI)
        assert not any(event & select.POLLERR for _, event in poll.poll(0))
    finally:
        os.close(descriptor)
