# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for the host: the toolstack's words, the host's sizes, nothing a paste would run."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.account.situation import understand
from agent.core.findings.finding import Finding, Fix
from agent.core.findings.host_commands import (
    configure,
    give_at_least,
    hold_at,
    make_larger,
    on_host_scale_kib,
    set_memory,
    set_range,
)
from tests.support.judged import assess
from tests.support.snapshots import (
    GIB,
    MIB,
    a_dom0,
    a_pv_guest,
    a_pvh_guest,
    an_hvm_guest,
    changed,
)

UUID = "d4352faf-853e-4c60-b096-a16c102e04f0"
RANGE = {"dynamic_min_kib": 262144, "dynamic_max_kib": 786432}


def guest_under(toolstack: str | None, **host: int) -> Any:
    domain = {"uuid": UUID, "name": "work", "toolstack": toolstack}
    return a_pv_guest(domain=domain, host=host)


def finding(snapshot: Any, code: str) -> Finding:
    return {found.code: found for found in assess(snapshot).findings}[code]


def test_each_toolstack_is_spoken_to_in_its_own_words() -> None:
    assert set_memory(guest_under("libxl"), 786432).commands == ("xl mem-set 5 786432k",)
    assert set_memory(guest_under("xend"), 786433).commands == ("xm mem-set 5 769",)
    fix = set_range(guest_under("xapi"), 262144, 786432)
    assert fix.commands == (f"xe vm-memory-dynamic-range-set uuid={UUID} min=256MiB max=768MiB",)
    fix = configure(guest_under("qubes"), "memory= nearer to maxmem=", qubes="maxmem 0")
    assert (fix.commands, fix.effect) == (("qvm-prefs work maxmem 0",), "next-boot")


def test_a_vm_that_can_take_no_more_is_not_given_another_dynamic_range() -> None:
    for held_kib, words in ((0, "can take no more than 512 MiB until its next start"),
                            (262144, "or change the VM's dynamic range")):  # fmt: skip
        balloon = {"target_kib": 786432, "low_kib": held_kib, "retry_count": 3, "motion": "still"}
        guest = changed(guest_under("xapi"), balloon=balloon, hotplug_unpopulated=None)
        assert words in hold_at(understand(guest), 524288).note


@pytest.mark.parametrize(
    ("most_kib", "words"),
    [
        (None, "raise the VM's dynamic-min to 512 MiB, which it uses"),
        (524288, "raise the VM's dynamic-min to 512 MiB, which it uses"),
        (524287, "and dynamic-min to 524288 KiB, which it uses"),
    ],
)
def test_a_vm_that_uses_what_it_is_to_give_keeps_it_by_its_dynamic_range(
    most_kib: int | None, words: str
) -> None:
    balloon = {"target_kib": 262144, "retry_count": 3, "motion": "still"}
    guest = changed(guest_under("xapi"), balloon=balloon, host={"dynamic_max_kib": most_kib})
    assert words in hold_at(understand(guest), 524288).note


@pytest.mark.parametrize("toolstack", ["xapi", "qubes", None])
def test_where_a_balancer_owns_the_target_or_nobody_is_known_no_command_sets_it(
    toolstack: str | None,
) -> None:
    situation = understand(guest_under(toolstack))
    for fix in (set_memory(situation.snapshot, 786432), hold_at(situation, 524288)):
        assert (fix.where, fix.commands) == ("host", ())
        assert fix.note


def test_where_a_balancer_sets_the_target_it_is_asked_and_else_whoever_runs_the_host() -> None:
    size = "set its memory to 768 MiB (786432 KiB)"
    for toolstack in ("xapi", "qubes"):
        note = set_memory(guest_under(toolstack), 786432).note
        assert note == f"{size}, by what sets its target there"
    assert set_memory(guest_under(None), 786432).note == f"ask whoever runs the host to {size}"


def test_what_xl_cfg_calls_things_is_said_only_where_there_is_one() -> None:
    def words(toolstack: str | None) -> str:
        return configure(guest_under(toolstack), "memory= larger, or maxmem= smaller").text

    assert "memory= larger, or maxmem= smaller, in the domain's configuration" in words("libxl")
    for toolstack in ("xapi", "qubes", None):
        assert "maxmem=" not in words(toolstack), toolstack


def test_the_dynamic_range_is_the_administrators() -> None:
    fix = give_at_least(understand(guest_under("xapi", **RANGE)), 524288)
    assert (fix.commands, "dynamic-min" in fix.note) == ((), True)


@pytest.mark.parametrize(("most_kib", "kib"), [(None, 600388), (700000, 600388), (600100, 600100)])
def test_where_the_offset_is_not_known_it_is_how_far_the_kernel_aims_below_the_host(
    most_kib: int | None, kib: int
) -> None:
    """Up to the domain's maximum."""
    guest = a_pvh_guest(
        balloon={"target_kib": 786432 - 388, "motion": "still"},
        host={"target_kib": 786432, "static_max_kib": most_kib},
        firmware_map=None,
    )
    situation = understand(guest)
    assert situation.offset is None
    assert on_host_scale_kib(situation, 600000) == kib


def test_a_qube_that_needs_more_gets_it_of_other_qubes() -> None:
    fix = give_at_least(understand(guest_under("qubes")), 786432)
    assert (fix.where, fix.effect, fix.commands) == ("host", "now", ())
    assert fix.note == "close other qubes: qmemman divides what there is"


