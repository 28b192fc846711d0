# SPDX-License-Identifier: GPL-2.0-or-later
"""qmemman as it runs on a host: when it balances, how it waits, what it asks for a VM that starts.

Each report starts a round of its own, and so does a domain that comes or goes; one thing at a time,
and nothing while the client of a request stays connected: that is for as long as a VM starts.  Read
in qubes-core-admin 1ad5f9b84dc1 (qubes/qmemman/systemstate.py, qubes/tools/qmemmand.py) and held
against recordings of it (tests/recordings).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Final

from agent.core.facts.numbers import is_digits
from agent.core.facts.units import MIB_KIB, PAGE_KIB
from sim_backend.clock import Clock
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.host.libxl import MAXMEM_CONSTANT_KIB
from sim_backend.host.qmemman import (
    KEPT_FREE_KIB,
    LEAST_FREE_KIB,
    Member,
    Request,
    balanced,
    is_worth_it,
    requests_to_free,
    whole_bytes,
)
from sim_backend.host.turns import UNTIL_CALLED, Job, Turns
from sim_backend.hypervisor import Host

BELOW_GIVEN_KIB: Final = 16 * MIB_KIB
OVERHEAD_FACTOR: Final = 1.0 / 1.00781  # of what Xen calls free or has, qmemman counts so much
DELAY_S: Final = 0.1
TRIES: Final = 5
CHECKED_ROUNDS: Final = 30  # 3 s
LEAST_SPEED_KIB_S: Final = 100 * MIB_KIB
SECOND_ROUNDS: Final = 10
DONE_AT: Final = 1.1  # a domain that was asked down is done at so many times that

Answer = Generator[float, None, bool]


@dataclass
class State:
    """What qmemman knows of a domain; sizes in KiB."""

    domid: int
    last_target_kib: float
    used_kib: int | None = None
    current_kib: float = 0.0
    actual_kib: float = 0.0
    max_kib: float = 0.0
    hotplugs: bool = False
    no_progress: bool = False
    slow: bool = False

    def as_member(self) -> Member | None:
        """As the arithmetic takes it; None as long as it has not said what it uses."""
        if self.used_kib is None:
            return None
        return Member(
            self.domid, self.used_kib, self.actual_kib, self.max_kib, self.last_target_kib
        )

    @property
    def preferred_kib(self) -> float | None:
        """As Member has it; None as long as it has not said what it uses."""
        member = self.as_member()
        return None if member is None else member.preferred_kib


class Room:
    """A client's request; `granted` once it is answered.

    `has_left`: the client has gone, because the VM has started, or will not.
    """

    def __init__(self, turns: Turns) -> None:
        self.granted: bool | None = None
        self.answered_s = 0.0
        self.has_left = False
        self._turns = turns

    def leave(self) -> None:
        """The client goes; balancing goes on."""
        self.has_left = True
        self._turns.call()


class Qmemman:
    """One host's."""

    def __init__(self, clock: Clock, host: Host, domains: Mapping[int, SimulatedDomain]) -> None:
        self._clock = clock
        self._host = host
        self._domains = domains
        self.states: dict[int, State] = {}
        self._turns = Turns(clock)
        self._watches = Turns(clock)
        self._list_is_old = False
        self._all_kib = whole_bytes(host.total_pages * PAGE_KIB * OVERHEAD_FACTOR)

    # -- what happens on the host -------------------------------------------------------------

    def domains_changed(self) -> None:
        self._watches.begin(self._handled(self._new_list()))

    def balance(self) -> None:
        """A round, in its turn."""
        self._turns.begin(self._round())

    def make_room(self, memory_kib: int) -> Room:
        """A VM of that size is to start; its client has to `leave`."""
        return self._serve(self._freeing(memory_kib))

    def ask(self, wanted_kib: Mapping[int, int]) -> Room:
        """These domains are to go down to so much, 0: to what they prefer."""
        return self._serve(self._shrinking(wanted_kib))

    # -- the watches: one after the other, each with what is in xenstore when its turn comes ----

    def _reported(self, domid: int, _path: str) -> None:
        """memory/meminfo of a domain was written, or removed."""
        self._watches.begin(self._report_of(domid))

    def _report_of(self, domid: int) -> Job:
        domain = self._domains.get(domid)
        text = domain.store.read("memory/meminfo") if domain is not None else None
        if text:
            yield from self._handled(self._with_report(domid, text))

    def _handled(self, job: Job) -> Job:
        """The job has its turn; the next watch waits until it is through."""
        through = False

        def whole() -> Job:
            nonlocal through
            yield from job
            through = True
            self._watches.call()

        self._turns.begin(whole())
        if not through:
            yield UNTIL_CALLED

    def _with_report(self, domid: int, text: str) -> Job:
        if self._list_is_old:
            self._refresh_list()
            self._list_is_old = False
        state = self.states.get(domid)
        if state is not None:
            state.used_kib = int(text) if is_digits(text) else None
            yield from self._round()

    def _new_list(self) -> Job:
        self._refresh_list()
        yield from self._round()

    def _refresh_list(self) -> None:
        self._take_in()
        for gone in self.states.keys() - {n for n, d in self._domains.items() if d.alive}:
            del self.states[gone]

    def _take_in(self) -> None:
        for domid, domain in self._domains.items():
            if domid not in self.states and domain.alive:
                target = domain.store.read("memory/target")
                self.states[domid] = State(domid, _number(target, 0.0))
                domain.store.watch("memory/meminfo", partial(self._reported, domid))
                self._reported(domid, "")  # xenstored fires each watch once when it is set

    # -- balancing ----------------------------------------------------------------------------

    def _round(self) -> Job:
        self._refresh()
        self._take_back_marks()
        free_kib, members = self.free_kib(), self._members()
        requests = balanced(free_kib - KEPT_FREE_KIB, members)
        if not is_worth_it(requests, members, free_kib):
            return
        before_kib = {domid: state.actual_kib for domid, state in self.states.items()}
        for domid, given_kib in requests:
            state, tries = self.states[domid], TRIES
            while self.free_kib() - (given_kib - state.actual_kib) < 0.9 * KEPT_FREE_KIB:
                yield DELAY_S
                self._refresh()
                tries -= 1
                if not tries:
                    self._mark(domid, requests, before_kib)
                    left_kib = self.free_kib() + state.actual_kib - KEPT_FREE_KIB
                    self.give(domid, left_kib)
                    return
            self.give(domid, given_kib)

    def free_kib(self) -> float:
        """What Xen has free and nobody was promised."""
        xen_kib = whole_bytes(self._host.free_kib * OVERHEAD_FACTOR)
        states = self.states.values()
        return xen_kib - sum(max(0.0, s.last_target_kib - s.current_kib) for s in states)

    def give(self, domid: int, given_kib: float) -> None:
        """The limit, memory/target 16 MiB below, and perhaps static-max."""
        state, domain = self.states[domid], self._domains.get(domid)
        state.last_target_kib = given_kib
        if domain is None or not domain.alive:
            return
        domain.reservation.max_pages = (int(given_kib) + MAXMEM_CONSTANT_KIB) // PAGE_KIB
        domain.reservation.back(int(given_kib) // PAGE_KIB)  # if the host has it
        domain.tell("host-target", f"qmemman gives {int(given_kib) // MIB_KIB} MiB")
        domain.store.write("memory/target", str(int(given_kib - BELOW_GIVEN_KIB)))
        if state.hotplugs:
            domain.store.write("memory/static-max", str(int(given_kib)))

    def refresh(self) -> None:
        """Look what the domains have and may have, those that have just come included."""
        self._take_in()
        self._refresh()

    def _refresh(self, only: Iterable[int] | None = None) -> None:
        for domid in self.states if only is None else only:
            state, domain = self.states[domid], self._domains.get(domid)
            if domain is None or not domain.alive or domain.host is not self._host:
                continue
            state.current_kib = domain.reservation.pages * PAGE_KIB
            state.actual_kib = max(state.current_kib, state.last_target_kib)
            hotplug_max = domain.store.read("memory/hotplug-max")
            most = hotplug_max or domain.store.read("memory/static-max")
            state.hotplugs = bool(hotplug_max)
            state.max_kib = _number(most, self._all_kib)

    def _members(self) -> list[Member]:
        members = (s.as_member() for s in self.states.values() if not s.no_progress)
        return [member for member in members if member is not None]

    def _take_back_marks(self) -> None:
        """From those who obeyed in the end, or who have less than they prefer."""
        for state in self.states.values():
            preferred_kib = state.preferred_kib
            if preferred_kib is None:
                continue
            obeyed = state.actual_kib <= state.last_target_kib + KEPT_FREE_KIB / 2
            if obeyed or state.actual_kib < preferred_kib:
                state.slow = state.no_progress = False

    def _mark(self, stuck: int, requests: list[Request], before_kib: Mapping[int, float]) -> None:
        """Of those before the one that waited in vain: who still holds more than it was given."""
        for domid, _ in requests:
            if domid == stuck:
                return
            state = self.states[domid]
            if state.actual_kib <= state.last_target_kib + KEPT_FREE_KIB / 4:
                continue
            if before_kib[domid] == state.actual_kib:
                state.no_progress = True
                if domid in self._domains:
                    self._domains[domid].tell("no-progress", "qmemman: the guest did not react")
            else:
                state.slow = True

    # -- requests -----------------------------------------------------------------------------

    def _serve(self, work: Answer) -> Room:
        room = Room(self._turns)

        def whole() -> Job:
            room.granted = yield from work
            room.answered_s = self._clock.now_s
            while not room.has_left:
                yield UNTIL_CALLED
            self._list_is_old = True

        self._turns.begin(whole())
        return room

    def _freeing(self, memory_kib: int) -> Answer:
        """Ask again and again whoever still moves, as long as it comes at 100 MiB a second."""
        for state in self.states.values():
            state.no_progress = False
        earlier_kib: deque[float] = deque()
        asked: dict[int, float] = {}
        while True:
            self._refresh()
            free_kib = self.free_kib()
            if free_kib >= memory_kib + LEAST_FREE_KIB:
                self._keep_from_growing()
                return True
            if len(earlier_kib) == CHECKED_ROUNDS:
                wanted_kib = CHECKED_ROUNDS * DELAY_S * LEAST_SPEED_KIB_S
                if free_kib < earlier_kib.popleft() + wanted_kib:
                    return False
            earlier_kib.append(free_kib)
            for domid, before_kib in asked.items():
                self.states[domid].no_progress |= before_kib == self.states[domid].actual_kib
            missing_kib = memory_kib + KEPT_FREE_KIB - free_kib
            requests = requests_to_free(missing_kib, self._members())
            if not requests:
                return False
            for domid, given_kib in requests:
                self.give(domid, given_kib)
            asked = {domid: self.states[domid].actual_kib for domid, _ in requests}
            yield DELAY_S

    def _keep_from_growing(self) -> None:
        """What was promised before, and not taken yet, is taken back."""
        for domid, state in self.states.items():
            if state.actual_kib + 200 < state.last_target_kib:
                self.give(domid, state.actual_kib)

    def _shrinking(self, wanted_kib: Mapping[int, int]) -> Answer:
        """Until all are down; refused when one of them was slow over the last second."""
        for domid in wanted_kib:
            self.states[domid].no_progress = False
        goals_kib = {n: kib or self.states[n].preferred_kib for n, kib in wanted_kib.items()}
        # One that is to go to its preference, and has not said what it uses, is left as it is.
        left = [domid for domid, kib in goals_kib.items() if kib is not None]
        seen_kib: dict[int, list[float]] = {domid: [] for domid in left}
        for turn in count():
            self._refresh(wanted_kib)
            if turn and turn % 10 == 0:
                goals_kib |= {n: self.states[n].preferred_kib for n in left if not wanted_kib[n]}
            left = [domid for domid in left if not self._is_down(domid, goals_kib[domid])]
            if not left:
                return bool(wanted_kib)
            for domid in left:
                seen_kib[domid].append(self.states[domid].actual_kib)
            if turn >= CHECKED_ROUNDS and any(_is_slow(seen_kib[domid]) for domid in left):
                return False
            for domid in left:
                self.give(domid, goals_kib[domid] or 0)
            yield DELAY_S
        raise AssertionError

    def _is_down(self, domid: int, goal_kib: float | None) -> bool:
        return round(self.states[domid].actual_kib / (goal_kib or 1), 2) <= DONE_AT


def _is_slow(seen_kib: list[float]) -> bool:
    """Whether less than 100 MiB came in the last second."""
    moved_kib = seen_kib[-SECOND_ROUNDS] - seen_kib[-1]
    return int(moved_kib / MIB_KIB) * MIB_KIB < LEAST_SPEED_KIB_S


def _number(text: str | None, otherwise: float) -> float:
    return float(text) if text and is_digits(text) else otherwise
