# SPDX-License-Identifier: GPL-2.0-or-later
"""Living guests for fixes that no story shows: agents under systemd, old toolstacks, crashes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.files import BALLOON
from sim_backend.guest.kernel_images import DEBIAN_12, image_of
from sim_backend.host.other_toolstacks import Xend
from sim_backend.host.qubes import Qubes
from sim_backend.host.xapi import Xapi
from sim_backend.hypervisor import Host
from sim_backend.stories.scenario import Stage
from tests.cli.findings_shown import STAT, Guest, running, simulated

SYSTEMD: Final = {"proc/1/stat": STAT.format(1, "systemd", 100)}


def _guest_wrote(kib: int, host_mib: int = 512) -> Callable[[Stage], None]:
    def story(stage: Stage) -> None:
        if host_mib != 512:
            stage.toolstack.mem_set(stage.domain, host_mib * MIB)
            stage.domain.settle()
        stage.domain.write_file(f"{BALLOON}/target_kb", f"{kib}\n")
        stage.domain.advance_to(stage.domain.now_s() + 20)

    return story


def _range(stage: Stage) -> None:
    stage.domain.store.write("memory/dynamic-min", str(256 * MIB))
    stage.domain.store.write("memory/dynamic-max", str(1024 * MIB))


def _moved(stage: Stage) -> None:
    stage.toolstack.migrate(stage.domain, Host())


def _published_once(stage: Stage) -> None:
    stage.domain.store.write("data/meminfo_total", str(stage.domain.memory.managed_kib))
    stage.toolstack.mem_set(stage.domain, 768 * MIB)
    stage.domain.settle()


OLD: Final = image_of("5.10.223")
WITHOUT_HOTPLUG: Final = DEBIAN_12._replace(hotplug=False)
NO_DRIVER: Final = DEBIAN_12._replace(balloon=False)
SLOW: Final = (
    "[    1.100000] xen:balloon: Waiting for initial ballooning down having finished.\n"
    "[   80.200000] xen:balloon: Initial ballooning down finished.\n"
)


def _host_wrote(number: int) -> Callable[[Stage], None]:
    def story(stage: Stage) -> None:
        stage.domain.store.write("memory/target", str(number))
        stage.domain.advance_to(stage.domain.now_s() + 2)

    return story


def _up(stage: Stage) -> None:
    stage.toolstack.mem_set(stage.domain, 768 * MIB)
    stage.domain.settle()


def _refused(stage: Stage) -> None:
    stage.toolstack.mem_set(stage.domain, 768 * MIB)
    stage.domain.reservation.max_pages = stage.domain.reservation.pages + 1000
    stage.domain.advance_to(stage.domain.now_s() + 60)


def _beyond_the_map(stage: Stage) -> None:
    stage.toolstack.mem_max(stage.domain, 1536 * MIB)
    stage.toolstack.mem_set(stage.domain, 1280 * MIB)
    stage.domain.advance_to(stage.domain.now_s() + 60)


def _hot_add_refused(stage: Stage) -> None:
    domain = stage.domain
    setattr(domain.blocks, "add", lambda _: None)  # noqa: B010 - no room anywhere
    domain.kernel_said.append((domain.uptime_s, "xen:balloon: Cannot add additional memory (-17)"))
    _beyond_the_map(stage)


def _crashes(stage: Stage) -> None:
    stage.domain.crash(128 * MIB)
    stage.domain.advance_to(stage.domain.now_s() + 0.3)


def _refused_under_xend(stage: Stage) -> None:
    stage.domain.reservation.max_pages = stage.domain.reservation.pages
    stage.domain.store.write("memory/target", str(768 * MIB))
    stage.domain.advance_to(stage.domain.now_s() + 60)


_AGENTS: Final = {
    "two agents for XAPI, under systemd": simulated(
        "", toolstack=Xapi, files=SYSTEMD | running("xe-daemon", "xen-guest-agent")
    ),
    "xenballoond, under systemd": simulated("", files=SYSTEMD | running("xenballoond")),
    "meminfo-writer without Qubes, under systemd": simulated(
        "", files=SYSTEMD | running("meminfo-writer")
    ),
    "XAPI with a dynamic range and no agent, under systemd": simulated(
        "", story=_range, toolstack=Xapi, files=SYSTEMD | running("cron")
    ),
    "xen-guest-agent that wrote once, under systemd": simulated(
        "", story=_published_once, files=SYSTEMD | running("xen-guest-agent")
    ),
    "migrated, under systemd": simulated(
        "",
        story=_moved,
        files=SYSTEMD
        | running("balloon-agent")
        | {"run/balloon-agent/status.json": '{"domain": {"domid": 1}}'},
    ),
}
_BALLOONS: Final = {
    "pv-512-1024/guest-target_kb-655360, brought to life": simulated(
        "", story=_guest_wrote(655360)
    ),
    "pv-512-1024/xenstore-raw-beyond-maxmem, brought to life": simulated(
        "", story=_host_wrote(1536 * MIB)
    ),
    "pvh-512-1024/xenstore-raw-beyond-maxmem, brought to life": simulated(
        "", GuestConfig("pvh"), _host_wrote(1536 * MIB)
    ),
    "pv-512-1024-units/target-in-bytes, brought to life": simulated(
        "", story=_host_wrote(768 * MIB * 1024)
    ),
    "pv-512-1024-k510/boot, brought to life": simulated("", GuestConfig(image=OLD)),
    "pv-512-1024-k510/memset-768, brought to life": simulated("", GuestConfig(image=OLD), _up),
    "Linux 4.19, the hypervisor's limit below the target": simulated(
        "", GuestConfig(image=image_of("4.19.0")), _refused
    ),
    "HVM, Linux 4.19, the hypervisor's limit below the target": simulated(
        "", GuestConfig("hvm", image=image_of("4.19.0")), _refused
    ),
    "PV, full, allowed more by xl mem-max, no hot-plug, the boot's log gone": simulated(
        "", GuestConfig(image=WITHOUT_HOTPLUG), _beyond_the_map, files={"kernel.log": "\n"}
    ),
    "PVH, full, allowed more by xl mem-max, hot-plug refused": simulated(
        "", GuestConfig("pvh"), _hot_add_refused
    ),
    "Qubes HVM without a driver": simulated(
        "", GuestConfig("hvm", image=NO_DRIVER), toolstack=Qubes
    ),
    "Qubes HVM that took 79 s to shrink at boot": simulated(
        "", GuestConfig("hvm"), toolstack=Qubes, files={"kernel.log": SLOW}
    ),
    "HVM that crashed while ballooned down": simulated("", GuestConfig("hvm"), _crashes),
    "HVM, target_kb written in the guest": simulated(
        "", GuestConfig("hvm"), _guest_wrote(400 * MIB)
    ),
    "PVH, target_kb written in MiB": simulated("", GuestConfig("pvh"), _guest_wrote(512)),
    "xend, the hypervisor's limit below the target": simulated(
        "", story=_refused_under_xend, toolstack=Xend
    ),
}
MORE: Final[dict[str, Guest]] = _AGENTS | _BALLOONS
