# SPDX-License-Identifier: GPL-2.0-or-later
"""squeezed as it runs on a host: what it reads of the domains, what it sets, when it looks.

It looks ten seconds after its start and after each look or balancing, each second while it
balances, and at each request; one thing at a time.  At a look it learns the memory-offset of a
domain that has booted meanwhile, marks who has been off its target for over 20 s, and forgives.
Read in xen-api e2ee48d6883e, ocaml/squeezed/src (squeeze_xen.ml, memory_server.ml), and held
against recordings of it (tests/recordings).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Final

from agent.core.facts.numbers import is_digits
from agent.core.facts.units import MIB_KIB, PAGE_KIB
from sim_backend.clock import Clock
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.host.libxl import ToolstackError
from sim_backend.host.squeezed import (
    V26_5,
    Release,
    Squeezable,
    Squeezer,
    is_enough_already,
    is_unbalanced,
    share_of_range,
)
from sim_backend.host.turns import Job, Turns
from sim_backend.hypervisor import Host

UNCOOPERATIVE_AFTER_S: Final = 20.0
LOOK_EACH_S: Final = 10.0  # balance-check-interval
WHILE_BALANCING_S: Final = 1.0
TARGET: Final = "memory/target"
OFFSET: Final = "memory/memory-offset"
UNCOOPERATIVE: Final = "memory/uncooperative"
FEATURE: Final = "control/feature-balloon"
UPDATED: Final = "data/updated"
INITIAL: Final = "memory/initial-reservation"


class NotThereError(Exception):
    """A key that squeezed needs is absent, or not a number: it leaves the domain out."""


@dataclass
class Request:
    """Somebody asks for memory; `error` says why there is none, once it is `done`."""

    done: bool = False
    error: ToolstackError | None = None
    reservation: str = ""
    granted_kib: int = 0
    answered_s: float = 0.0


class Squeezed:
    """One host's.  `limit_error_kib` makes the limits that it sets that much too small."""

    def __init__(
        self,
        clock: Clock,
        host: Host,
        domains: Mapping[int, SimulatedDomain],
        release: Release = V26_5,
        first_look_s: float = LOOK_EACH_S,
    ) -> None:
        self.release = release
        self.limit_error_kib = 0
        self._clock = clock
        self._host = host
        self._domains = domains
        self._turns = Turns(clock)
        self._asked_kib: dict[int, int] = {}
        self._cooperative_s: dict[int, float] = {}
        self._reservations: dict[str, tuple[int, int | None]] = {}
        self._numbers = count(1)
        clock.after(first_look_s, self._begin_look)

    def balance(self) -> None:
        """Somebody asks it to; what cannot be balanced is nobody's error."""
        self._turns.begin(self._balancing())

    def reserve(self, kib: int) -> Request:
        """So much beside what is kept free, for a domain that is to be built."""
        return self._request(self._freeing(kib, kib), lambda: kib)

    def reserve_range(self, least_kib: int, most_kib: int) -> Request:
        """As much of a range as is its share."""

        def work() -> Job:
            domains, free_kib = self._look()
            kept_kib = self.release.kept_free_kib
            share_kib = share_of_range(domains, free_kib, kept_kib, least_kib, most_kib)
            yield from self._freeing(share_kib, least_kib)

        def granted_kib() -> int:
            _, free_kib = self._look()
            usable_kib = free_kib - self.release.kept_free_kib
            return max(least_kib, min(usable_kib, most_kib))

        return self._request(work(), granted_kib)

    def transfer(self, reservation: str, domain: SimulatedDomain) -> None:
        """The domain is there: what was reserved is its limit, and counts as its own."""

        def work() -> Job:
            if reservation not in self._reservations:
                return  # its client is told so
            kib, _ = self._reservations[reservation]
            domain.store.write(INITIAL, str(kib))
            domain.store.write("memory/reservation-id", reservation)
            self._reservations[reservation] = (kib, domain.domid)
            self._set_limit(domain, kib)
            yield from ()

        self._turns.begin(work())

    def delete(self, reservation: str) -> None:
        def work() -> Job:
            self._reservations.pop(reservation, None)
            yield from ()

        self._turns.begin(work())

    def apply_limit(self, domain: SimulatedDomain) -> None:
        """Ask Xen once more for the limit that was asked for last."""
        limit_kib = self._asked(domain) - self.limit_error_kib
        domain.reservation.max_pages = max(0, limit_kib) // PAGE_KIB

    @property
    def _now_s(self) -> float:
        """As gettimeofday has it: microseconds."""
        return round(self._clock.now_s, 6)

    # -- when ---------------------------------------------------------------------------------

    def _begin_look(self) -> None:
        def work() -> Job:
            domains, free_kib = self._look()
            kept_kib = self.release.kept_free_kib
            if is_unbalanced(domains, free_kib, kept_kib, self._now_s):
                yield from self._balancing()
            self._clock.after(LOOK_EACH_S, self._begin_look)

        self._turns.begin(work())

    def _request(self, work: Job, granted_kib: Callable[[], int]) -> Request:
        request = Request()

        def whole() -> Job:
            try:
                yield from work
            except ToolstackError as error:
                request.error = error
            else:
                request.granted_kib = granted_kib()
                request.reservation = f"r{next(self._numbers)}"
                self._reservations[request.reservation] = (request.granted_kib, None)
            request.done, request.answered_s = True, self._now_s

        self._turns.begin(whole())
        return request

    def _balancing(self) -> Job:
        try:
            yield from self._until(self.release.kept_free_kib, None)
        except ToolstackError:
            return

    def _freeing(self, wanted_kib: int, enough_kib: int) -> Job:
        kept_kib = self.release.kept_free_kib
        yield from self._until(wanted_kib + kept_kib, enough_kib + kept_kib)

    def _until(self, wanted_kib: int, enough_kib: int | None) -> Job:
        """Until the host has so much free; `enough_kib` None: no more than that, as in balancing.

        Raises:
            ToolstackError: the domains cannot give it, or do not.
        """
        domains, free_kib = self._look()
        asks = wanted_kib != self.release.kept_free_kib
        if asks and is_enough_already(domains, free_kib, wanted_kib):
            return
        squeezer = Squeezer()
        while True:
            domains, free_kib = self._look()
            seen = squeezer.iterate(
                domains, free_kib, wanted_kib, self._now_s, enough_kib=enough_kib
            )
            for domid, limit_kib in sorted(seen.limits.items()):
                self._execute(self._domains[domid], limit_kib)
            if seen.verdict == "success":
                return
            if seen.verdict == "failed":
                raise ToolstackError(_failure(seen.stuck))
            for domid, target_kib in sorted(seen.targets.items(), reverse=True):
                self._execute(self._domains[domid], target_kib)
            yield WHILE_BALANCING_S

    # -- what ---------------------------------------------------------------------------------

    def _look(self) -> tuple[list[Squeezable], int]:
        """The domains that count, and what is free; what follows from a look is done.

        dom0 is left alone unless manage-domain-zero says otherwise.  A reservation is nobody's
        until the domain that it is for is there.
        """
        here = {
            domid: domain
            for domid, domain in sorted(self._domains.items())
            if domain.alive and domain.host is self._host and not domain.config.is_dom0
        }
        for gone in self._asked_kib.keys() - here:
            del self._asked_kib[gone]
        reserved_kib = sum(kib for kib, domid in self._reservations.values() if domid not in here)
        found = []
        for domain in here.values():
            self._asked(domain)  # what it may have at the first look is remembered
            try:
                view, lacking_kib = self._view(domain)
            except NotThereError:
                continue
            found.append(view)
            reserved_kib += lacking_kib
        self._check_cooperation(found)
        for view in found:
            domain = here[view.domid]
            lowers = view.can_balloon or not self.release.spares_who_cannot
            if lowers and view.target_kib < self._asked(domain):
                self._set_limit(domain, view.target_kib)
        return found, self._host.free_kib - reserved_kib

    def _view(self, domain: SimulatedDomain) -> tuple[Squeezable, int]:
        """The domain, and what it lacks of its initial reservation while it has not booted.

        Raises:
            NotThereError: it has no target, or no initial reservation.
        """
        can_balloon = domain.store.read(FEATURE) is not None
        has_kib = domain.reservation.pages * PAGE_KIB
        if not can_balloon and domain.store.read(UPDATED) is None:
            limit_kib = max(0, domain.reservation.max_pages * PAGE_KIB - extra_kib(domain))
            fixed = Squeezable(domain.domid, False, limit_kib, limit_kib, limit_kib, limit_kib)
            return fixed, max(0, number(domain, INITIAL) - has_kib)
        target_kib = number(domain, TARGET)
        if domain.store.read(OFFSET) is None:
            domain.store.write(OFFSET, str(has_kib - target_kib))
        try:
            least_kib = number(domain, "memory/dynamic-min")
            most_kib = number(domain, "memory/dynamic-max")
        except NotThereError:
            least_kib = most_kib = target_kib
        actual_kib = has_kib - number(domain, OFFSET)
        view = Squeezable(domain.domid, can_balloon, least_kib, target_kib, most_kib, actual_kib)
        return view, 0

    def _check_cooperation(self, domains: list[Squeezable]) -> None:
        """Who cannot balloon is cooperative, and so is who is at its target, or new."""
        now_s = self._now_s
        for gone in self._cooperative_s.keys() - {view.domid for view in domains}:
            del self._cooperative_s[gone]
        for view in domains:
            self._cooperative_s.setdefault(view.domid, now_s)
            if not view.can_balloon or view.has_hit_target:
                self._cooperative_s[view.domid] = now_s
        for domid, since_s in self._cooperative_s.items():
            domain = self._domains[domid]
            marked = domain.store.read(UNCOOPERATIVE) is not None
            overdue = now_s - since_s > UNCOOPERATIVE_AFTER_S
            if overdue and not marked:
                domain.tell("uncooperative", "squeezed marked the guest uncooperative")
                domain.store.write(UNCOOPERATIVE, "")
            elif marked and not overdue:
                domain.tell("cooperative", "squeezed took back memory/uncooperative")
                domain.store.remove(UNCOOPERATIVE)

    def _execute(self, domain: SimulatedDomain, target_kib: int) -> None:
        """Limit before target where it grows, after it where it shrinks."""
        can_balloon = domain.store.read(FEATURE) is not None
        grows = target_kib > self._asked(domain)
        if grows:
            self._set_limit(domain, target_kib)
        if can_balloon and domain.store.read(TARGET) != str(target_kib):
            domain.tell("host-target", f"squeezed: target {target_kib // MIB_KIB} MiB")
            domain.store.write(TARGET, str(target_kib))
        if not grows and (can_balloon or not self.release.spares_who_cannot):
            self._set_limit(domain, target_kib)

    def _asked(self, domain: SimulatedDomain) -> int:
        """The limit that was asked of Xen last; before that, what Xen says, less its extra."""
        limit_kib = domain.reservation.max_pages * PAGE_KIB - extra_kib(domain)
        return self._asked_kib.setdefault(domain.domid, max(0, limit_kib))

    def _set_limit(self, domain: SimulatedDomain, target_kib: int) -> None:
        """Target, offset and extra, if that is not what was asked last."""
        text = domain.store.read(OFFSET)
        limit_kib = target_kib + extra_kib(domain) + (int(text) if text else 0)
        if self._asked(domain) != limit_kib:
            self._asked_kib[domain.domid] = limit_kib
            self.apply_limit(domain)


def extra_kib(domain: SimulatedDomain) -> int:
    """What a limit has beyond the target: 1 MiB, but for PV."""
    return 0 if domain.config.is_pv else MIB_KIB


def number(domain: SimulatedDomain, path: str) -> int:
    """The number that a key holds.

    Raises:
        NotThereError: it is absent, or holds none.
    """
    text = domain.store.read(path)
    if text is None or not is_digits(text.removeprefix("-")):
        raise NotThereError(path)
    return int(text)


def _failure(stuck: tuple[int, ...]) -> str:
    """dom0 alone is never refused to cooperate."""
    if not stuck or stuck == (0,):
        return "cannot free this much memory"
    return f"domains refused to cooperate: {', '.join(str(domid) for domid in stuck)}"
