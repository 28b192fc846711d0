# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests whose states are kept as fixtures of other tests. Data, and how a state is reached.

Every state is a case: something is done, the balloon rests (or is caught while it moves), and the
domain is captured from inside and from outside. Names are those of the fixtures.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from tests.xenlab.dom0 import toolstack
from tests.xenlab.dom0.keep import keep_capture
from tests.xenlab.dom0.scene import Scene
from tests.xenlab.hosts import MAIN
from tests.xenlab.model import Case, GuestSpec, Scenario
from tests.xenlab.scenarios.steps import KIB, ONLINE_ALL, PAGES_UNTOUCHED

BALLOON: Final = "/sys/devices/system/xen_memory/xen_memory0"
SAMPLED_S: Final = 8.0
STARTED: Final = """
mkdir -p /etc/balloon-agent/config.d
echo 'mode = "observe"' >/etc/balloon-agent/config.d/lab.toml
systemctl daemon-reload
systemctl restart balloon-agent
"""
"""The daemon, which leaves its record of the boot."""
KERNEL_TAGS: Final = {"bullseye": "k510", "trixie": "k612", "sid": "k72"}


def _keep(
    scene: Scene, state: str, done: dict[str, str], move: Callable[[], object] | None = None
) -> None:
    folder = scene.folder / "captures" / state
    keep_capture(scene.domain, scene.scenario.guest, folder, done=done, move=move)


def booted() -> Case:
    """The state as it comes up."""
    return Case("boot", "captured", lambda scene: _keep(scene, "boot", {}))


def from_dom0(name: str, command: str) -> Case:
    """The state after a command in dom0, in which N stands for the domain's number."""

    def act(scene: Scene) -> None:
        argv = re.sub(r"\bN\b", str(scene.domain.domid), command).split()
        scene.timeline(name, SAMPLED_S, argv)
        scene.truth()
        _keep(scene, name, {"dom0_command": command})

    return Case(name, "captured, with its timeline", act)


def at_rest_after(name: str, command: str) -> Case:
    """As `from_dom0`, for a target that no timeline is wanted of."""

    def act(scene: Scene) -> None:
        toolstack.must(re.sub(r"\bN\b", str(scene.domain.domid), command).split())
        scene.truth()
        _keep(scene, name, {"dom0_command": command})

    return Case(name, "captured", act)


def mem_set(mib: int, name: str = "") -> Case:
    """The state after `xl mem-set`."""
    return from_dom0(name or f"memset-{mib}", f"xl mem-set N {mib}")


def in_guest(name: str, script: str) -> Case:
    """The state after a command in the guest."""

    def act(scene: Scene) -> None:
        scene.domain.run(["sh", "-c", script])
        scene.truth()
        _keep(scene, name, {"guest_command": " ".join(script.split())})

    return Case(name, "captured", act)


def moving(start_mib: int, end_mib: int) -> Case:
    """A state in the midst of a way."""
    name = f"moving-{start_mib}-to-{end_mib}"

    def act(scene: Scene) -> None:
        scene.mem_set(start_mib)
        scene.truth()
        command = f"xl mem-set N {end_mib}"
        _keep(scene, name, {"dom0_command": command}, lambda: scene.mem_set(end_mib))

    return Case(name, "captured while the balloon moves", act)


def target_in_mib(mib: int) -> Case:
    """A target in the wrong unit, caught while the guest gives away what it has."""

    def act(scene: Scene) -> None:
        targets = iter((mib, scene.scenario.guest.memory_mib * KIB))

        def move() -> None:
            scene.write_target(str(next(targets)))

        command = f"xenstore-write /local/domain/N/memory/target {mib}"
        _keep(scene, "target-in-mib", {"dom0_command": command}, move)

    return Case("target-in-mib", "captured while the balloon moves", act)


def _guest(name: str, spec: GuestSpec, *cases: Case, host: str = MAIN) -> Scenario:
    return Scenario(name, f"captures of {name}", spec, (booted(), *cases), host=host)


def _of_kernel(suite: str) -> tuple[Scenario, ...]:
    tag = KERNEL_TAGS[suite]
    return (
        _guest(
            f"pv-512-1024-{tag}",
            GuestSpec("pv", kernel=suite),
            *map(mem_set, (768, 1024, 384, 512)),
        ),
        _guest(
            f"pv-512-1024-e820host-{tag}",
            GuestSpec("pv", kernel=suite, config=("e820_host = 1",)),
            *map(mem_set, (768, 384)),
        ),
        _guest(
            f"pv-512-1024-{tag}-unaligned",
            GuestSpec("pv", kernel=suite),
            *map(mem_set, (700, 600)),
        ),
        _guest(f"pvh-512-1024-{tag}", GuestSpec("pvh", kernel=suite), *map(mem_set, (768, 384))),
    )


_PUT_ONLINE: Final = in_guest("online-768", ONLINE_ALL)
_MOVING: Final = (moving(1024, 384), moving(384, 1024))

