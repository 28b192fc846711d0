# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be done in the guest, in the words of its distribution where they differ."""

from __future__ import annotations

from typing import Final

from agent.core.findings.examination import Distribution, Examination
from agent.core.findings.finding import Fix

BALLOON_DIRECTORY: Final = "/sys/devices/system/xen_memory/xen_memory0"
TARGET_FILE: Final = f"{BALLOON_DIRECTORY}/target_kb"
FOR_GOOD: Final = "for good: boot with memhp_default_state=online"
_BLOCKS: Final = "/sys/devices/system/memory"

_OPTIONS: Final = (
    ("debian", "GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub"),
    ("fedora", "grubby --update-kernel=ALL with --args= or --remove-args="),
    ("rhel", "grubby --update-kernel=ALL with --args= or --remove-args="),
    ("suse", "/etc/default/grub, then grub2-mkconfig -o /boot/grub2/grub.cfg"),
    ("arch", "/etc/default/grub, then grub-mkconfig -o /boot/grub/grub.cfg"),
    ("alpine", "default_kernel_opts in /etc/update-extlinux.conf, then update-extlinux"),
)

# Of the agents that are not called so.
_UNITS: Final = {"xe-daemon": "xe-linux-distribution", "meminfo-writer": "qubes-meminfo-writer"}


def aim_at(kib: int, note: str) -> Fix:
    """The kernel aims at `kib`."""
    return Fix("guest", (f"echo {kib} > {TARGET_FILE}",), note=note)


def put_online(blocks: tuple[int, ...], note: str = "") -> Fix:
    """Hot-added or offlined memory is used."""
    number = " ".join(str(block) for block in blocks)
    command = f"for n in {number}; do echo online > {_BLOCKS}/memory$n/state; done"
    if len(blocks) == 1:
        command = f"echo online > {_BLOCKS}/memory{number}/state"
    return Fix("guest", (command,), note=note)


def always_online() -> Fix:
    """Memory that is hot-added from now on is used at once."""
    return Fix("guest", (f"echo online > {_BLOCKS}/auto_online_blocks",), note=FOR_GOOD)


def boot_options(distribution: Distribution | None, what: str) -> Fix:
    """The kernel's command line is to be changed: never by a command that was not tried there."""
    where = next(
        (words for family, words in _OPTIONS if distribution and distribution.is_of(family)),
        "the boot loader's configuration",
    )
    return Fix("guest", (), "next-boot", f"{what} ({where})")


def newer_kernel(distribution: Distribution | None, what: str) -> Fix:
    """Nothing helps but another kernel; `what` says which."""
    debian = distribution is not None and distribution.is_of("debian")
    hint = " (in Debian 11 and older: from its backports)" if debian else ""
    return Fix("guest", (), "next-boot", f"{what}{hint}")


def service(seen: Examination, action: str, agent: str, note: str) -> Fix:
    """An agent is started, stopped or restarted by whatever runs it."""
    unit = _UNITS.get(agent, agent)
    if seen.processes is not None and seen.processes.systemd:
        return Fix("guest", (f"systemctl {action} {unit}.service",), note=note)
    verb = {"restart": "restart", "disable --now": "stop and disable"}.get(action, "start")
    return Fix("guest", note=f"{verb} {unit}: {note}")
