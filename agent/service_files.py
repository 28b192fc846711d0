# SPDX-License-Identifier: GPL-2.0-or-later
"""The files that make a service of an agent that no distribution's package installed.

A wheel carries the unit files in `agent/systemd`, a checkout has them in `systemd/`. They name
`/usr/bin/balloon-agent`; here they name the interpreter that is running, in isolated mode.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Final, NamedTuple

from agent.daemon.config.text import default_text

UNIT_DIRECTORY: Final = "etc/systemd/system"
CONFIG_FILE: Final = "etc/balloon-agent/config.toml"
AGENT_UNITS: Final = ("balloon-agent.service",)
METRICS_UNITS: Final = ("balloon-agent-metrics.socket", "balloon-agent-metrics@.service")
# The first line of every unit written here; what has another first line is somebody else's.
MARK: Final = "# Written by `balloon-agent install-service`; its --remove removes it.\n"
PACKAGED_UNITS: Final = ("usr/lib/systemd/system", "lib/systemd/system")

_PACKAGED_COMMAND: Final = "/usr/bin/balloon-agent"
# What systemd takes literally in a command line (systemd.service(5), COMMAND LINES).
_PLAIN_PATH: Final = re.compile(r"/[A-Za-z0-9._/+-]+")
# Hidden from the service by ProtectHome= and PrivateTmp= of the unit.
_HIDDEN: Final = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")  # noqa: S108 - not used


class ServiceFile(NamedTuple):
    """A file below the root of a system."""

    path: str
    text: str


def unit_files(names: tuple[str, ...]) -> list[ServiceFile]:
    """The named units, for the interpreter that is running.

    Raises:
        OSError: this installation has no unit files.
    """
    found = []
    for name in names:
        with open(os.path.join(_shipped(), name), encoding="utf-8") as file:
            text = file.read()
        command = f"{sys.executable} -I -m agent"
        found.append(
            ServiceFile(f"{UNIT_DIRECTORY}/{name}", MARK + text.replace(_PACKAGED_COMMAND, command))
        )
    return found


def config_file() -> ServiceFile:
    """The default configuration, in which every key is a comment."""
    return ServiceFile(CONFIG_FILE, default_text())


def unfit(executable: str, owner: int) -> str | None:
    """Why the interpreter cannot run as a service of root, as a sentence; None if it can.

    Args:
        executable: its path, as the unit would name it.
        owner: user id of the owner of its environment.
    """
    if not _PLAIN_PATH.fullmatch(executable):
        return f"The path {executable} has characters that systemd would not take literally."
    if executable.startswith(_HIDDEN):
        return (
            f"{executable} is where the service could not see it: its sandbox hides home and "
            "temporary directories. Install balloon-agent into /opt/balloon-agent, say."
        )
    if owner != 0:
        return (
            f"{executable} is in an environment that belongs to user {owner}, who could then act "
            "as root. Install balloon-agent as root."
        )
    return None


def _shipped() -> str:
    """Where this installation has its unit files."""
    package = os.path.dirname(os.path.abspath(__file__))
    inside = os.path.join(package, "systemd")
    return inside if os.path.isdir(inside) else os.path.join(os.path.dirname(package), "systemd")