SCENARIOS: Final = (
    _guest("dom0", GuestSpec("dom0", 1024, 1536), from_dom0("xl-list-l", "xl list -l"),
           *map(mem_set, (1280, 896, 1024))),
    _guest("dom0-pvh-k612", GuestSpec("dom0", 1024, 1536, "trixie"),
           in_guest("daemon-started", STARTED), *map(mem_set, (1280, 896, 1024)),
           host="4.20-pvh"),
    _guest("pv-512-1024", GuestSpec("pv"), mem_set(768), mem_set(384),
           in_guest("guest-target_kb-655360", f"echo 655360 >{BALLOON}/target_kb"),
           from_dom0("xenstore-raw-beyond-maxmem",
                     "xenstore-write /local/domain/N/memory/target 2097152")),
    Scenario("pv-512-1024-moving", "a PV guest caught on the way", GuestSpec("pv"), _MOVING),
    _guest("pv-512-1024-e820host", GuestSpec("pv", config=("e820_host = 1",)),
           *map(mem_set, (768, 1024, 384, 512))),
    _guest("pv-512-512", GuestSpec("pv", 512, 512), mem_set(384), mem_set(512)),
    _guest("pv-256-2816", GuestSpec("pv", 256, 2816), mem_set(512), mem_set(256)),
    _guest("pv-256-4096", GuestSpec("pv", 256, 4096), mem_set(2048), mem_set(256)),
    _guest("pv-512-16384", GuestSpec("pv", 512, 16384), mem_set(768), mem_set(384)),
    _guest("pv-512-1024-hotplug", GuestSpec("pv"), from_dom0("mem-max-1536", "xl mem-max N 1536"),
           mem_set(1280, "memmax-1536-memset-1280"), in_guest("hotplugged-onlined", ONLINE_ALL),
           mem_set(512, "hotplugged-memset-512"), mem_set(1408, "hotplugged-memset-1408")),
    Scenario("pv-512-1024-units", "a PV guest whose target is in another unit", GuestSpec("pv"),
             (at_rest_after("target-in-bytes",
                            "xenstore-write /local/domain/N/memory/target 805306368"),
              at_rest_after("target-garbled",
                            "xenstore-write /local/domain/N/memory/target 393216x"),
              target_in_mib(768))),
    _guest("pvh-512-1024", GuestSpec("pvh"), *map(mem_set, (768, 1024, 384, 512))),
    Scenario("pvh-512-1024-moving", "a PVH guest caught on the way", GuestSpec("pvh"), _MOVING),
    _guest("pvh-512-512", GuestSpec("pvh", 512, 512), mem_set(384), mem_set(512)),
    _guest("hvm-512-1024", GuestSpec("hvm"), *map(mem_set, (768, 1024, 384))),
    _guest("pv-512-1024-k510-onlined", GuestSpec("pv", kernel="bullseye"), mem_set(768),
           _PUT_ONLINE, mem_set(384), mem_set(512)),
    _guest("pvh-1024-6144", GuestSpec("pvh", 1024, 6144)),
    _guest("pv-2048-16384", GuestSpec("pv", 2048, 16384)),
    _guest("hvm-1024-6144", GuestSpec("hvm", 1024, 6144)),
    _guest("hvm-1024-16384", GuestSpec("hvm", 1024, 16384, command_line=PAGES_UNTOUCHED)),
    _guest("pv-1024-8192-k612", GuestSpec("pv", 1024, 8192, "trixie")),
    _guest("pv-1024-8192-k72", GuestSpec("pv", 1024, 8192, "sid")),
    _guest("pv-256-256", GuestSpec("pv", 256, 256)),
    _guest("pvh-256-256", GuestSpec("pvh", 256, 256)),
    _guest("hvm-256-256", GuestSpec("hvm", 256, 256)),
    _guest("pvh-1024-16384-k612", GuestSpec("pvh", 1024, 16384, "trixie")),
    _guest("pv-512-1024-4cpus", GuestSpec("pv", vcpus=4)),
    _guest("pvh-512-16384", GuestSpec("pvh", 512, 16384)),
    _guest("pv-128-4096", GuestSpec("pv", 128, 4096)),
    _guest("pv-512-1024-k510-xen414", GuestSpec("pv", kernel="bullseye"), mem_set(384),
           host="4.14"),
    _guest("pvh-512-1024-xen414", GuestSpec("pvh"), mem_set(768), mem_set(384), host="4.14"),
    _guest("pv-512-1024-k612-xen420", GuestSpec("pv", kernel="trixie"), mem_set(768),
           mem_set(384), host="4.20"),
    _guest("pvh-512-1024-k612-xen420", GuestSpec("pvh", kernel="trixie"), mem_set(768),
           mem_set(384), host="4.20"),
    *_of_kernel("bullseye"),
    *_of_kernel("trixie"),
    *_of_kernel("sid"),
)  # fmt: skip
