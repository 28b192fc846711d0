# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for the host: the toolstack's words, the host's sizes, nothing a paste would run."""

import re

import pytest

from agent.core.assessment import assess
from agent.core.host_commands import free_memory, set_memory, set_populated
from agent.core.situation import understand
from tests.support.snapshots import a_pv_guest, an_hvm_guest

UUID = "d4352faf-853e-4c60-b096-a16c102e04f0"


def test_each_toolstack_is_spoken_to_in_its_own_words() -> None:
    guest = a_pv_guest(domain={"uuid": UUID})
    assert set_memory(guest, 786432) == "xl mem-set 5 786432k"
    xapi = a_pv_guest(domain={"uuid": UUID, "toolstack": "xapi"})
    assert set_memory(xapi, 786432) == (
        f"xe vm-memory-dynamic-range-set uuid={UUID} min=768MiB max=768MiB"
    )
    qubes = a_pv_guest(domain={"name": "work", "toolstack": "qubes"})
    assert set_memory(qubes, 786432) == "qvm-prefs work maxmem 768"
    assert free_memory(guest) == "xl info free_memory"
    assert free_memory(xapi).startswith("xe host-list ")


def test_a_domain_of_unknown_number_is_a_word_to_replace() -> None:
    assert set_memory(a_pv_guest(domain={"domid": None}), 4) == "xl mem-set DOMAIN 4k"


def test_the_host_is_told_its_own_count_of_an_hvm_guest() -> None:
    situation = understand(an_hvm_guest(host={"videoram_kib": 8192, "static_max_kib": 1056768}))
    assert situation.offset is not None
    host_kib = 522868 + situation.offset.kib + 8192
    assert set_populated(situation, 522868) == f"xl mem-set 5 {host_kib}k"


@pytest.mark.parametrize("name", ["$(reboot)", "a;b", "x y", "-rf", "", "a\nb", "´"])
def test_a_name_that_a_shell_would_act_on_is_not_pasted(name: str) -> None:
    guest = a_pv_guest(domain={"name": name, "toolstack": "qubes"})
    assert set_memory(guest, 786432) == "qvm-prefs QUBE maxmem 768"


def test_no_word_of_the_kernels_command_line_gets_into_a_fix() -> None:
    guest = a_pv_guest(
        kernel_options=("mem=1;$(reboot)",), host={"static_max_kib": 4194304, "target_kib": 524288}
    )
    fixes = [finding.fix for finding in assess(guest).findings]
    assert any("sudoedit /etc/default/grub" in fix for fix in fixes)
    assert not [fix for fix in fixes if re.search(r"reboot\)", fix)]
