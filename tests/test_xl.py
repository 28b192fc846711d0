# SPDX-License-Identifier: GPL-2.0-or-later
"""xl: what it prints, and that nothing but checked numbers is handed to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.facts.units import MIB_KIB
from agent.core.host.guests import Hypervisor
from agent.xl import Listed, Xl, XlError, find_xl, hypervisor_in, listed_in

LIST = """\
Name                                        ID   Mem VCPUs\tState\tTime(s)
Domain-0                                     0  1024     1     r-----      62.1
g512                                         1   512     1     -b----       9.3
a name with   spaces                         2   400     4     --p---       0.0
leaving                                      7     0     1     --ps-d     120.5
(null)                                      12   256     1     ------       1.0
                                            13   256     1     ---sw-       1.0
an unknown reason                           14   256     1     ---s?-       1.0
a name that is longer than its column of 40 letters, by far    15 16384    32     r----- 1234567.1
"""
INFO = """\
host                   : lab
total_memory           : 4095
free_memory            : 2047
sharing_freed_memory   : 0
"""


def a_program(directory: Path, script: str) -> Path:
    path = directory / "usr/sbin/xl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_the_list_is_read_whatever_the_names_hold() -> None:
    assert listed_in(LIST) == {
        0: Listed(1024 * MIB_KIB, "running"),
        1: Listed(512 * MIB_KIB, "running"),
        2: Listed(400 * MIB_KIB, "paused"),
        7: Listed(0, "dying"),
        12: Listed(256 * MIB_KIB, "running"),
        13: Listed(256 * MIB_KIB, "crashed"),
        14: Listed(256 * MIB_KIB, "shut down"),
        15: Listed(16384 * MIB_KIB, "running"),
    }


def test_the_host_is_read_as_far_as_it_is_told() -> None:
    assert hypervisor_in(INFO) == Hypervisor(4095 * MIB_KIB, 2047 * MIB_KIB)
    assert hypervisor_in("free_memory : 99999999999999\n") == Hypervisor()


@given(st.text(max_size=300))
def test_no_text_ends_in_an_error_or_in_a_size_no_machine_has(text: str) -> None:
    for listed in listed_in(text).values():
        assert 0 <= listed.has_kib <= 1 << 42
    hypervisor_in(text)


def test_a_size_is_handed_over_as_two_words_without_a_shell(tmp_path: Path) -> None:
    program = a_program(tmp_path, 'printf "%s|" "$@" > "$(dirname "$0")/asked"')
    found = find_xl(str(tmp_path))
    assert found is not None
    found.mem_set(5, 384)
    assert (program.parent / "asked").read_text() == "mem-set|5|384m|"


@pytest.mark.parametrize(("domid", "mib"), [(0, 512), (-1, 512), (5, 0), (5, 1 << 40)])
def test_what_is_no_guest_and_no_size_is_never_handed_over(
    tmp_path: Path, domid: int, mib: int
) -> None:
    program = a_program(tmp_path, 'touch "$(dirname "$0")/asked"')
    with pytest.raises(XlError, match="cannot be given"):
        Xl(str(program)).mem_set(domid, mib)
    assert not (program.parent / "asked").exists()


# As Xen 4.17's xl said it in the lab.
REFUSAL = """\
libxl: error: libxl_mem.c:278:libxl_set_memory_target: Domain 8:memory_dynamic_max must be less
cannot set domid 8 dynamic max memory to : 2048m
"""
NO_ROOT = """\
libxl: error: libxl.c:102:libxl_ctx_alloc: cannot open libxc handle: Permission denied
cannot init xl context
"""


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (REFUSAL, "memory_dynamic_max must be less"),
        (NO_ROOT, "cannot open libxc handle: Permission denied"),
        ("one\nlibxl: \033[2Jrefused", "libxl: ?[2Jrefused"),
        ("", "xl mem-set: exit 1"),
    ],
)
def test_a_refusal_is_told_in_the_words_of_its_reason(tmp_path: Path, said: str, why: str) -> None:
    (tmp_path / "said").write_text(said)
    program = a_program(tmp_path, f"cat {tmp_path}/said >&2; exit 1")
    with pytest.raises(XlError) as refused:
        Xl(str(program)).mem_set(5, 384)
    assert str(refused.value) == why


def test_a_list_without_even_dom0_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(XlError, match="nothing that can be read"):
        Xl(str(a_program(tmp_path, "echo rubbish"))).domains()


def test_who_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.xl._ASK_S", 0.2)
    program = a_program(tmp_path, "exec sleep 60")
    with pytest.raises(XlError, match=r"xl list took longer than 0\.2 s"):
        Xl(str(program)).domains()


def test_without_a_program_there_is_none(tmp_path: Path) -> None:
    assert find_xl(str(tmp_path)) is None
    with pytest.raises(XlError, match="No such file"):
        Xl(str(tmp_path / "xl")).domains()
