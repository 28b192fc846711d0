# SPDX-License-Identifier: GPL-2.0-or-later
"""The cases that several scenarios share, made by functions with what they depend on.

Each does one thing from dom0 and then has the agent agree with the kernel's files, with xenstore
as dom0 sees it and with `xl list`.
"""

from __future__ import annotations

import json
import time
from typing import Final

from tests.xenlab.dom0 import toolstack
from tests.xenlab.dom0.guest import Guest
from tests.xenlab.dom0.judge import look_up
from tests.xenlab.dom0.scene import VERDICT_STATUSES, Scene
from tests.xenlab.guest.channel import NOBODY
from tests.xenlab.model import Case

AGREE = "unexplained is 0; current, target, E820 RAM, MemTotal, host target agree from outside"
KIB = 1024
PROCESSORS_MIB: Final = 600
STORM_MIB: Final = (500, 900, 700, 620)
SLACK_KIB = 2 * KIB
"""libxl lets a domain have a MiB more than its target; an HVM domain was seen to get 1044 KiB."""
PAGES_UNTOUCHED = ("init_on_alloc=0", "xen_scrub_pages=0")
"""Words for the kernel of a large HVM guest: its balloon takes pages without writing to them.

Such a page exists on demand only. Written to, Xen must find memory for it in the little that the
guest has, page by page, which takes the emulated machine more than half an hour for 15 GiB."""
ONLINE_ALL = """
for state in /sys/devices/system/memory/memory[0-9]*/state; do
    grep -q offline "$state" && echo online >"$state"
done
true
"""


def booted(**expected: int) -> Case:
    """The guest as it comes up."""

    def act(scene: Scene) -> None:
        status, _ = scene.agreed(expected)
        state = look_up(status, "balloon.state")
        assert state == "settled", f"the balloon is {state}"

    return Case("boot", AGREE, act)


def healthy() -> Case:
    """The doctor's visit to a guest that is well."""

    def act(scene: Scene) -> None:
        done = scene.agent("doctor", "--json")
        assert done.status in VERDICT_STATUSES, f"balloon-agent doctor: {done}"
        found = json.loads(done.out)["findings"]
        assert not [f for f in found if f["severity"] != "info"], "\n".join(map(str, found))
        informed = sorted(finding["code"] for finding in found)
        scene.measure("worth knowing", ", ".join(informed) or "nothing")

    return Case("doctor", "nothing is found above info", act)


def as_ordinary_user() -> Case:
    """The agent without any privilege."""

    def act(scene: Scene) -> None:
        status, truth = scene.agreed(user=NOBODY)
        denied = {name for name, state in status["sources"].items() if state == "denied"}
        assert denied, f"nothing was denied to an ordinary user: {status['sources']}"
        shown = scene.agent("status", user=NOBODY)
        assert shown.status in {0, 1}, f"balloon-agent status: {shown}"
        assert b"Traceback" not in shown.out + shown.err, str(shown)
        assert truth["current_kib"] == look_up(status, "balloon.current_kib")

    return Case("as an ordinary user", f"{AGREE}, with xenstore and iomem denied", act)


def mem_set(mib: int, label: str = "", *, offset_kib: int = 0) -> Case:
    """`xl mem-set` that the guest can follow.

    Args:
        mib: the new target.
        label: to tell apart the same target set twice.
        offset_kib: by how much the kernel's target lies below the host's (PVH and HVM).
    """

    def act(scene: Scene) -> None:
        done = scene.mem_set(mib)
        assert done.status == 0, f"xl mem-set: {done}"
        kernel_kib = mib * KIB - offset_kib
        status, _ = scene.agreed(
            {
                "current_kib": kernel_kib,
                "target_kib": kernel_kib,
                "xenstore_target": str(mib * KIB),
            }
        )
        state = look_up(status, "balloon.state")
        assert state == "settled", f"the balloon is {state}"

    return Case(f"mem-set {mib}{label}", f"current = target = {mib} MiB; {AGREE}", act)