def test_dom0_of_qubes_is_no_qube() -> None:
    situation = understand(a_dom0(domain={"toolstack": "qubes"}))
    fix = give_at_least(situation, 2097152)
    assert (fix.commands, "qmemman.conf" in fix.note) == ((), True)
    assert not configure(situation.snapshot, "memory=", qubes="maxmem 0").commands


def test_limits_that_contradict_are_put_in_order_within_static_max() -> None:
    limits = {"dynamic_min_kib": 2097152, "dynamic_max_kib": 524288, "static_max_kib": 1048576}
    fix = finding(guest_under("xapi", **limits), "host-limits-contradict").fix
    assert f"uuid={UUID} min=512MiB max=1024MiB " in fix


def test_a_target_that_is_no_number_is_mended_with_one_that_changes_nothing() -> None:
    guest = an_hvm_guest(host={"target_kib": None, "target_text": "'abc'"})
    situation = understand(guest)
    assert situation.offset
    assert situation.driver
    host_kib = situation.driver.target_kib + situation.offset.kib
    found = finding(guest, "host-target-garbage")
    assert "keeps its last target" in found.summary
    command = f"xenstore-write /local/domain/5/memory/target {host_kib}"
    assert found.fixes[0].commands == (command,)


def test_a_domain_of_unknown_number_gets_no_command() -> None:
    assert not set_memory(a_pv_guest(domain={"domid": None}), 4).commands


def test_the_host_is_told_its_own_count_of_an_hvm_guest() -> None:
    situation = understand(an_hvm_guest(host={"videoram_kib": 8192, "static_max_kib": 1056768}))
    assert situation.offset is not None
    host_kib = 522868 + situation.offset.kib + 8192
    assert hold_at(situation, 522868).commands == (f"xl mem-set 5 {host_kib}k",)


@pytest.mark.parametrize("name", ["$(reboot)", "a;b", "x y", "-rf", "", "a\nb", "´"])
def test_a_name_that_a_shell_would_act_on_is_not_pasted(name: str) -> None:
    guest = a_pv_guest(domain={"name": name, "toolstack": "qubes"})
    assert not configure(guest, "memory=", qubes="maxmem 0").commands


def test_no_word_of_the_kernels_command_line_gets_into_a_command() -> None:
    guest = a_pv_guest(
        kernel_options=("mem=1;$(reboot)",), host={"static_max_kib": 4194304, "target_kib": 524288}
    )
    assert not [c for f in assess(guest).findings for fix in f.fixes for c in fix.commands]


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
    found = finding(guest, "host-target-garbage")
    assert f"the kernel reads {read_as} from it" in found.summary
    assert found.severity == severity
    # The kernel's own target is deadly by then: the guest keeps what it has.
    assert found.fix.startswith("xenstore-write /local/domain/5/memory/target 524288  #")


def test_a_guest_is_never_told_to_follow_a_target_below_what_it_uses() -> None:
    guest = a_pv_guest(host={"target_kib": 65536, "static_max_kib": 1048576})
    assert finding(guest, "target-overridden").fix.startswith("xl mem-set 5 524288k  # on the host")
    roomy = a_pv_guest(host={"target_kib": 786432, "static_max_kib": 1048576})
    assert finding(roomy, "target-overridden").fix.startswith("echo 786432 > ")


@pytest.mark.parametrize("number", [512, 768 * 1024 * 1024, 2**64 - 1])
def test_a_target_that_makes_no_sense_is_not_one_to_follow(number: int) -> None:
    guest = a_pv_guest(host={"target_kib": number, "static_max_kib": 1048576})
    assert "target-overridden" not in {found.code for found in assess(guest).findings}


def test_a_fix_reads_as_a_line_to_paste_with_its_reason_behind_a_mark() -> None:
    assert Fix("guest", ("a", "b"), note="why").text == "a; b  # why"
    assert Fix("guest", ("a",)).text == "a"
    assert Fix("host", ("a",)).text == "a  # on the host"
    assert Fix("host", ("a",), note="why").text == "a  # on the host: why"
    assert Fix("host", note="do").text == "on the host: do"


@pytest.mark.parametrize(("below_kib", "where"), [(0, "guest"), (4, "host")])
def test_a_guest_follows_a_target_down_to_its_floor_and_no_further(
    below_kib: int, where: str
) -> None:
    floor_kib = understand(a_pv_guest()).headroom.floor_kib
    assert floor_kib is not None
    found = assess(a_pv_guest(host={"target_kib": floor_kib - below_kib})).findings
    fixes = next(finding for finding in found if finding.code == "target-overridden").fixes
    assert [fix.where for fix in fixes] == [where]


@pytest.mark.parametrize(("gap_kib", "raised"), [(MIB + 4, True), (MIB, False)])
def test_a_dynamic_max_that_is_the_maximum_but_for_rounding_is_not_to_be_raised(
    gap_kib: int, raised: bool
) -> None:
    guest = guest_under("xapi", dynamic_min_kib=262144, dynamic_max_kib=GIB - gap_kib)
    assert make_larger(guest).note.startswith("raise the VM's dynamic-max") is raised


@pytest.mark.parametrize(
    ("above_kib", "kib"),
    [(-4, 0), (4, 4), (128 * MIB, 128 * MIB), (128 * MIB + 4, 0)],
)
def test_where_nothing_tells_the_offset_what_the_kernel_is_below_the_host_counts(
    above_kib: int, kib: int
) -> None:
    """Up to 128 MiB; more is no offset."""
    guest = a_pv_guest(domain={"domain_type": None}, host={"target_kib": 524288 + above_kib})
    assert on_host_scale_kib(understand(guest), 524288) == 524288 + kib
