# SPDX-License-Identifier: GPL-2.0-or-later
"""What every balloon driver does with the host's wish and with what is written to its files.

drivers/xen/balloon.c and xen-balloon.c, as in Linux 6.1.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest

from tests.contract.balloons import Balloon, RealBalloon
from tests.contract.conftest import DEVICE

DRIVERS = (
    [("real", "this")]
    if DEVICE
    else [
        ("simulated", "pv-512-1024"),
        ("simulated", "pvh-512-1024"),
        ("published", "pv-512-1024"),
    ]
)


@pytest.fixture(params=DRIVERS, ids=" ".join)
def balloon(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Balloon]:
    """A balloon at rest."""
    driver, guest = request.param
    with contextlib.closing(_make(driver, guest, tmp_path_factory)) as made:
        yield made


def _make(driver: str, guest: str, folders: pytest.TempPathFactory) -> Balloon:
    if DEVICE:
        return RealBalloon(DEVICE)
    # The simulator's tests are not there in a real guest.
    from tests.contract import balloons_simulated  # noqa: PLC0415

    return balloons_simulated.make(driver, guest, str(folders.mktemp("p")))


def number(balloon: Balloon, name: str) -> int:
    return int(balloon.read(name))


def offset_kib(balloon: Balloon) -> int:
    """By how much the kernel aims below the host's wish; 0 for a PV guest."""
    return int(balloon.host_wish()) - number(balloon, "target_kb")


def read_back(balloon: Balloon, name: str, text: str) -> str:
    """What target_kb says after a write, of a target that must not last."""
    before = balloon.read("target_kb").strip()
    balloon.write(name, text)
    made_of_it = balloon.read("target_kb")
    balloon.write("target_kb", before)
    balloon.settle()
    return made_of_it


@pytest.mark.parametrize("name", ["info/current_kb", "info/low_kb", "info/high_kb", "target_kb"])
def test_a_size_is_a_decimal_number_of_whole_pages_and_a_newline(
    balloon: Balloon, name: str
) -> None:
    assert re.fullmatch(r"(0|[1-9][0-9]*)\n", balloon.read(name))
    assert number(balloon, name) % 4 == 0


def test_target_is_target_kb_in_bytes(balloon: Balloon) -> None:
    assert number(balloon, "target") == number(balloon, "target_kb") * 1024


@pytest.mark.parametrize(
    ("name", "text"), [("schedule_delay", "1"), ("max_schedule_delay", "20"), ("retry_count", "1")]
)
def test_the_retries_of_a_driver_at_rest_read_in_hexadecimal(
    balloon: Balloon, name: str, text: str
) -> None:
    assert balloon.read(name) == f"{text}\n"


def test_the_balloon_goes_where_the_host_wants_it(balloon: Balloon) -> None:
    offset = offset_kib(balloon)
    for wish_kib in (393216, 400000, 524288):
        balloon.host_writes(str(wish_kib))
        assert number(balloon, "target_kb") == wish_kib - offset
        balloon.settle()
        assert number(balloon, "info/current_kb") == wish_kib - offset


def test_what_leaves_the_guest_is_in_the_balloon_to_the_page(balloon: Balloon) -> None:
    def kept_kib() -> int:
        return sum(number(balloon, f"info/{name}_kb") for name in ("current", "low", "high"))

    before_kib = kept_kib()
    for wish_kib in (425984, 491520):
        balloon.host_writes(str(wish_kib))
        balloon.settle()
        assert kept_kib() == before_kib


def test_a_wish_is_rounded_down_to_whole_pages(balloon: Balloon) -> None:
    offset = offset_kib(balloon)
    balloon.host_writes("524291")
    assert number(balloon, "target_kb") == 524288 - offset


@pytest.mark.parametrize("text", ["abc", "", "-1"])
def test_a_wish_that_is_no_number_changes_nothing(balloon: Balloon, text: str) -> None:
    before = balloon.read("target_kb")
    balloon.host_writes(text)
    assert balloon.read("target_kb") == before


def test_a_wish_that_is_taken_back_changes_nothing(balloon: Balloon) -> None:
    before = balloon.read("target_kb")
    wish = balloon.host_wish()
    balloon.host_writes(None)
    assert balloon.read("target_kb") == before
    balloon.host_writes(wish)


def test_the_guest_may_move_its_balloon_itself_and_the_host_is_not_told(balloon: Balloon) -> None:
    wish = balloon.host_wish()
    balloon.write("target_kb", "450560")
    balloon.settle()
    assert number(balloon, "info/current_kb") == 450560
    assert balloon.host_wish() == wish


@pytest.mark.parametrize(
    ("text", "kib"),
    [
        ("450560", 450560),
        ("450563", 450560),
        ("0x6e000", 450560),
        ("01560000", 450560),
        ("450560 KiB", 450560),
        ("4194304", 4194304),
        ("abc", 0),
        ("-1", 0),
    ],
)
def test_target_kb_takes_the_digits_at_the_start_and_knows_no_bounds(
    balloon: Balloon, text: str, kib: int
) -> None:
    assert read_back(balloon, "target_kb", text) == f"{kib}\n"


@pytest.mark.parametrize(("text", "kib"), [("440M", 450560), ("461373440", 450560), ("abc", 0)])
def test_target_takes_bytes_or_a_unit(balloon: Balloon, text: str, kib: int) -> None:
    assert read_back(balloon, "target", text) == f"{kib}\n"
