# SPDX-License-Identifier: GPL-2.0-or-later
"""How a guest is brought to another size: what to ask for next, and when that is over.

Pure: it is given one look at the guest after the other, and answers `Ask`, `Wait` or `End`.
Downwards each step is at most half of what the guest says it can spare, the least it has said
during a stay of some seconds at the size before: a program that takes more for a moment, again and
again, is not to be squeezed between two of them.  The first step is small, since what a guest said
long ago may no longer be so.  Upwards there is one step.

Sizes are in MiB as `xl mem-set` counts them, video memory included.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, Union

from agent.core.facts.units import MIB_KIB, format_kib
from agent.core.host.guests import Guest, label

FIRST_STEP_MIB: Final = 32
LEAST_STEP_MIB: Final = 8
FORCED_STEP_MIB: Final = 64
NEAR_KIB: Final = MIB_KIB  # how far from what was asked counts as there
# ... where no agent tells the constant that an HVM guest stays below (2 MiB, with UEFI 7 MiB).
MUTE_NEAR_KIB: Final = 8 * MIB_KIB
REST_S: Final = 2.0  # what a balloon at rest gets to begin to move
STAY_S: Final = 4.0  # at each size downwards, for the guest to say how it is (looks.WATCHED_S)
TIMEOUT_S: Final = 60.0  # what a guest that comes no nearer gets, unless told otherwise
STUCK_S: Final = 6.0  # what a guest that says it is stuck gets to come loose

How = Literal["reached", "stopped", "refused"]


class Ask(NamedTuple):
    """Ask the toolstack for so much."""

    mib: int


class Wait(NamedTuple):
    """Look again in a moment."""


class End(NamedTuple):
    """It is over.

    Attributes:
        how: reached; stopped short of it; refused, with nothing asked for.
        back_to_mib: to be asked for once more, so that the guest breathes again.
    """

    how: How
    sentence: str
    back_to_mib: int | None = None


Move = Union[Ask, Wait, End]


class Request(NamedTuple):
    """What the administrator wants."""

    wanted_mib: int
    force: bool = False
    timeout_s: float = TIMEOUT_S


class Way(NamedTuple):
    """How far it has come.

    Attributes:
        began_mib: what was asked of the guest before the first step.
        asked_mib: what was asked last; None before the first step.
        before_mib: what was asked before that.
        since_s: when the guest last came nearer to it.
        nearest_kib: the nearest it came.
        there_s: since when it has what was asked last; None before.
        spare_kib: the least it has said since then that it could spare.
    """

    began_mib: int
    asked_mib: int | None = None
    before_mib: int | None = None
    since_s: float = 0.0
    nearest_kib: int | None = None
    there_s: float | None = None
    spare_kib: int = 0


def begin(guest: Guest, request: Request) -> Way | End:
    """Where it begins, or why it does not."""
    has_mib = _has_now_kib(guest) // MIB_KIB
    why = _why_not_at_all(guest, request.wanted_mib * MIB_KIB)
    if why is None and request.wanted_mib < has_mib and not request.force:
        why = _why_not_down(guest, request.wanted_mib * MIB_KIB)
    return Way(began_mib=has_mib) if why is None else End("refused", f"{why}.")


def _why_not_at_all(guest: Guest, wanted_kib: int) -> str | None:
    """Why it cannot be set, or not to that."""
    name = label(guest)
    if guest.problem is not None or guest.asked_kib is None:
        return f"{name} cannot be read: {guest.problem or 'it has no memory/target'}"
    if guest.life == "paused":
        return f"{name} is paused and cannot follow before it runs again"
    if guest.life != "running":
        return f"{name} is {guest.life}"
    if guest.static_max_kib is not None and wanted_kib > guest.static_max_kib:
        most = format_kib(guest.static_max_kib)
        return f"{name} may have {most} at most, by its maxmem or xl mem-max"
    return None


def _why_not_down(guest: Guest, wanted_kib: int) -> str | None:
    """Why it must not be made smaller by so much, as far as it is known at the beginning."""
    floor_kib, speaks = guest.claims.floor_kib, guest.kind in ("agent", "old agent")
    # Whoever holds a floor is in mode guard or self.
    if speaks and floor_kib is not None and wanted_kib - _offset_kib(guest) < floor_kib:
        floor = format_kib(floor_kib)
        return f"{label(guest)} holds {floor} and gives no more, whoever asks for it"
    why = _why_it_might_hurt(guest)
    return None if why is None else f"{why}; --force goes there all the same"


def _why_it_might_hurt(guest: Guest) -> str | None:
    """Why nobody can tell that it would not."""
    name = label(guest)
    if guest.kind in ("no agent", "stopped agent"):
        return f"{name} has no agent that runs, so nobody knows what it needs"
    if guest.is_short:
        return f"{name} lacks memory already"
    if guest.kind == "agent" and guest.spare_kib is None:
        return f"{name} says what cannot be ({guest.doubts[-1]}), so nobody knows what it needs"
    if guest.spare_kib is None:
        return f"{name} has an agent too old to say what it could give"
    return None


def move(guest: Guest, way: Way, request: Request, now_s: float) -> tuple[Move, Way]:
    """What to do next, with a guest that was just looked at."""
    down = request.wanted_mib < way.began_mib
    over = _is_over(guest, way, request, down=down)
    if over is not None:
        return over, way
    if way.asked_mib is not None and not _has_followed(guest, way, now_s):
        return _while_it_moves(guest, way, request, now_s, down=down)
    way = _heard(guest, way, now_s)
    if down and not request.force and way.there_s is not None and now_s - way.there_s < STAY_S:
        return Wait(), way
    name, now_mib = label(guest), way.began_mib if way.asked_mib is None else way.asked_mib
    if now_mib == request.wanted_mib and (way.asked_mib is not None or _is_there(guest)):
        return End("reached", f"{name} has {_size(now_mib)}."), way
    step_mib = _next_mib(way, now_mib, request) if down else request.wanted_mib
    if step_mib is None:
        return End("stopped", f"{_stopped(now_mib)}: the guest needs it."), way
    return Ask(step_mib), Way(way.began_mib, step_mib, before_mib=now_mib, since_s=now_s)


def _heard(guest: Guest, way: Way, now_s: float) -> Way:
    """What the guest can spare at this size, by the least that it says while it stays there."""
    spare_kib = guest.spare_kib or 0
    if way.asked_mib is None:
        return way._replace(spare_kib=spare_kib)
    if way.there_s is None:
        return way._replace(spare_kib=spare_kib, there_s=now_s)
    return way._replace(spare_kib=min(spare_kib, way.spare_kib))


def _is_over(guest: Guest, way: Way, request: Request, *, down: bool) -> End | None:
    """Whether something has happened that ends it at once."""
    name = label(guest)
    lives = guest.life in ("running", "paused")
    if not lives or guest.asked_kib is None:
        now = "going" if lives else f"{guest.life} now"
        last = f"; it was last asked for {_size(way.asked_mib)}" if way.asked_mib else ""
        return End("stopped", f"{name} is {now}{last}.")
    if way.asked_mib is not None and guest.asked_kib // MIB_KIB != way.asked_mib:
        there = format_kib(guest.asked_kib)
        return End("stopped", f"stopped: somebody else asked {name} for {there} meanwhile.")
    if down and guest.is_short and not request.force:
        back_mib = way.before_mib
        at_mib = way.began_mib if back_mib is None else back_mib
        return End("stopped", f"{_stopped(at_mib)}: the guest lacks memory below that.", back_mib)
    return None


def planned_mib(guest: Guest, request: Request) -> list[int]:
    """The steps as they look now; the guest is heard after each, so they may end sooner."""
    started = begin(guest, request)
    if isinstance(started, End):
        return []
    if request.wanted_mib == started.began_mib and _is_there(guest):
        return []
    if request.wanted_mib >= started.began_mib:
        return [request.wanted_mib]
    steps, now_mib = [], started.began_mib
    way = started._replace(spare_kib=guest.spare_kib or 0)
    while now_mib > request.wanted_mib:
        step_mib = _next_mib(way, now_mib, request)
        if step_mib is None:
            break
        left_kib = way.spare_kib - (now_mib - step_mib) * MIB_KIB
        way = way._replace(asked_mib=step_mib, spare_kib=max(0, left_kib))
        steps.append(step_mib)
        now_mib = step_mib
    return steps


def _next_mib(way: Way, now_mib: int, request: Request) -> int | None:
    """The next size downwards; None where the guest has nothing to spare."""
    left_mib = now_mib - request.wanted_mib
    spare_mib = way.spare_kib // MIB_KIB
    if request.force:
        return now_mib - min(left_mib, max(FORCED_STEP_MIB, spare_mib // 2))
    half_mib = spare_mib // 2 if way.asked_mib is not None else min(spare_mib // 2, FIRST_STEP_MIB)
    give_mib = min(left_mib, max(half_mib, LEAST_STEP_MIB))
    return now_mib - give_mib if give_mib <= spare_mib else None


def _while_it_moves(
    guest: Guest, way: Way, request: Request, now_s: float, *, down: bool
) -> tuple[Move, Way]:
    """It has not what was asked for: it comes nearer, holds on, is stuck, or takes too long."""
    asked_mib = way.asked_mib or 0
    has_kib, before_mib = _has_now_kib(guest), way.before_mib or way.began_mib
    far_kib, stopped = abs(has_kib - asked_mib * MIB_KIB), _stopped(has_kib // MIB_KIB)
    if way.nearest_kib is None or far_kib < way.nearest_kib - NEAR_KIB:
        return Wait(), way._replace(nearest_kib=far_kib, since_s=now_s)
    waited_s = now_s - way.since_s
    heard = guest.claims.host_target_kib == guest.target_kib
    stuck = heard and guest.is_stuck and waited_s >= STUCK_S
    if down and heard and guest.is_held and (stuck or guest.claims.state == "settled"):
        return End("stopped", f"{stopped}: the guest holds that, it needs it."), way
    stuck = stuck and not (down and _aims_above(guest))
    if not stuck and waited_s < request.timeout_s:
        return Wait(), way
    if guest.life == "paused":
        why = "it is paused"
    elif guest.kind in ("no agent", "stopped agent"):
        why = "it has no agent that could say why"
    elif not heard:
        why = "its agent does not answer; does it run in the guest?"
    else:
        why = _why_stuck(guest)
    if not stuck:
        why = f"in {request.timeout_s:g} s it came no nearer to {_size(asked_mib)}; {why}"
    again = f", asked for {_size(before_mib)} again" if down else ""
    sentence = f"{stopped}{again}: {why}{'' if why.endswith('?') else '.'}"
    return End("stopped", sentence, before_mib if down else None), way


def _why_stuck(guest: Guest) -> str:
    state, finding = guest.claims.state or "silent", guest.claims.finding
    if _aims_above(guest):
        return f"the guest aims at {format_kib(guest.claims.target_kib or 0)} by itself"
    why = f"the guest says its balloon is {state}"
    if finding is not None:
        why += f" ({finding}); `balloon-agent doctor` there has the cure"
    return why


def _has_followed(guest: Guest, way: Way, now_s: float) -> bool:
    """Whether it has what was asked last, by its own report and the hypervisor's.

    They count differently by a few MiB on HVM and PVH: a guest that rests is where it goes.  But
    for one that gives slowly, as mode guard does: it rests between two pieces.
    """
    claims, near_kib = guest.claims, MUTE_NEAR_KIB
    if claims.state not in (None, "stopped"):
        if claims.host_target_kib != guest.target_kib or claims.state == "moving":
            return False
        rests = claims.state == "settled" and now_s - way.since_s >= REST_S
        if rests and not guest.is_held and not _aims_above(guest):
            return True
        near_kib = NEAR_KIB
    return guest.actual_kib is not None and _is_there(guest, way.asked_mib, near_kib)


def _aims_above(guest: Guest) -> bool:
    """Whether its kernel was told to keep more than the host asks for, as mode guard does."""
    host_target_kib, target_kib = guest.claims.host_target_kib, guest.claims.target_kib
    if host_target_kib is None or target_kib is None:
        return False
    return target_kib > host_target_kib + NEAR_KIB


def _is_there(guest: Guest, mib: int | None = None, near_kib: int = NEAR_KIB) -> bool:
    """Whether it has what was asked, give or take what HVM and PVH guests do not count."""
    asked_kib = guest.asked_kib if mib is None else mib * MIB_KIB
    return asked_kib is not None and abs(_has_now_kib(guest) - asked_kib) <= near_kib


def _has_now_kib(guest: Guest) -> int:
    """What it has as xl counts it; what was asked for where nobody can tell."""
    if guest.has_kib is not None:
        return guest.has_kib
    actual_kib, asked_kib = guest.claims.actual_kib, guest.asked_kib or 0
    if actual_kib is None or (guest.claims.state == "settled" and not guest.is_held):
        return asked_kib
    return actual_kib + _offset_kib(guest)


def _offset_kib(guest: Guest) -> int:
    """What the host counts and this guest's kernel does not.

    That is video memory, and on HVM and PVH a constant (target_diff), which shows where the kernel
    aims at what the host asks.
    """
    claims = guest.claims
    if claims.target_kib is None or claims.host_target_kib is None or guest.is_held:
        return guest.videoram_kib
    constant_kib = claims.host_target_kib - claims.target_kib
    return guest.videoram_kib + (constant_kib if 0 <= constant_kib <= 64 * MIB_KIB else 0)


def _size(mib: int) -> str:
    return format_kib(mib * MIB_KIB)


def _stopped(mib: int) -> str:
    return f"stopped at {_size(mib)}"
