# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for the host: the toolstack's words, the host's sizes, nothing a paste would run."""

from __future__ import annotations

import re

import pytest

from agent.core.account.situation import understand
from agent.core.findings.assessment import assess
from agent.core.findings.host_commands import (
    free_memory,
    raise_maximum,
    set_memory,
    set_populated,
    set_range,
    stop_balancing,
)
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


def test_a_range_and_a_maximum_are_set_in_the_toolstacks_words_too() -> None:
    guest = a_pv_guest(domain={"uuid": UUID})
    assert set_range(guest, 262144, 786432) == "xl mem-set 5 786432k"
    assert raise_maximum(guest, 786433) == "xl mem-max 5 769m"
    assert stop_balancing(guest, 786432) == "xl mem-set 5 786432k"
    xapi = a_pv_guest(domain={"uuid": UUID, "toolstack": "xapi"})
    assert set_range(xapi, 262144, 786432).endswith(f"uuid={UUID} min=256MiB max=768MiB")
    assert raise_maximum(xapi, 786432) == f"xe vm-param-set uuid={UUID} memory-static-max=768MiB"
    assert stop_balancing(xapi, 786432) == set_memory(xapi, 786432)
    qubes = a_pv_guest(domain={"name": "work", "toolstack": "qubes"})
    assert raise_maximum(qubes, 786432) == "qvm-prefs work maxmem 768"
    assert stop_balancing(qubes, 786432) == "qvm-prefs work maxmem 0"


def test_limits_that_contradict_are_put_in_order_within_static_max() -> None:
    limits = {"dynamic_min_kib": 2097152, "dynamic_max_kib": 524288, "static_max_kib": 1048576}
    guest = a_pv_guest(domain={"uuid": UUID, "toolstack": "xapi"}, host=limits)
    fixes = {finding.code: finding.fix for finding in assess(guest).findings}
    assert f"uuid={UUID} min=512MiB max=1024MiB " in fixes["host-limits-contradict"]


def test_a_target_that_is_no_number_is_mended_with_one_that_changes_nothing() -> None:
    guest = an_hvm_guest(host={"target_kib": None, "target_text": "'abc'"})
    situation = understand(guest)
    assert situation.offset
    assert guest.balloon
    assert guest.balloon.target_kib
    host_kib = guest.balloon.target_kib + situation.offset.kib
    fixes = {finding.code: finding.fix for finding in assess(guest).findings}
    command = f"xenstore-write /local/domain/5/memory/target {host_kib}  # on the host"
    assert (
        "keeps its last target"
        in {f.code: f for f in assess(guest).findings}["host-target-garbage"].summary
    )
    assert fixes["host-target-garbage"].startswith(command)


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


@pytest.mark.parametrize(
    ("text", "read_as", "severity"),
    [
        ("'512M'", "512 KiB", "critical"),
        ("' 524288 '", "512 MiB", "warning"),
        (r"'\n524288\n'", "512 MiB", "warning"),
        ("'0x80000'", "0 KiB", "critical"),
    ],
)
def test_the_digits_that_the_kernel_takes_of_a_garbled_target_are_told(
    text: str, read_as: str, severity: str
) -> None:
    guest = a_pv_guest(host={"target_kib": None, "target_text": text}, balloon={"target_kib": 512})
    found = {finding.code: finding for finding in assess(guest).findings}["host-target-garbage"]
    assert f"the kernel reads {read_as} from it" in found.summary
    assert found.severity == severity
    # The kernel's own target is deadly by then: the guest keeps what it has.
    assert found.fix.startswith("xenstore-write /local/domain/5/memory/target 524288  #")


def test_a_guest_is_never_told_to_follow_a_target_below_what_it_uses() -> None:
    guest = a_pv_guest(host={"target_kib": 65536, "static_max_kib": 1048576})
    found = {finding.code: finding for finding in assess(guest).findings}["target-overridden"]
    assert found.fix.startswith("xl mem-set 5 524288k  # on the host")
    roomy = a_pv_guest(host={"target_kib": 786432, "static_max_kib": 1048576})
    found = {finding.code: finding for finding in assess(roomy).findings}["target-overridden"]
    assert found.fix.startswith("echo 786432 > ")


@pytest.mark.parametrize("number", [512, 768 * 1024 * 1024, 2**64 - 1])
def test_a_target_that_makes_no_sense_is_not_one_to_follow(number: int) -> None:
    guest = a_pv_guest(host={"target_kib": number, "static_max_kib": 1048576})
    assert "target-overridden" not in {finding.code for finding in assess(guest).findings}
