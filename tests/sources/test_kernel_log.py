# SPDX-License-Identifier: GPL-2.0-or-later
"""The log of a boot, in the words of each kernel; what is not understood costs the word exact."""

from __future__ import annotations

import pytest

from agent.core.facts.numbers import MalformedError
from agent.core.facts.snapshot import BootLog
from agent.sources.kernel_complaints import parse_kernel_complaints
from agent.sources.kernel_log import is_relevant, parse_kernel_log, without_names
from tests.captures import load, names

CODE = "14343K kernel code, 2338K rwdata, 9132K rodata, 2824K init, 17344K bss"
LINUX_6_1 = f"""\
[    0.000000] Released 0 page(s)
[    2.593577] Memory: 201120K/1048188K available ({CODE}, 607028K reserved, 0K cma-reserved)
[    3.782487] Freeing SMP alternatives memory: 36K
[    4.856340] Freeing initrd memory: 6844K
[    5.779440] Freeing unused kernel image (initmem) memory: 2824K
[    5.843440] Freeing unused kernel image (text/rodata gap) memory: 2040K
"""
# As people have posted them.
LINUX_4_4 = """\
[    0.000000] Released 0 page(s)
[    0.000000] Remapped 0 page(s)
[    0.000000] Memory: 958188K/2096764K available (8428K kernel code, 1138576K reserved, \
0K cma-reserved)
[    0.016370] process: using mwait in idle threads
[    0.017028] Freeing SMP alternatives memory: 28K (ffffffff81ea4000 - ffffffff81eab000)
[    1.240000] Freeing initrd memory: 38000K (ffff880036cdb000 - ffff880037ff0000)
[    1.550000] Freeing unused kernel memory: 1480K (ffff880036cdb000 - ffff880037ff0000)
"""
LINUX_3_4 = """\
[    0.000000] Freeing  9e-100 pfn range: 98 pages freed
[    0.000000] Freeing bb000-100000 pfn range: 282624 pages freed
[    0.000000] Released 283999 pages of unused memory
[    0.000000] Set 283999 page(s) to 1-1 mapping
[    0.000000] Populating 1acb65-1f20c4 pfn range: 283999 pages added
[    0.000000] Memory: 1900000k/2097152k available (3300k kernel code, 448k absent, \
190000k reserved, 3300k data, 600k init)
[    0.010826] Freeing SMP alternatives: 24k freed
[    0.350000] Freeing unused kernel memory: 600k freed
"""
LINUX_3_1 = """\
released 1234 pages of unused memory
Memory: 1900000k/2097152k available (3300k kernel code, 448k absent, 190000k reserved, 600k init)
Freeing initrd memory: 20000k freed
Freeing unused kernel memory: 600k freed
"""


@pytest.mark.parametrize(
    ("text", "log"),
    [
        (LINUX_6_1, BootLog(1048188, 607028, 36 + 6844 + 2824 + 2040, 0, 5.84344)),
        (LINUX_4_4, BootLog(2096764, 1138576, 28 + 38000 + 1480, 0, 1.55)),
        (LINUX_3_4, BootLog(2097152 - 448, 190000, 24 + 600, 0, 0.35, whole=False)),
        (LINUX_3_1, BootLog(2097152 - 448, 190000, 20600, 1234, None, whole=False)),
    ],
    ids=["6.1", "4.4", "3.4", "3.1"],
)
def test_each_kernel_is_read_in_its_own_words(text: str, log: BootLog) -> None:
    assert parse_kernel_log(text) == log


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("image (initmem) memory: 2824K", "image (initmem) memory: 2824K of 2 nodes"),
        ("initrd memory: 6844K", "initrd memory: some"),
        ("Freeing unused kernel image", "Freeing unusual kernel image"),
        (", 0K cma-reserved)", ""),
    ],
)
def test_a_line_that_is_not_understood_costs_the_word_exact(was: str, becomes: str) -> None:
    assert parse_kernel_log(LINUX_6_1).whole
    assert was in LINUX_6_1
    assert not parse_kernel_log(LINUX_6_1.replace(was, becomes)).whole


@pytest.mark.parametrize("name", [name for name in names() if name.startswith(("pv", "hvm"))])
def test_the_log_of_every_real_guest_is_understood_as_a_whole(name: str) -> None:
    text = load(name).files.get("kernel.log", "")
    if "Memory: " in text:
        assert parse_kernel_log(text).whole


def test_other_drivers_may_free_what_they_like() -> None:
    noise = "[    2.000000] Freeing IRQ vectors: 7\n[    6.0] mydriver: Freeing buffers\n"
    assert parse_kernel_log(LINUX_6_1 + noise) == parse_kernel_log(LINUX_6_1)


@pytest.mark.parametrize(
    "line",
    [
        "Memory: 1K/9999999999999K available (1K reserved)",
        "Memory: 1K/5K available (9K reserved)",
        "Memory: 1K/5K available (9K kernel code)",
        "Memory: 1K/9K available (5K reserved)\nFreeing initrd memory: 6K",
        "Memory: 1K/9K available (5K reserved)\nReleased 9999999999999 page(s)",
    ],
)
def test_sizes_that_cannot_be_are_no_boot(line: str) -> None:
    with pytest.raises(MalformedError):
        parse_kernel_log(line)


def test_kills_of_a_control_groups_own_limit_are_told_apart() -> None:
    log = """\
[ 9000.1] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/kubepods.slice/x,task=node
[ 9000.2] Memory cgroup out of memory: Killed process 7777 (node) total-vm:1200000kB
[ 9001.0] Memory cgroup out of memory: Kill process 42 (java) score 900 or sacrifice child
[ 9002.0] Out of memory: Killed process 99 (python3) total-vm:1kB
"""
    assert parse_kernel_complaints(log).group_kills == 2


def test_a_capture_does_not_tell_who_was_killed() -> None:
    line = "[ 9000.2] Memory cgroup out of memory: Killed process 7777 (secret-name) total-vm:1kB"
    assert is_relevant(line)
    kept = without_names(line)
    assert "secret-name" not in kept
    assert parse_kernel_complaints(kept).group_kills == 1


def test_hot_adding_that_fails_is_a_refusal_in_the_words_of_3_13() -> None:
    line = "[ 1088.6] xen:balloon: reserve_additional_memory: add_memory() failed: -17\n"
    assert parse_kernel_complaints(line * 3).refusals == ("add_memory() failed: -17",)


@pytest.mark.parametrize(("populated", "left"), [(0, 300), (100, 200), (300, 0), (400, 0)])
def test_pages_populated_elsewhere_were_not_given_back(populated: int, left: int) -> None:
    lines = (
        "Released 300 pages of unused memory\n"
        f"Populating 1a-2b pfn range: {populated} pages added\n"
    )
    assert parse_kernel_log(lines + LINUX_6_1).released_pages == left
