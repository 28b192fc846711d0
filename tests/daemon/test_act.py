# SPDX-License-Identifier: GPL-2.0-or-later
"""The two writes to the kernel, and how each refusal is told apart."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from agent.act import ActDeniedError, ActRefusedError, online_block, set_target_kib
from agent.sources.system_root import SystemRoot
from agent.sources.xen_memory import TARGET_FILE


class Refusing(SystemRoot):
    """A root whose kernel answers every write with one errno."""

    def __init__(self, number: int) -> None:
        super().__init__("/nonexistent")
        self._number = number

    def write(self, relative: str, text: str) -> None:
        raise OSError(self._number, errno.errorcode[self._number], relative)


def test_what_is_written_is_a_plain_decimal_and_a_word(tmp_path: Path) -> None:
    root = SystemRoot(str(tmp_path))
    for name in (TARGET_FILE, "sys/devices/system/memory/memory8/state"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    set_target_kib(root, 524288)
    online_block(root, 8)
    assert (tmp_path / TARGET_FILE).read_text() == "524288\n"
    assert (tmp_path / "sys/devices/system/memory/memory8/state").read_text() == "online\n"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_what_will_never_be_allowed_is_told_as_such(number: int) -> None:
    with pytest.raises(ActDeniedError, match="target_kb"):
        set_target_kib(Refusing(number), 524288)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOENT, errno.ENODEV, errno.EINVAL])
def test_what_may_work_later_is_only_a_refusal(number: int) -> None:
    with pytest.raises(ActRefusedError) as refused:
        online_block(Refusing(number), 3)
    assert not isinstance(refused.value, ActDeniedError)
