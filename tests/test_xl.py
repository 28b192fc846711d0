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


def test_a_refusal_is_its_last_line_and_printable(tmp_path: Path) -> None:
    program = a_program(tmp_path, "printf 'one\\nlibxl: \\033[2Jrefused\\n' >&2; exit 1")
    with pytest.raises(XlError) as refused:
        Xl(str(program)).mem_set(5, 384)
    assert str(refused.value) == "libxl: ?[2Jrefused"


def test_without_a_program_there_is_none(tmp_path: Path) -> None:
    assert find_xl(str(tmp_path)) is None
    with pytest.raises(XlError, match="No such file"):
        Xl(str(tmp_path / "xl")).domains()
