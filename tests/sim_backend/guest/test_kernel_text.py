# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel makes of what is written to its files, as seen and as its readers are written."""

from __future__ import annotations

import errno
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_backend.guest import kernel_text
from sim_backend.guest.files import BALLOON
from sim_backend.host.libxl import simple_guest
from tests.sim_backend.timelines import DIRECTORY

_WRITTEN = re.compile(r"^target_kb <- '(.*)' rc=0 \d+ -> (\d+) target=(\d+)$", re.MULTILINE)
ODD = _WRITTEN.findall((DIRECTORY / "pv-512-1024-odd-writes.txt").read_text())


@pytest.mark.parametrize(("written", "target_kb", "target"), ODD)
def test_an_odd_target_kb_becomes_what_the_real_kernel_made_of_it(
    written: str, target_kb: str, target: str
) -> None:
    _, domain = simple_guest()
    domain.write_file(f"{BALLOON}/target_kb", f"{written}\n")
    shown = domain.files()
    assert shown[f"{BALLOON}/target_kb"] == f"{target_kb}\n"
    assert shown[f"{BALLOON}/target"] == f"{target}\n"


def test_the_odd_writes_were_found() -> None:
    assert len(ODD) == 6


@pytest.mark.parametrize(
    ("written", "kib"),
    [
        ("0x80000", 524288),
        ("01750", 1000),
        ("089", 0),
        ("524288abc", 524288),
        (" 524288", 0),
        ("524287", 524284),
    ],
)
def test_target_kb_takes_prefixes_and_cuts_what_it_does_not_know(written: str, kib: int) -> None:
    _, domain = simple_guest()
    domain.write_file(f"{BALLOON}/target_kb", written)
    assert domain.target_kib == kib


@pytest.mark.parametrize(
    ("written", "kib"), [("640M", 655360), ("671088640", 655360), ("1g", 1 << 20)]
)
def test_target_takes_bytes_and_suffixes(written: str, kib: int) -> None:
    _, domain = simple_guest()
    domain.write_file(f"{BALLOON}/target", written)
    assert domain.target_kib == kib


def test_back_off_attributes_print_in_hexadecimal_without_a_prefix() -> None:
    """drivers/base/core.c, device_show_ulong: "%lx"; 32 s of max_schedule_delay were seen as 20."""
    _, domain = simple_guest()
    assert domain.driver.max_schedule_delay_s == 32
    assert domain.files()[f"{BALLOON}/max_schedule_delay"] == "20\n"
    domain.write_file(f"{BALLOON}/max_retry_count", "16")
    assert domain.driver.max_retry_count == 16
    assert domain.files()[f"{BALLOON}/max_retry_count"] == "10\n"


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("max_retry_count", "abc", errno.EINVAL),
        ("max_retry_count", "", errno.EINVAL),
        ("max_retry_count", "-1", errno.EINVAL),
        ("max_retry_count", "9" * 20, errno.ERANGE),
        ("scrub_pages", "maybe", errno.EINVAL),
        ("scrub_pages", " 1", errno.EINVAL),
        ("scrub_pages", "o", errno.EINVAL),
        ("retry_count", "1", errno.EACCES),
        ("info/current_kb", "1", errno.EACCES),
        ("no_such_file", "1", errno.ENOENT),
    ],
)
def test_the_other_attributes_are_strict(name: str, text: str, code: int) -> None:
    _, domain = simple_guest()
    with pytest.raises(OSError, match=name) as refusal:
        domain.write_file(f"{BALLOON}/{name}", text)
    assert refusal.value.errno == code


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("524288", 524288),
        (" 524288 x", 524288),
        ("0x10", 0),
        ("abc", None),
        ("-5", None),
        ("", None),
    ],
)
def test_the_watch_reads_decimal_digits_and_nothing_else(text: str, number: int | None) -> None:
    assert kernel_text.scan_u64(text) == number


@given(st.text(max_size=30))
def test_no_text_breaks_a_reader(text: str) -> None:
    value, rest = kernel_text.simple_strtoull(text)
    assert 0 <= value <= kernel_text.ULONG_MASK
    assert text.endswith(rest)
    assert 0 <= kernel_text.memparse(text) <= kernel_text.ULONG_MASK
    assert (kernel_text.scan_u64(text) or 0) <= kernel_text.ULONG_MASK


@given(st.integers(0, kernel_text.ULONG_MASK))
def test_a_plain_number_is_read_by_all_alike(number: int) -> None:
    text = str(number)
    assert kernel_text.simple_strtoull(text) == (number, "")
    assert kernel_text.kstrtoul(text) == kernel_text.scan_u64(text) == number


@pytest.mark.parametrize("text", ["1", "Yes", "true", "on", "ONE", "0\n", "no", "False", "of"])
def test_the_first_character_says_yes_or_no_and_after_an_o_the_second(text: str) -> None:
    """lib/kstrtox.c, kstrtobool; what follows is not looked at."""
    _, domain = simple_guest()
    domain.write_file(f"{BALLOON}/scrub_pages", text)


@pytest.mark.parametrize("name", ["target_kb", "target"])
@pytest.mark.parametrize("gone", [True, False])
def test_a_domain_that_refuses_a_target_or_is_gone_refuses_it_in_its_files_too(
    name: str, gone: bool
) -> None:
    toolstack, domain = simple_guest()
    if gone:
        toolstack.destroy(domain)
    else:
        domain.write_refusal = errno.EIO
    with pytest.raises(OSError, match=r"target_kb") as refusal:
        domain.write_file(f"{BALLOON}/{name}", "393216\n")
    assert refusal.value.errno == errno.EIO
    assert (domain.target_kib, domain.target_writes) == (524288, [])