def follows(mib: int, *, video_mib: int = 0) -> Case:
    """`xl mem-set` to a guest whose kernel aims at the host's target, whatever the offset.

    Args:
        mib: the new target.
        video_mib: the guest's video memory, which libxl takes off what it writes.
    """

    def act(scene: Scene) -> None:
        done = scene.mem_set(mib)
        assert done.status == 0, f"xl mem-set: {done}"
        target_kib = (mib - video_mib) * KIB
        status, truth = scene.agreed({"xenstore_target": str(target_kib)})
        state = look_up(status, "balloon.state")
        assert state == "settled", f"the balloon is {state}"
        scene.measure("offset of the kernel's target", f"{target_kib - truth['target_kib']} KiB")
        assert truth["current_kib"] == truth["target_kib"], truth

    return Case(f"mem-set {mib}", f"the kernel's target is reached; {AGREE}", act)


def refused(mib: int) -> Case:
    """`xl mem-set` above static-max, which xl refuses."""

    def act(scene: Scene) -> None:
        before = scene.truth()
        done = scene.mem_set(mib)
        assert done.status != 0, "xl did not refuse"
        names = ("current_kib", "target_kib", "xenstore_target")
        scene.agreed({name: before[name] for name in names})

    return Case(f"mem-set {mib} refused", f"nothing changes; {AGREE}", act)


def raw_target_beyond_the_map(kib: int) -> Case:
    """A target that Xen will not let the domain reach, written past the toolstack."""

    def act(scene: Scene) -> None:
        before = scene.truth()
        scene.write_target(str(kib))
        status, truth = scene.agreed({"xenstore_target": str(kib)})
        assert truth["target_kib"] > truth["current_kib"], f"the target was reached: {truth}"
        grown_kib = truth["current_kib"] - before["current_kib"]
        assert grown_kib <= SLACK_KIB, f"Xen let the domain have {grown_kib} KiB"
        state = look_up(status, "balloon.state")
        assert state in {"retrying", "cancelled", "unreachable"}, f"the balloon is {state}"
        assert look_up(status, "verdict") != "ok", "the agent finds that all is well"

    return Case("raw target beyond the map", f"said to be out of reach; {AGREE}", act)


def garbage_target() -> Case:
    """A target that is no number."""

    def act(scene: Scene) -> None:
        before = scene.truth()
        scene.write_target("abc")
        status, _ = scene.agreed({"target_kib": before["target_kib"], "xenstore_target": "abc"})
        words = [state for state in status["sources"].values() if state.startswith("malformed")]
        assert words, f"no source is called malformed: {status['sources']}"

    return Case("garbage target", f"the kernel keeps its target, malformed is said; {AGREE}", act)


def target_removed() -> Case:
    """`memory/target` taken away."""

    def act(scene: Scene) -> None:
        before = scene.truth()
        key = f"/local/domain/{scene.domain.domid}/memory/target"
        toolstack.must(["xenstore-rm", key])
        scene.agreed({"target_kib": before["target_kib"], "xenstore_target": None})

    return Case("target removed", f"the kernel keeps its target; {AGREE}", act)


def target_restored(kib: int, *, offset_kib: int = 0) -> Case:
    """`memory/target` written again, after which xl works again."""

    def act(scene: Scene) -> None:
        scene.write_target(str(kib))
        kernel_kib = kib - offset_kib
        scene.agreed({"current_kib": kernel_kib, "target_kib": kernel_kib})

    return Case("target written again", f"current = target = {kib} KiB; {AGREE}", act)


def mem_max(mib: int) -> Case:
    """`xl mem-max`, which moves static-max and nothing else."""

    def act(scene: Scene) -> None:
        before = scene.truth()
        done = toolstack.run(["xl", "mem-max", str(scene.domain.domid), str(mib)])
        assert done.status == 0, f"xl mem-max: {done}"
        scene.agreed(
            {
                "current_kib": before["current_kib"],
                "target_kib": before["target_kib"],
                "xenstore_static_max": str(mib * KIB),
            }
        )

    return Case(f"mem-max {mib}", f"static-max = {mib} MiB; {AGREE}", act)


