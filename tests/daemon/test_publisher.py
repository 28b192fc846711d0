# SPDX-License-Identifier: GPL-2.0-or-later
"""What is written to xenstore: only what changed, not too often, never again what was refused."""

from __future__ import annotations

from typing import Any, cast

import pytest

from agent.core.account.situation import understand
from agent.core.facts.snapshot import Snapshot
from agent.core.facts.units import MIB_KIB
from agent.core.policy.settings import PolicySettings
from agent.daemon.key_table import BALLOON, MADE, SEQUENCE, SPARE, UPDATED
from agent.daemon.published_keys import (
    is_worth_writing,
    keys_for,
    parting_keys,
    pressure_word,
    profile_for,
)
from agent.daemon.publisher import BURST, Publisher
from agent.sources.xenstore.errors import KeyAbsent, KeyDenied, QuotaExceeded, XenstoreLost
from agent.sources.xenstore.session import XenstoreSession
from tests.support.snapshots import CALM, STALLED, a_dom0, a_pv_guest

STATE = f"{BALLOON}/state"


class Store:
    """Stands where a session does."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str]] = []
        self.removed: list[str] = []
        self.refuse: dict[str, Exception] = {}
        self.there: dict[str, bytes] = {}

    def write(self, key: str, value: bytes) -> None:
        if key in self.refuse:
            raise self.refuse[key]
        self.written.append((key, value.decode()))
        self.there[key] = value

    def remove(self, key: str) -> None:
        self.removed.append(key)
        self.there.pop(key, None)

    def list(self, key: str) -> list[str]:
        names = [name for name in self.there if name.startswith(f"{key}/")]
        if not names:
            raise KeyAbsent("ENOENT", f"directory {key}")
        return [name.removeprefix(f"{key}/") for name in names]

    def read(self, key: str) -> bytes:
        if key not in self.there:
            raise KeyAbsent("ENOENT", f"read {key}")
        return self.there[key]

    @property
    def session(self) -> XenstoreSession:
        return cast("XenstoreSession", self)


def test_only_what_changed_is_written_and_the_sequence_comes_last() -> None:
    store, publisher = Store(), Publisher()
    publisher.publish(store.session, {STATE: "settled", f"{BALLOON}/actual_kb": "1"}, 0.0)
    assert [key for key, _ in store.written] == [STATE, f"{BALLOON}/actual_kb", SEQUENCE]

    store.written.clear()
    publisher.publish(store.session, {STATE: "moving", f"{BALLOON}/actual_kb": "1"}, 1.0)
    assert store.written == [(STATE, "moving"), (SEQUENCE, "2")]

    store.written.clear()
    assert publisher.publish(store.session, {STATE: "moving"}, 2.0).written == 2
    assert store.written == [(SEQUENCE, "3")]
    assert store.removed == [f"{BALLOON}/actual_kb"]


def test_a_predecessors_sequence_goes_on_and_its_figures_do_not_go_stale() -> None:
    store, publisher = Store(), Publisher()
    store.there = {
        SEQUENCE: b"41",
        STATE: b"stopped",
        f"{BALLOON}/floor_kb": b"1024",
        f"{BALLOON}/of-somebody-else": b"x",
    }
    publisher.publish(store.session, {STATE: "settled"}, 0.0)
    assert store.removed == [f"{BALLOON}/floor_kb"]
    assert store.written == [(STATE, "settled"), (SEQUENCE, "42")]


def test_the_last_words_are_not_held_back() -> None:
    store, publisher = Store(), Publisher()
    for number in range(2 * BURST):
        publisher.publish(store.session, {STATE: str(number), f"{BALLOON}/actual_kb": "1"}, 0.0)
    store.written.clear()
    publisher.part(store.session, {STATE: "stopped"})
    assert store.removed == [f"{BALLOON}/actual_kb"]
    assert [value for key, value in store.written if key == STATE] == ["stopped"]


def parting(mode: Any, aim_kib: int | None, profile: str = "libxl") -> dict[str, str]:
    settings = PolicySettings(mode=mode)
    keys = parting_keys(profile, understand(a_pv_guest()), settings, aim_kib)
    return {key.removeprefix(f"{BALLOON}/"): value for key, value in keys.items()}


def test_what_stays_at_the_end_says_that_the_daemon_stopped_and_gives_no_figure() -> None:
    assert parting("follow", 1024).keys() == {"state", "profile", "version"}
    assert parting("follow", 1024)["state"] == "stopped"
    assert parting("guard", None, "none") == {}


def test_a_target_of_the_agents_own_stays_with_the_one_that_would_follow_the_host() -> None:
    own_kib = a_pv_guest().balloon
    assert own_kib is not None
    said = parting("guard", 1024)
    assert (said["target_kb"], said["follow_kb"]) == (str(own_kib.target_kib), "1024")
    assert "follow_kb" not in parting("guard", own_kib.target_kib)
    assert "follow_kb" not in parting("guard", None)


@pytest.mark.parametrize(
    ("guest", "of_drivers", "acts", "sets"),
    [
        (a_pv_guest(), False, False, True),
        (a_pv_guest(), True, False, False),
        (a_pv_guest(), True, True, True),
        (a_dom0(), False, False, False),
        (a_dom0(), False, True, True),
        (a_pv_guest(kernel_options=("elfcorehdr=0x7000000",)), False, True, False),
    ],
)
def test_where_the_agent_sets_no_target_no_floor_and_none_of_its_own_are_told(
    guest: Snapshot, of_drivers: bool, acts: bool, sets: bool
) -> None:
    settings = PolicySettings(mode="guard", driver_domain=of_drivers, act_in_dom0=acts)
    keys = parting_keys("libxl", understand(guest), settings, 1024)
    assert (f"{BALLOON}/target_kb" in keys, f"{BALLOON}/follow_kb" in keys) == (sets, sets)
    told = keys_for("libxl", understand(guest), settings, 1024, came_to_rest=True)
    assert (f"{BALLOON}/floor_kb" in told) == sets


def test_a_refused_key_is_told_once_and_never_tried_again() -> None:
    store, publisher = Store(), Publisher()
    store.refuse["control/feature-balloon"] = KeyDenied("EACCES", "write")
    keys = {"control/feature-balloon": "1", STATE: "settled"}
    done = publisher.publish(store.session, keys, 0.0)
    assert done.refused == (("control/feature-balloon", "EACCES"),)
    assert publisher.publish(store.session, keys, 100.0).refused == ()
    assert publisher.due_s(keys, 100.0) is None

    publisher.forget()  # another host may allow it
    assert publisher.publish(store.session, keys, 200.0).refused


def test_a_quota_is_given_a_minute() -> None:
    store, publisher = Store(), Publisher()
    store.refuse[STATE] = QuotaExceeded("EQUOTA", "write")
    keys = {STATE: "settled"}
    publisher.publish(store.session, keys, 0.0)
    assert publisher.due_s(keys, 1.0) == 60.0
    store.refuse.clear()
    assert publisher.publish(store.session, keys, 30.0).written == 0
    assert publisher.publish(store.session, keys, 61.0).written == 2


def test_beside_a_key_that_pauses_a_figure_may_move_a_little() -> None:
    """It goes with whatever is written next, and until then is nothing to wait for."""
    store, publisher = Store(), Publisher()
    store.refuse[STATE] = QuotaExceeded("EQUOTA", "write")
    publisher.publish(store.session, {STATE: "settled", SPARE: "100000"}, 0.0)
    a_little_less = {STATE: "settled", SPARE: "99996"}
    assert publisher.publish(store.session, a_little_less, 1.0).written == 0
    assert publisher.due_s(a_little_less, 1.0) == 60.0


def test_a_flood_of_changes_is_slowed_down_and_the_last_value_gets_through() -> None:
    store, publisher = Store(), Publisher()
    for number in range(10_000):
        publisher.publish(store.session, {STATE: str(number)}, number / 1000)
    rounds = len(store.written) // 2
    assert rounds <= BURST + 5 * 10 + 1
    keys = {STATE: "9999"}
    due_s = publisher.due_s(keys, 10.0)
    assert due_s is None or due_s <= 10.2
    publisher.publish(store.session, keys, 10.5)
    assert dict(store.written)[STATE] == "9999"


def test_a_round_that_goes_on_counts_once() -> None:
    """What was decided and, as soon as it is known, what is to be thought of it."""
    store, publisher = Store(), Publisher()
    for number in range(BURST):
        keys = {STATE: f"{number}"}
        assert publisher.publish(store.session, keys, 0.0).written
        keys = {**keys, f"{BALLOON}/finding": f"{number}"}
        assert publisher.publish(store.session, keys, 0.0, goes_on=True).written
    assert not publisher.publish(store.session, {STATE: "another"}, 0.0).written


def test_a_lost_connection_is_the_callers_business() -> None:
    store, publisher = Store(), Publisher()
    store.refuse[STATE] = XenstoreLost("gone")
    with pytest.raises(XenstoreLost):
        publisher.publish(store.session, {STATE: "settled"}, 0.0)


def keys_of(
    profile: str, mode: Any = "follow", *, rested: bool = True, time_of_day: str = "now"
) -> dict[str, str]:
    situation = understand(a_pv_guest())
    floor_kib = 100 * 1024
    return dict(
        keys_for(
            profile,
            situation,
            PolicySettings(mode=mode),
            floor_kib,
            came_to_rest=rested,
            time_of_day=time_of_day,
        )
    )


def test_below_libxl_only_data_balloon_is_written() -> None:
    assert all(key.startswith(f"{BALLOON}/") for key in keys_of("libxl"))
    assert keys_of("none") == {}


def test_squeezed_hears_of_the_guest_only_once_its_balloon_has_come_to_rest() -> None:
    has_booted = {"control/feature-balloon", "data/updated"}
    assert not has_booted & keys_of("xapi", rested=False).keys()
    assert has_booted <= keys_of("xapi").keys()
    assert {"data/meminfo_total", "data/meminfo_free"} <= keys_of("xapi").keys()


def test_xapi_gets_the_time_of_day_with_new_figures_of_memory() -> None:
    store, publisher = Store(), Publisher()
    publisher.publish(store.session, keys_of("xapi", time_of_day="12:00"), 0.0)
    assert store.written.count((UPDATED, "12:00")) == 1
    store.written.clear()
    publisher.publish(store.session, keys_of("xapi", time_of_day="12:09"), 9.0)
    assert store.written == []
    far = keys_of("xapi", time_of_day="12:10") | {"data/meminfo_free": "1024"}
    publisher.publish(store.session, far, 10.0)
    assert store.written == [("data/meminfo_free", "1024"), (UPDATED, "12:10")]


def test_a_little_more_or_less_available_memory_is_not_worth_a_write() -> None:
    store, publisher = Store(), Publisher()
    keys = keys_of("xapi")
    publisher.publish(store.session, keys, 0.0)
    near = keys | {"data/meminfo_free": str(int(keys["data/meminfo_free"]) - 1024)}
    assert publisher.publish(store.session, near, 9.0).written == 0
    far = keys | {"data/meminfo_free": str(int(keys["data/meminfo_free"]) - 32 * 1024)}
    assert publisher.publish(store.session, far, 9.0).written >= 1


def test_nobody_is_enrolled_in_qubes_by_a_guess() -> None:
    assert profile_for("auto", "qubes") == "libxl"
    assert profile_for("auto", "xapi") == "xapi"
    assert profile_for("auto", None) == "libxl"
    assert profile_for("qubes", "libxl") == "qubes"


def test_the_floor_is_reported_by_the_modes_that_have_one() -> None:
    assert f"{BALLOON}/floor_kb" not in keys_of("libxl")
    assert keys_of("libxl", "guard")[f"{BALLOON}/floor_kb"] == str(100 * 1024)


def test_pressure_is_one_word() -> None:
    little = {"available_kib": 10000}
    words = {
        "unknown": a_pv_guest(memory=None),
        "none": a_pv_guest(),
        "some": a_pv_guest(memory=little, pressure=CALM),
        "full": a_pv_guest(memory=little, pressure=STALLED),
    }
    assert {word: pressure_word(guest) for word, guest in words.items()} == {w: w for w in words}


def test_pressure_that_only_decays_is_not_published() -> None:
    assert pressure_word(a_pv_guest(pressure=STALLED)) == "none"


def left_alone(store: Store, keys: dict[str, str]) -> dict[str, str]:
    publisher = Publisher()
    return dict(publisher.publish(store.session, keys, 0.0).left)


def test_what_another_agent_or_the_host_has_made_is_not_written_over() -> None:
    store = Store()
    store.there = {"data/meminfo_free": b"1", UPDATED: b"1", "control/feature-balloon": b""}
    left = left_alone(store, keys_of("xapi"))
    assert left.keys() == store.there.keys() & left.keys() == {
        "data/meminfo_free", UPDATED, "control/feature-balloon",
    }  # fmt: skip
    assert (store.there["data/meminfo_free"], store.there[UPDATED]) == (b"1", b"1")
    assert store.there["control/feature-balloon"] == b""
    assert store.there[MADE] == b"meminfo_total"


def test_beside_an_agent_that_has_said_it_is_there_no_figure_is_made() -> None:
    store = Store()
    store.there = {"attr/PVAddons/MajorVersion": b"8"}
    left = left_alone(store, keys_of("xapi"))
    assert left.keys() == {"data/meminfo_total", "data/meminfo_free", UPDATED}
    assert "data/meminfo_total" not in store.there


def test_an_agent_that_comes_later_has_its_keys_from_then_on() -> None:
    store, publisher = Store(), Publisher()
    publisher.publish(store.session, keys_of("xapi"), 0.0)
    store.there["data/meminfo_free"] = b"7"
    theirs = keys_of("xapi") | {"data/meminfo_free": "1024"}
    done = publisher.publish(store.session, theirs, 10.0)
    assert dict(done.left).keys() == {"data/meminfo_free"}
    assert store.there["data/meminfo_free"] == b"7"
    assert "meminfo_free" not in store.there[MADE].decode().split()
    assert publisher.due_s(theirs, 11.0) is None


def test_a_daemon_that_starts_again_goes_on_with_what_the_one_before_it_made() -> None:
    store = Store()
    Publisher().publish(store.session, keys_of("xapi"), 0.0)
    publisher = Publisher()
    later = keys_of("xapi", time_of_day="later") | {"data/meminfo_free": "1024"}
    assert publisher.publish(store.session, later, 0.0).left == ()
    assert store.there["data/meminfo_free"] == b"1024"
    assert store.there[UPDATED] == b"later"


def test_what_is_ours_is_recorded_before_it_is_there() -> None:
    store = Store()
    Publisher().publish(store.session, keys_of("xapi"), 0.0)
    order = [key for key, _ in store.written]
    assert order.index(MADE) < order.index("data/meminfo_total")
    refusing = Store()
    refusing.refuse[MADE] = QuotaExceeded("EQUOTA", "write")
    Publisher().publish(refusing.session, keys_of("xapi"), 0.0)
    assert not {"data/meminfo_total", UPDATED} & refusing.there.keys()


def test_a_key_that_only_the_host_can_make_is_not_tried_where_it_is_absent() -> None:
    store, publisher = Store(), Publisher()
    keys = {"memory/meminfo": "5", "memory/swapinfo": "0"}
    store.there = {"memory/meminfo": b""}
    publisher.publish(store.session, keys, 0.0)
    assert store.there["memory/meminfo"] == b"5"
    assert "memory/swapinfo" not in store.there


def test_a_number_of_another_reporter_stays_and_its_absence_is_nobodys() -> None:
    for there, ours in ((b"123", b"123"), (b"", b"5"), (b"stopped", b"5")):
        store = Store()
        store.there = {"memory/meminfo": there}
        Publisher().publish(store.session, {"memory/meminfo": "5"}, 0.0)
        assert store.there["memory/meminfo"] == ours


def test_a_pause_that_is_over_of_a_key_nobody_wants_any_more_wakes_nobody() -> None:
    """Else the daemon would wake for it at once, again and again, until the other pause is over."""
    store, publisher = Store(), Publisher()
    floor = f"{BALLOON}/floor_kb"
    store.refuse = {floor: QuotaExceeded("ENOSPC", "write")}
    publisher.publish(store.session, {STATE: "settled", floor: "1"}, 0.0)
    store.refuse = {STATE: QuotaExceeded("ENOSPC", "write")}
    publisher.publish(store.session, {STATE: "moving"}, 50.0)
    assert publisher.due_s({STATE: "moving"}, 70.0) == 110.0


@pytest.mark.parametrize("profile", ["libxl", "none"])
def test_with_another_profile_a_save_is_not_held_up_any_more(profile: str) -> None:
    store, publisher = Store(), Publisher()
    publisher.publish(store.session, keys_of("xapi"), 0.0)
    assert store.there["control/balloon-active"] == b"0"
    publisher.publish(store.session, keys_of(profile), 10.0)
    assert "control/balloon-active" not in store.there
    assert {"control/feature-balloon", UPDATED, "data/meminfo_free"} <= store.there.keys()
    later = Store()
    later.there = {"control/balloon-active": b"1", f"{BALLOON}/profile": b"xapi", SEQUENCE: b"3"}
    Publisher().publish(later.session, keys_of(profile), 0.0)
    assert "control/balloon-active" not in later.there


@pytest.mark.parametrize(
    ("now_mib", "band_mib"), [(0, 4), (16, 4), (17, 4.25), (40, 10), (64, 16), (1000, 16)]
)
def test_the_less_there_is_to_spare_the_closer_it_is_told(now_mib: int, band_mib: float) -> None:
    for above_mib, worth_it in ((band_mib, True), (band_mib - 1 / 256, False)):
        before, now = (now_mib + above_mib) * MIB_KIB, {SPARE: str(now_mib * MIB_KIB)}
        assert is_worth_writing(SPARE, f"{before:.0f}", now) is worth_it
