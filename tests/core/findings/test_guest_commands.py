# SPDX-License-Identifier: GPL-2.0-or-later
"""Words for the guest: of this distribution, or of none."""

from __future__ import annotations

import pytest

from agent.core.findings.examination import Distribution
from agent.core.findings.guest_commands import boot_options, newer_kernel, put_online


@pytest.mark.parametrize(
    ("distribution", "where", "backports"),
    [
        (Distribution("debian"), "update-grub", True),
        (Distribution("ubuntu", ("debian",)), "update-grub", True),
        (Distribution("fedora"), "grubby", False),
        (Distribution("rocky", ("rhel", "centos", "fedora")), "grubby", False),
        (Distribution("alpine"), "update-extlinux", False),
        (Distribution("void"), "the boot loader's configuration", False),
        (None, "the boot loader's configuration", False),
    ],
    ids=str,
)
def test_the_boot_loader_and_the_backports_are_those_of_the_distribution(
    distribution: Distribution | None, where: str, backports: bool
) -> None:
    assert where in boot_options(distribution, "take mem=512M off").note
    assert ("backports" in newer_kernel(distribution, "a newer kernel").note) is backports


def test_one_block_is_named_and_several_are_a_loop() -> None:
    one, several = (put_online(blocks).commands[0] for blocks in ((8,), (8, 9)))
    assert one == "echo online > /sys/devices/system/memory/memory8/state"
    assert several.startswith("for n in 8 9; do echo online > ")