def mem_max_without_effect(mib: int) -> Case:
    """`xl mem-max` of a toolstack that leaves static-max alone: nothing more can be asked for."""

    def act(scene: Scene) -> None:
        before = scene.truth()
        done = toolstack.run(["xl", "mem-max", str(scene.domain.domid), str(mib)])
        assert done.status == 0, f"xl mem-max: {done}"
        refusal = scene.mem_set(mib)
        assert refusal.status != 0, "xl did not refuse"
        names = ("current_kib", "target_kib", "xenstore_target", "xenstore_static_max")
        scene.agreed({name: before[name] for name in names})

    verifies = f"static-max stays, so `mem-set {mib}` is refused and nothing changes; {AGREE}"
    return Case(f"mem-max {mib}", verifies, act)


def blocks_left_offline(mib: int, *, current_kib: int, offline_kib: int) -> Case:
    """`xl mem-set` that ends with hot-added memory nobody put online."""

    def act(scene: Scene) -> None:
        done = scene.mem_set(mib)
        assert done.status == 0, f"xl mem-set: {done}"
        status, _ = scene.agreed(
            {"current_kib": current_kib, "target_kib": mib * KIB, "offline_kib": offline_kib}
        )
        assert look_up(status, "findings"), "the agent finds nothing worth saying"
        assert look_up(status, "verdict") != "ok", "the agent finds that all is well"

    return Case(
        f"mem-set {mib} leaves blocks offline", f"the offline blocks are a term; {AGREE}", act
    )


def blocks_put_online(mib: int) -> Case:
    """The blocks put online by hand; the balloon driver then goes on by itself."""

    def act(scene: Scene) -> None:
        scene.domain.run(["sh", "-c", ONLINE_ALL])
        scene.agreed({"current_kib": mib * KIB, "target_kib": mib * KIB, "offline_kib": 0})

    return Case(f"blocks put online by hand at {mib}", f"current = {mib} MiB; {AGREE}", act)


def saved_running() -> Case:
    """`xl save -c`: written to a file, it goes on as the same domain."""

    def act(scene: Scene) -> None:
        assert isinstance(scene.domain, Guest), "only a guest can be saved"
        before, domid = scene.truth(), scene.domain.domid
        scene.domain.save_running()
        assert scene.domain.domid == domid
        names = ("current_kib", "target_kib", "mem_total_kib")
        scene.agreed({name: before[name] for name in names})

    return Case("saved while running", f"the same domid, the same memory; {AGREE}", act)


def processors(count: int) -> Case:
    """`xl vcpu-set`, and the guest follows its target as before."""

    def act(scene: Scene) -> None:
        domid = str(scene.domain.domid)
        toolstack.must(["xl", "vcpu-set", "--ignore-host", domid, str(count)])
        mib = PROCESSORS_MIB + count
        scene.mem_set(mib)
        scene.agreed({"current_kib": mib * KIB})

    return Case(f"vcpu-set {count}", f"the next target is reached; {AGREE}", act)


def storm(count: int) -> Case:
    """`xl mem-set` as fast as it comes, up and down."""

    def act(scene: Scene) -> None:
        began = time.monotonic()
        for number in range(count):
            scene.mem_set(STORM_MIB[number % len(STORM_MIB)])
        last = STORM_MIB[(count - 1) % len(STORM_MIB)]
        scene.measure("took", f"{time.monotonic() - began:.0f} s")
        scene.agreed({"current_kib": last * KIB, "xenstore_target": str(last * KIB)})

    return Case(f"{count} times mem-set", f"the last target is reached; {AGREE}", act)


def saved_and_restored() -> Case:
    """`xl save` and `xl restore`: the same kernel goes on as another domain."""

    def act(scene: Scene) -> None:
        assert isinstance(scene.domain, Guest), "only a guest can be saved"
        before = scene.truth()
        old_domid = scene.domain.domid
        scene.domain.save_and_restore()
        assert scene.domain.domid != old_domid, "the domain is the old one"
        names = ("current_kib", "target_kib", "mem_total_kib")
        status, _ = scene.agreed({name: before[name] for name in names})
        assert look_up(status, "domain.domid") == scene.domain.domid, status["domain"]

    return Case("saved and restored", f"a new domid, the same memory; {AGREE}", act)
