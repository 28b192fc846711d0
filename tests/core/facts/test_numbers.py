# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers from outside are plain decimals of bounded length, or refused with a reason."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.core.facts.bounds import LARGEST_KIB, unwrapped
from agent.core.facts.numbers import (
    MalformedError,
    excerpt,
    is_digits,
    key_decimal,
    key_kib,
    key_signed,
    key_signed_kib,
    parse_decimal,
    parse_hex,
    parse_kib,
    shown,
)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"0", 0),
        (b"1", 1),
        (b"524288", 524288),
        (b"9223372036854775808", 2**63),
        (b"18446744073709551615", 2**64 - 1),
    ],
)
def test_a_plain_decimal_is_its_value(raw: bytes, value: int) -> None:
    assert key_decimal(raw) == value


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "empty"),
        (b" ", "not a decimal number: ' '"),
        (b"1_000", "not a decimal number: '1_000'"),
        (b" 5\n", "not a decimal number: ' 5\\n'"),
        (b"5\n", "not a decimal number: '5\\n'"),
        (b"5\0", "not a decimal number: '5\\x00'"),
        (b"\0", "not a decimal number: '\\x00'"),
        (b"+5", "not a decimal number: '+5'"),
        (b"-1", "not a decimal number: '-1'"),
        (b"0x80000", "not a decimal number: '0x80000'"),
        (b"0o17", "not a decimal number: '0o17'"),
        (b"1e6", "not a decimal number: '1e6'"),
        (b"1.5", "not a decimal number: '1.5'"),
        (b"512 1024", "not a decimal number: '512 1024'"),
        (b"512M", "not a decimal number: '512M'"),
        (b"0755", "leading zero, octal or decimal: '0755'"),
        (b"00", "leading zero, octal or decimal: '00'"),
        (b"18446744073709551616", "more than 64 bits: '18446744073709551616'"),
        (
            b"9" * 4096,
            "longer than 20 digits: '999999999999999999999999' and 4072 bytes more",
        ),
        (
            "١٢".encode(),
            "not a decimal number: '\\xd9\\xa1\\xd9\\xa2'",
        ),
        ("²".encode("latin-1"), "not a decimal number: '\\xb2'"),
        (b"\x1b[2J", "not a decimal number: '\\x1b[2J'"),
    ],
)
def test_anything_else_is_refused_with_a_reason(raw: bytes, why: str) -> None:
    with pytest.raises(MalformedError) as refused:
        key_decimal(raw)
    assert str(refused.value) == why


@pytest.mark.parametrize(
    ("raw", "value"),
    [(b"-1", -1), (b"0", 0), (b"8192", 8192), (b"-9223372036854775807", 1 - 2**63)],
)
def test_a_signed_decimal_may_be_negative(raw: bytes, value: int) -> None:
    assert key_signed(raw) == value


@pytest.mark.parametrize(
    "raw",
    [b"", b"-", b"--1", b"- 1", b"+1", b"-0", b"-01", b"-1\n", b"-0x1", b"9223372036854775808"],
)
def test_a_sign_changes_nothing_else_about_what_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedError, match=r"."):
        key_signed(raw)


@given(st.integers(min_value=0, max_value=2**64 - 1))
def test_every_64_bit_number_survives_the_way_there_and_back(number: int) -> None:
    assert key_decimal(b"%d" % number) == number


@given(st.integers(min_value=1 - 2**63, max_value=2**63 - 1))
def test_every_signed_number_survives_the_way_there_and_back(number: int) -> None:
    assert key_signed(b"%d" % number) == number


@given(
    st.binary(max_size=4096) | st.text(alphabet="0123456789_+- \n\0٣", max_size=30).map(str.encode)
)
@example(b"0" * 4096)
def test_any_bytes_end_in_a_canonical_number_or_one_printable_line(raw: bytes) -> None:
    for parse in (key_decimal, key_signed):
        try:
            assert b"%d" % parse(raw) == raw
        except MalformedError as error:
            why = str(error)
            assert why.isprintable()
            assert why.isascii()
            assert 0 < len(why) < 200


@given(st.binary(max_size=100))
def test_an_excerpt_is_printable_ascii_of_bounded_length(raw: bytes) -> None:
    said = excerpt(raw)

    assert said.isprintable()
    assert said.isascii()
    assert len(said) < 130


def test_what_is_cut_off_for_a_message_is_told() -> None:
    assert (shown("abc", 3), shown("abcd", 3)) == ("'abc'", "'abc...'")
    assert excerpt(b"a" * 24) == "'" + "a" * 24 + "'"
    assert excerpt(b"a" * 26).endswith("' and 2 bytes more")


def test_a_size_is_from_nothing_to_what_the_largest_machine_could_have() -> None:
    for kib in (0, LARGEST_KIB):
        assert parse_kib(f"{kib}\n") == key_kib(b"%d" % kib) == key_signed_kib(b"%d" % kib) == kib
    assert key_signed_kib(b"-%d" % LARGEST_KIB) == -LARGEST_KIB
    for read, raw in ((key_kib, b"%d"), (key_signed_kib, b"%d"), (key_signed_kib, b"-%d")):
        with pytest.raises(MalformedError, match="more than a machine could have"):
            read(raw % (LARGEST_KIB + 1))
    with pytest.raises(MalformedError, match="more than a machine could have"):
        parse_kib(str(LARGEST_KIB + 1))


def test_a_number_of_the_kernels_is_below_zero_from_half_of_64_bits_on() -> None:
    assert unwrapped((1 << 64) - 4) == -4
    assert unwrapped((1 << 63) - 1) == LARGEST_KIB
    assert unwrapped(1 << 63) == -LARGEST_KIB


def test_no_more_digits_are_read_than_a_number_of_64_bits_has() -> None:
    assert parse_decimal("18446744073709551615\n") == (1 << 64) - 1
    assert is_digits("0" * 20)
    assert not is_digits("0" * 21)
    assert parse_hex("0x" + "f" * 16) == parse_hex("f" * 16 + "\n") == (1 << 64) - 1
    for text in ("0x" + "0" * 17, "0x", "", "\n", "g"):
        with pytest.raises(MalformedError, match="is not a hexadecimal number"):
            parse_hex(text)


@pytest.mark.parametrize(("letters", "shows"), [(40, "a" * 40), (41, "a" * 40 + "...")])
def test_of_a_text_40_letters_are_shown(letters: int, shows: str) -> None:
    assert shown("a" * letters) == repr(shows)
