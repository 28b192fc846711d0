# SPDX-License-Identifier: GPL-2.0-or-later
"""The policy at work on simulated guests: single stories, each with one thing to achieve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.core.policy.settings import PolicySettings
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.guest.kernel_images import DEBIAN_11, DEBIAN_12, image_of
from sim_backend.host.libxl import Libxl, simple_guest
from sim_backend.stories.attendance import Attendance
from sim_backend.stories.catalogue import load
from sim_backend.stories.policy_agent import PolicyAgent

MIB = 1024


class Story:
    """A guest, an agent that looks when it wants to or when the host wrote, and a plan."""

    def __init__(self, settings: PolicySettings, **config: Any) -> None:
        self.toolstack: Libxl
        self.domain: SimulatedDomain
        self.toolstack, self.domain = simple_guest(**config)
        self.clock = self.domain.clock
        self.start_s = self.clock.now_s
        self.agent = PolicyAgent(settings, keeps_record=True)
        self._attendance = Attendance(self.domain, self.agent)

    def at(self, when_s: float, action: Callable[[], object]) -> None:
        self.clock.at(self.start_s + when_s, action)

    def mem_set(self, when_s: float, mib: int) -> None:
        self.at(when_s, lambda: self.toolstack.mem_set(self.domain, mib * MIB))

    def workload(self, when_s: float, mib: int) -> None:
        self.at(when_s, lambda: self.domain.change_workload(anon_kib=mib * MIB))

    def look(self) -> None:
        self._attendance.wake("timer")

    def run(self, until_s: float) -> None:
        self.clock.run_until(self.start_s + until_s)

    @property
    def written(self) -> list[int]:
        return [target_kib // MIB for _, target_kib in self.domain.target_writes]

    @property
    def reasons(self) -> set[str]:
        return {decided.decision.reason for decided in self.agent.record}

    @property
    def current_mib(self) -> float:
        return self.domain.current_kib / MIB


FOLLOW = PolicySettings()
GUARD = PolicySettings(mode="guard")
SELF = PolicySettings(mode="self")


@pytest.mark.parametrize("mode", ["observe", "follow", "guard"])
@pytest.mark.parametrize("domain_type", ["pv", "pvh", "hvm"])
def test_a_kernel_that_follows_by_itself_is_left_alone(mode: Any, domain_type: str) -> None:
    story = Story(PolicySettings(mode=mode), domain_type=domain_type)
    story.mem_set(1, 768)
    story.run(30)

    assert story.domain.driver.at_rest
    assert story.written == []
    assert len(story.agent.record) < 12


def test_blocks_that_the_kernel_left_offline_are_put_online() -> None:
    story = Story(FOLLOW, image=DEBIAN_11)
    story.mem_set(1, 1024)
    story.run(20)

    assert story.current_mib == 1024
    assert story.written == []


def test_blocks_stay_offline_when_the_administrator_says_so() -> None:
    story = Story(FOLLOW._replace(online_blocks=False), image=DEBIAN_11)
    story.mem_set(1, 1024)
    story.run(20)

    assert story.current_mib == 512
    assert "online-not-allowed" in story.reasons


@pytest.mark.parametrize("mode", ["follow", "guard"])
def test_a_driver_that_gave_up_is_woken_and_gets_its_exact_target_back(mode: Any) -> None:
    story = Story(PolicySettings(mode=mode))
    taken_kib = story.domain.host.take_for_another(1 << 40)
    story.mem_set(1, 768)
    story.at(40, lambda: story.domain.host.return_from_another(taken_kib))
    story.run(400)

    assert "gave-up" in {happening.kind for happening in story.domain.happenings}
    assert story.current_mib == 768


def test_waking_that_does_not_help_becomes_rare() -> None:
    story = Story(FOLLOW)
    story.domain.host.take_for_another(1 << 40)
    story.mem_set(1, 768)
    story.run(4 * 3600)

    assert len(story.written) < 2 * 40


def test_a_target_set_by_hand_gives_way_to_the_hosts() -> None:
    story = Story(FOLLOW)
    story.at(5, lambda: story.domain.driver.set_target_pages(300 * 256))
    story.at(6, story.look)
    story.run(30)

    assert story.written == [512]
    assert story.current_mib == 512


@pytest.mark.parametrize("mode", ["follow", "guard", "self"])
def test_not_even_the_hosts_own_target_is_written_below_the_floor(mode: Any) -> None:
    story = Story(PolicySettings(mode=mode, floor_kib=400 * MIB))
    story.domain.store.write("memory/target", str(300 * MIB))
    story.clock.run_until(story.clock.now_s + 0.02)
    story.at(0.1, lambda: story.domain.driver.set_target_pages(512 * 256))
    story.at(3, story.look)
    story.run(60)

    assert min(story.written, default=400) >= 400
    if mode == "follow":
        assert "below-floor" in story.reasons


def test_a_static_max_that_was_rewritten_before_the_agent_came_misleads_nobody() -> None:
    story = Story(FOLLOW, domain_type="pvh")
    story.domain.store.write("memory/static-max", str(1024 * MIB + 64 * MIB))
    story.run(100)

    assert story.written == []


def test_two_who_write_the_target_do_not_fight_for_ever() -> None:
    story = Story(FOLLOW)

    def rival() -> None:
        story.domain.driver.set_target_pages(300 * 256)
        story.look()

    story.clock.every(5.0, rival, until_s=story.clock.now_s + 3600)
    story.run(3600)

    assert len(story.written) < 20


def squeezed_below_its_working_set(settings: PolicySettings, **config: Any) -> Story:
    story = Story(settings, **config)
    story.workload(1, 300)
    story.mem_set(10, 200)
    story.run(60)
    return story


def test_without_a_guard_a_squeezed_guest_loses_its_workload() -> None:
    assert squeezed_below_its_working_set(FOLLOW).domain.memory.oom_kills == 1


@pytest.mark.parametrize("domain_type", ["pv", "pvh", "hvm"])
def test_a_guarded_guest_keeps_its_workload_and_goes_on_when_there_is_room(
    domain_type: str,
) -> None:
    story = squeezed_below_its_working_set(GUARD, domain_type=domain_type)
    assert story.domain.memory.oom_kills == 0
    assert 400 < story.current_mib < 450
    assert "held-at-floor" in story.reasons

    story.domain.change_workload(anon_kib=0)
    story.run(90)
    assert abs(story.current_mib - 200) < 1
    assert story.domain.memory.oom_kills == 0


@pytest.mark.parametrize("mode", ["guard", "self"])
@pytest.mark.parametrize("in_use_mib", [0, 300])
def test_free_swap_is_no_room_to_shrink_into(mode: Any, in_use_mib: int) -> None:
    story = Story(PolicySettings(mode=mode), swap_kib=1024 * MIB)
    story.workload(1, in_use_mib)
    story.mem_set(10, 200)
    story.run(200)

    assert story.domain.memory.swapped_kib == 0
    assert (story.current_mib > 400) is bool(in_use_mib)


def test_a_configured_floor_is_never_passed() -> None:
    story = Story(GUARD._replace(floor_kib=300 * MIB))
    story.mem_set(1, 200)
    story.run(80)

    assert story.current_mib == 300


def test_a_floor_set_too_low_does_not_make_a_guard_squeeze_a_guest_that_is_short() -> None:
    story = squeezed_below_its_working_set(GUARD._replace(floor_kib=100 * MIB))
    assert story.domain.memory.oom_kills == 0
    assert story.current_mib > 300
    assert "held-at-floor" in story.reasons


def test_a_guard_lets_go_at_once_when_the_host_asks_for_more_again() -> None:
    story = squeezed_below_its_working_set(GUARD)
    story.mem_set(61, 600)
    story.run(70)

    assert story.current_mib == 600


def test_a_guest_of_its_own_mind_gives_back_and_takes_back_within_the_hosts_target() -> None:
    story = Story(SELF)
    story.mem_set(1, 1024)
    story.run(600)
    least_mib = story.current_mib
    assert least_mib < 600

    story.workload(601, 500)
    story.at(601.5, story.look)  # as the kernel's pressure trigger makes the daemon do
    story.run(700)
    assert story.current_mib > 600
    assert story.domain.memory.oom_kills == 0
    assert max(story.written) <= 1024


def test_a_guest_of_its_own_mind_comes_to_rest() -> None:
    story = Story(SELF)
    story.run(1200)
    writes = len(story.written)
    story.run(7200)

    assert len(story.written) == writes


def test_a_host_that_repeats_itself_does_not_undo_what_the_guest_gave_back() -> None:
    story = Story(SELF)
    story.mem_set(1, 1024)
    story.run(600)
    least_mib = story.current_mib
    story.mem_set(601, 1000)
    story.run(640)

    assert story.current_mib < least_mib + 100


def test_dom0_is_left_alone_unless_configured() -> None:
    story = Story(FOLLOW, domain_type="dom0-pv", memory_kib=1024 * MIB, maxmem_kib=1024 * MIB)
    story.at(1, lambda: story.domain.driver.set_target_pages(300 * 256))
    story.at(2, story.look)
    story.run(100)

    assert story.written == []
    assert story.reasons == {"dom0"}


def test_what_the_host_does_to_dom0_is_watched_to_its_end() -> None:
    story = Story(FOLLOW, domain_type="dom0-pv", memory_kib=1024 * MIB, maxmem_kib=1024 * MIB)
    story.at(60, lambda: story.domain.driver.set_target_pages(768 * 256))
    story.at(60, story.look)
    story.run(80)

    assert story.domain.driver.at_rest
    assert story.agent.record[-1].decision.numbers["current_kib"] == story.domain.current_kib
    assert len(story.agent.record) < 16


def test_dom0_is_served_as_any_guest_when_configured() -> None:
    policy = FOLLOW._replace(act_in_dom0=True)
    story = Story(policy, domain_type="dom0-pv", memory_kib=1024 * MIB, maxmem_kib=1024 * MIB)
    story.domain.store.write("memory/target", str(900 * MIB))
    story.at(5, lambda: story.domain.driver.set_target_pages(700 * 256))
    story.at(6, story.look)
    story.run(100)

    assert story.written == [900]


def test_a_refused_dom0_is_left_asleep_unless_configured_otherwise() -> None:
    report = load("dom0-refused").run(0, PolicyAgent(FOLLOW))
    failed = [check.name for check in report.checks if not check.passed]
    assert failed == ["current memory settles at 1310720 KiB within 150 s"]


OLD_WITHOUT_HOTPLUG = image_of("5.8.0", hotplug=False)
"""Takes pages of its own for grants, and keeps its target when the balloon is empty."""


@pytest.mark.parametrize("acts", [False, True])
def test_what_a_driver_domain_has_lent_out_is_no_reason_to_act(acts: bool) -> None:
    policy = FOLLOW._replace(driver_domain=True, act_in_dom0=acts)
    story = Story(policy, image=OLD_WITHOUT_HOTPLUG, maxmem_kib=512 * MIB)
    story.at(1, lambda: story.domain.driver.take_for_grants(5000))
    story.at(2, story.look)
    story.run(3600)

    assert story.written == []
    assert story.domain.current_kib < story.domain.target_kib
    assert len(story.agent.record) < 20


def test_a_driver_domain_that_was_refused_is_woken_like_any_guest() -> None:
    story = Story(FOLLOW._replace(driver_domain=True, act_in_dom0=True))
    taken_kib = story.domain.host.take_for_another(1 << 40)
    story.mem_set(1, 768)
    story.at(40, lambda: story.domain.host.return_from_another(taken_kib))
    story.run(400)

    assert story.current_mib == 768


def test_released_pages_are_not_taken_beyond_what_the_host_asks_for() -> None:
    story = Story(
        FOLLOW._replace(reclaim_released=True),
        domain_type="dom0-pv",
        memory_kib=1024 * MIB,
        maxmem_kib=1024 * MIB,
        released_pages=2560,
    )
    story.domain.store.write("memory/target", str(story.domain.current_kib))
    story.run(60)

    assert story.written == []


def test_pages_released_at_boot_are_taken_again_only_when_allowed() -> None:
    config: dict[str, Any] = {
        "domain_type": "dom0-pv",
        "memory_kib": 1024 * MIB,
        "maxmem_kib": 1024 * MIB,
        "released_pages": 2560,
    }
    left = Story(FOLLOW, **config)
    left.run(10)
    assert left.written == []

    taken = Story(FOLLOW._replace(reclaim_released=True), **config)
    before_mib = taken.current_mib
    taken.run(10)
    assert taken.current_mib == before_mib + 10


def test_observing_looks_and_never_writes() -> None:
    story = Story(PolicySettings(mode="observe"), image=DEBIAN_12)
    story.workload(1, 300)
    story.mem_set(10, 200)
    story.run(300)

    assert story.written == []


def test_a_guard_does_not_squeeze_a_workload_between_two_of_its_peaks() -> None:
    story = Story(GUARD)
    for second in range(0, 60, 5):
        story.workload(second, 330)
        story.workload(second + 4, 300)
    story.mem_set(11, 200)
    least_kib: list[int] = []
    for second in range(18, 60, 5):
        story.at(second, lambda: least_kib.append(story.domain.memory.available_kib))
    story.run(60)

    assert story.current_mib < 512
    assert story.domain.memory.oom_kills == 0
    assert min(least_kib) >= 12 * MIB
