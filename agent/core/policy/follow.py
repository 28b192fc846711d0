# SPDX-License-Identifier: GPL-2.0-or-later
"""Mode `follow`: what the host asked for really happens, and nothing else.

The kernel takes up memory/target by itself.  The agent acts where that does not lead to the goal:
the target was ignored, the memory for it is hot-added but offline, or the driver gave up.  Each
remedy has its own back-off, so that a remedy that does not help is not repeated for ever.

Relies on docs/design.md A9, A13 and A26.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

from agent.core.account.boot_facts import added_since
from agent.core.facts.units import KIB, MIB_KIB, PAGE_KIB, format_kib
from agent.core.policy.decision import Decision, Reason, nothing, write_target
from agent.core.policy.history import backed_off_s
from agent.core.policy.view import View

# A cancelled driver and one that is between two batches look the same; hot-adding pauses for 1.5 s.
STEADY_S: Final = 3.0
LENT_AFTER_S: Final = 10.0
WAKE_FIRST_S: Final = 5.0
WAKE_LAST_S: Final = 600.0
REWRITE_LAST_S: Final = 600.0
_ROOM_TO_WAKE_KIB: Final = 16 * MIB_KIB
_UNREACHABLE_LOOK_S: Final = 30.0
_BLOCKS_AT_ONCE: Final = 64  # then the host and signals are heard
_BEYOND: Final = 1 << 64
_ON_ITS_WAY: Final[Mapping[str, tuple[Reason, str]]] = {
    "retrying": ("retrying", "The kernel was refused, and keeps trying."),
    "unclear": ("unclear", "The balloon is off its target and was not seen to move."),
    "unreachable": ("unreachable", "The target cannot be reached as things stand."),
}


def finish_nudge(view: View) -> Decision | None:
    """The second half of waking the driver: back to the exact target."""
    nudge = view.history.nudge
    if nudge is None or nudge.restore_kib < view.floor_kib:  # the guest has come to need more
        return None
    if view.now_s < nudge.due_s:
        return nothing(
            "waking",
            "The target is a page aside to wake the driver; the exact one follows.",
            view.numbers(),
            nudge.due_s,
        )
    return write_target(
        nudge.restore_kib,
        "wake",
        "wake-finished",
        "The driver has been woken; it gets its exact target back.",
        view.numbers(),
    )


def no_host_target(view: View) -> Decision | None:
    """Nothing is asked, or it cannot be told what it means to the kernel."""
    if view.aim_kib is not None:
        return None
    host = view.snapshot.host
    if host.target_kib is not None:
        return nothing(
            "offset-unknown",
            "It is not certain how the host's target relates to the kernel's; the kernel alone "
            "follows it.",
            view.numbers(),
            None if view.situation.state == "settled" else view.look_s(),
        )
    if host.target_text is not None:
        return nothing("host-target-garbage", "memory/target is not a number.", view.numbers())
    why = view.snapshot.unheard
    if why is not None:
        sentence = f"What the host asks for is not known: {why}."
        return nothing("host-silent", sentence, view.numbers())
    return nothing("no-host-target", "The host asks for nothing.", view.numbers())


def beyond_static_max(view: View) -> Decision | None:
    """The host asks for more than the domain may have."""
    if view.aim_kib is None or view.most_kib is None or view.aim_kib <= view.most_kib:
        return None
    return nothing(
        "beyond-static-max",
        f"The host asks for {format_kib(view.aim_kib)}, the domain may have "
        f"{format_kib(view.most_kib)}: that is the host's to settle.",
        view.numbers(most_kib=view.most_kib),
        view.now_s + _UNREACHABLE_LOOK_S,
    )


def target_ignored(view: View) -> Decision | None:
    """The kernel aims at something else than the host asked for."""
    if view.aim_kib is None or view.at_host_target:
        return None
    since_s = max(view.history.host_since_s, view.history.target_since_s)
    due_s = since_s + view.settings.grace_s
    if view.history.rewrites:
        wait_s = backed_off_s(view.settings.grace_s, REWRITE_LAST_S, view.history.rewrites)
        due_s = max(due_s, view.history.wrote_s + wait_s)
    elif view.target_kib < view.aim_kib and (
        view.target_kib < view.floor_kib or (view.short and not view.kernel_has_time)
    ):
        # What does harm is not waited for: below the floor, or short for want of what the host
        # gave long ago.
        due_s = view.now_s
    if view.now_s < due_s:
        return nothing(
            "kernel-has-time",
            "The kernel is given time to take up the host's target.",
            view.numbers(aim_kib=view.aim_kib),
            min(due_s, view.look_s()),
        )
    return write_target(
        view.aim_kib,
        "insist",
        "target-ignored",
        f"The host asks for {format_kib(view.aim_kib)} and the kernel aims at "
        f"{format_kib(view.target_kib)}.",
        view.numbers(aim_kib=view.aim_kib),
    )


def settled(view: View) -> Decision | None:
    """The guest has what the kernel aims at, or lends some of it out."""
    if view.situation.state == "settled":
        return nothing("settled", "The guest has what the host asked for.", view.numbers())
    return None


def blocks_offline(view: View) -> Decision | None:
    """The target needs more than the balloon holds, and hot-added memory is offline."""
    blocks, driver = view.snapshot.blocks, view.situation.driver
    if driver is None or blocks is None or not blocks.offline:
        return None
    lacking_kib = driver.way_kib - driver.ballooned_kib
    if lacking_kib <= 0:
        return None
    if not view.settings.online_blocks:
        return nothing(
            "online-not-allowed",
            "The target needs memory that is hot-added but offline; online_blocks is off.",
            view.numbers(offline_blocks=len(blocks.offline)),
            view.now_s + _UNREACHABLE_LOOK_S,
        )
    most = min(_BLOCKS_AT_ONCE, -(-lacking_kib * KIB // max(1, blocks.block_bytes)))
    tried = view.history.tried_blocks
    next_blocks = tuple(islice((b for b in _hot_added_blocks(view) if b not in tried), most))
    if not next_blocks:
        return nothing(
            "blocks-stay-offline",
            "The target needs memory that is hot-added and does not come online.",
            view.numbers(offline_blocks=len(blocks.offline)),
            max(view.look_s(), view.now_s + 1.0),
        )
    first, last, more = next_blocks[0], next_blocks[-1], len(next_blocks) > 1
    which = f"blocks {first} to {last}, which are" if more else f"block {first}, which is"
    return Decision(
        "online-block",
        "hotplug-offline",
        f"The target needs memory {which} hot-added and offline.",
        view.numbers(block=first, offline_blocks=len(blocks.offline)),
        blocks=next_blocks,
    )


def _hot_added_blocks(view: View) -> Iterable[int]:
    """The offline blocks that were hot-added, as far as the map tells; else all that are offline.

    A block that somebody put offline by hand lies in the boot's own memory, and stays as it is.
    """
    blocks = view.snapshot.blocks
    if blocks is None or view.snapshot.firmware_map is None:
        return ()
    boot, size = view.situation.boot, blocks.block_bytes
    regions = added_since(view.snapshot, boot)
    if not regions and not boot.ram_exact:
        return blocks.offline
    ends = sorted((region.start, region.end) for region in regions)
    return (block for block in blocks.offline if _is_within(block * size, ends))


def _is_within(address: int, ranges: Sequence[tuple[int, int]]) -> bool:
    """Whether one of the sorted ranges, which do not overlap, holds the address."""
    position = bisect_right(ranges, (address, _BEYOND)) - 1
    return position >= 0 and address <= ranges[position][1]


def cancelled(view: View) -> Decision | None:
    """The driver gave up: wake it, less and less often while that does not help.

    Writing the target it already has does not wake it: the thread sleeps until its credit changes
    (drivers/xen/balloon.c, balloon_thread_cond).  So the target is moved by a page and back.
    """
    if view.situation.state != "cancelled":
        return None
    wait_s = STEADY_S
    if view.history.wakes:
        wait_s = backed_off_s(WAKE_FIRST_S, WAKE_LAST_S, view.history.wakes - 1)
    due_s = max(view.history.unchanged_since_s + STEADY_S, view.history.wrote_s + wait_s)
    if view.now_s < due_s:
        return nothing("given-up", "The driver seems to have given up.", view.numbers(), due_s)
    shrinks = view.target_kib < view.current_kib
    if shrinks and view.current_kib - view.floor_kib < _ROOM_TO_WAKE_KIB:
        return nothing(
            "no-room-to-shrink",
            "The driver gave up shrinking, and the guest still needs what it has.",
            view.numbers(floor_kib=view.floor_kib),
            view.now_s + max(WAKE_FIRST_S, wait_s),
        )
    page_kib = view.snapshot.domain.page_kib
    nudged_kib = view.target_kib + (page_kib if shrinks else -page_kib)
    return write_target(
        nudged_kib,
        "wake",
        "driver-gave-up",
        f"The driver gave up on the way to {format_kib(view.target_kib)}; it has to be woken.",
        view.numbers(wakes=view.history.wakes),
    )._replace(nudge_to_kib=view.target_kib, look_again_s=view.now_s + view.settings.cooldown_s)


def lent(view: View) -> Decision | None:
    """A driver domain below its target with an empty balloon, for a while: its backends have it."""
    driver = view.situation.driver
    if not view.settings.driver_domain or driver is None:
        return None
    if view.situation.state not in ("moving", "unclear"):
        return None
    steady = view.now_s - view.history.unchanged_since_s >= LENT_AFTER_S
    if not steady or not driver.lacks_with_empty_balloon:
        return None
    return nothing(
        "lent", "Backends have borrowed ballooned pages; that is normal.", view.numbers()
    )


def on_its_way(view: View) -> Decision:
    """Moving, or beyond help."""
    state = view.situation.state
    reason, sentence = _ON_ITS_WAY.get(state, ("moving", "The balloon is on its way."))
    again_s = view.now_s + _UNREACHABLE_LOOK_S if state == "unreachable" else view.look_s()
    return nothing(reason, sentence, view.numbers(), again_s)


def released_pages(view: View) -> Decision | None:
    """Pages the kernel gave back to Xen at boot, because they lay in holes of the map.

    Where nobody asks for less (no host target, as in dom0, or one above), they can be taken again:
    up to nr_pages, what the domain was started with.  Who made the domain smaller by more than
    them, by hand, wanted it so.
    """
    nr_pages, log = view.situation.boot.nr_pages, view.snapshot.boot_log
    if not view.settings.reclaim_released or log is None or nr_pages is None:
        return None
    held_kib = view.situation.driver.ballooned_kib if view.situation.driver else 0
    there_kib = min(nr_pages.pages * PAGE_KIB, view.current_kib + held_kib)
    limits = (there_kib, view.aim_kib, view.most_kib)
    goal_kib = min(kib for kib in limits if kib is not None)
    unasked = view.situation.state == "settled" and view.target_kib == view.current_kib
    unasked = unasked and view.history.own_kib is None
    if not unasked or not 0 < goal_kib - view.target_kib <= log.released_pages * PAGE_KIB:
        return None
    return write_target(
        goal_kib,
        "reclaim",
        "reclaim-released",
        f"The kernel gave {format_kib(log.released_pages * PAGE_KIB)} back to Xen at boot; they "
        "are taken again.",
        view.numbers(released_pages=log.released_pages),
    )
