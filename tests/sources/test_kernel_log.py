# SPDX-License-Identifier: GPL-2.0-or-later
"""The log of a boot, in the words of each kernel; what is not understood costs the word exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from agent.core.facts.numbers import MalformedError
from agent.core.facts.snapshot import BootLog
from agent.sources.kernel_complaints import parse_kernel_complaints
from agent.sources.kernel_log import is_relevant, parse_kernel_log, without_names
from tests.captures import load, names

Decoration = Callable[[str], str]

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


DECORATIONS: Final[dict[str, Decoration]] = {
    "journal": lambda line: f"Nov 28 06:06:38 web-1 kernel: {line[15:]}",
    "journal -o short-iso": lambda line: f"2026-11-28T06:06:38+0100 web-1 kernel: {line[15:]}",
    "syslog": lambda line: f"Nov 28 06:06:38 web-1 kernel: {line}",
    "busybox": lambda line: f"Nov 28 06:06:38 (none) kern.info kernel: {line}",
    "dmesg -T": lambda line: f"[Sat Nov 28 06:06:38 2026] {line[15:]}",
    "dmesg -x": lambda line: f"kern  :info  : {line}",
    "dmesg -r": lambda line: f"<6>{line}",
    "dmesg --color": lambda line: f"\x1b[32m{line[:15]}\x1b[0m\x1b[33m{line[15:]}\x1b[0m",
    "a serial console": lambda line: f"{line}\r",
    "printk.caller": lambda line: f"{line[:14]}[    T0] {line[15:]}",
}


@pytest.mark.parametrize("text", [LINUX_6_1, LINUX_4_4, LINUX_3_4], ids=["6.1", "4.4", "3.4"])
@pytest.mark.parametrize("how", DECORATIONS)
def test_a_log_tells_the_same_whatever_showed_it(text: str, how: str) -> None:
    shown = "\n".join(map(DECORATIONS[how], text.splitlines())) + "\n"
    # Only the kernel's own stamps tell when its start was over.
    ended_s = parse_kernel_log(shown).ended_s and parse_kernel_log(text).ended_s
    assert parse_kernel_log(shown) == parse_kernel_log(text)._replace(ended_s=ended_s)


@pytest.mark.parametrize("how", DECORATIONS)
def test_the_boots_wait_is_timed_by_the_kernels_own_stamps_or_by_the_clock(how: str) -> None:
    log = (
        "[   20.000000] xen:balloon: Waiting for initial ballooning down having finished.",
        "[   99.100000] xen:balloon: Initial ballooning down finished.",
    )
    first, last = map(DECORATIONS[how], log)
    told = {"journal": None, "journal -o short-iso": None, "dmesg -T": 0.0}.get(how, 79.1)
    wait_s = parse_kernel_complaints(f"{first}\n{last}\n").boot_wait_s
    assert wait_s == (pytest.approx(told) if told else told)


@pytest.mark.parametrize(
    ("began", "ended", "wait_s"),
    [("23:59:30", "00:00:49", 79), ("06:00:00", "06:00:00", 0)],
)
def test_by_the_clock_a_wait_may_pass_midnight(began: str, ended: str, wait_s: int) -> None:
    log = (
        f"[Sat Nov 28 {began} 2026] xen:balloon: Waiting for initial ballooning down having"
        f" finished.\n[Sun Nov  9 {ended} 2026] xen:balloon: Initial ballooning down finished.\n"
    )
    assert parse_kernel_complaints(log).boot_wait_s == wait_s


def test_stamps_that_run_backwards_time_nothing() -> None:
    waiting, finished = "Waiting for initial ballooning down", "Initial ballooning down finished"
    log = f"[9.000000] {waiting}\n[5.000000] {finished}\n"
    assert parse_kernel_complaints(log).boot_wait_s is None


@pytest.mark.parametrize("end", range(1, len("[    5.843440] Freeing unused kernel image")))
def test_a_log_that_breaks_off_in_the_middle_of_a_line_is_not_exact(end: int) -> None:
    *lines, last = LINUX_6_1.splitlines(keepends=True)
    assert parse_kernel_log("".join(lines)).whole
    assert not parse_kernel_log("".join(lines) + last[:end]).whole


def test_the_end_of_a_log_needs_no_newline() -> None:
    assert parse_kernel_log(LINUX_6_1.rstrip()).whole
    assert parse_kernel_log(LINUX_6_1 + "[   10.000000] random: crng init done").whole


def test_lines_that_another_one_was_written_into_are_not_exact() -> None:
    into = "memory: 68[    4.900000] random: crng init done\n44K"
    assert not parse_kernel_log(LINUX_6_1.replace("memory: 6844K", into)).whole


def test_a_program_that_names_the_kernel_begins_no_boot() -> None:
    noise = (
        "Nov 28 06:06:38 web-1 cloud-init[512]: Linux version 6.1.0-56-amd64 (debian)\n"
        "[   20.000000] systemd[1]: Linux version 6.1.0-56-amd64 (debian)\n"
    )
    assert parse_kernel_log(LINUX_6_1 + noise) == parse_kernel_log(LINUX_6_1)


def test_of_several_boots_in_one_log_the_last_one_counts() -> None:
    named = "[    0.000000] Linux version 6.1.0-56-amd64 (debian-kernel@lists.debian.org)\n"
    others = LINUX_3_4 + "[ 9000.1] Out of memory: Killed process 99 (python3) total-vm:1kB\n"
    for this in (LINUX_6_1, named + LINUX_6_1):
        assert parse_kernel_log(others + others + this) == parse_kernel_log(LINUX_6_1)
        assert parse_kernel_complaints(others + this).kills == 0
    assert parse_kernel_log(LINUX_6_1 + others) == parse_kernel_log(LINUX_3_4)


@pytest.mark.parametrize(
    ("was", "becomes", "tells"),
    [
        ("Released 0", "Released 0", True),
        ("[    0.000000] Released 0 page(s)\n", "", False),
        ("Released 0 page(s)", "Linux version 6.1.0 (gcc)", True),
        ("Released 0 page(s)", "Linux version 6.1.0 (gcc)\nReleased 12[ 0.0] pages", False),
    ],
)
def test_a_log_that_lost_its_first_lines_does_not_tell_what_was_released(
    was: str, becomes: str, tells: bool
) -> None:
    assert parse_kernel_log(LINUX_6_1.replace(was, becomes)).tells_released is tells


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
    assert parse_kernel_complaints(log).kills == 1


@pytest.mark.parametrize(
    "words",
    [
        "Out of memory: kill process 99 (mysqld) score 900 or a child",
        "Out of memory: Kill process 99 (mysqld) score 900 or sacrifice child",
        "Out of memory: Killed process 99 (mysqld) total-vm:1kB",
        "Out of memory (oom_kill_allocating_task): Kill process 99 (mysqld)",
    ],
)
def test_a_kill_is_known_in_the_words_of_each_kernel(words: str) -> None:
    assert parse_kernel_complaints(f"[ 9.1] {words}").kills == 1
    assert is_relevant(words)
    group = words.replace("Out of memory", "Memory cgroup out of memory")
    if "(oom_kill_allocating_task)" not in words:
        assert parse_kernel_complaints(f"[ 9.1] {group}")._replace(group_kills=0).kills == 0
        assert parse_kernel_complaints(f"[ 9.1] {group}").group_kills == 1


@pytest.mark.parametrize(
    "words",
    [
        "Memory cgroup out of memory: Killed process 7777 (secret-name) total-vm:1kB",
        "Out of memory: Killed process 7777 (secret-name) total-vm:1kB",
        "Out of memory (oom_kill_allocating_task): Kill process 7777 (secret-name)",
    ],
)
def test_a_capture_does_not_tell_who_was_killed(words: str) -> None:
    line = f"[ 9000.2] {words}"
    assert is_relevant(line)
    kept = without_names(line)
    assert "secret-name" not in kept
    assert parse_kernel_complaints(kept) == parse_kernel_complaints(line)


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
