# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of a service, for systemd or OpenRC, of an agent that no package brought.

A wheel and the one file carry what is shipped in `agent/shipped`; a checkout has it in place. What
is shipped names `/usr/bin/balloon-agent`; here it names what is running, in isolated mode.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from agent.daemon.config.text import default_text
from agent.service import onefile

if TYPE_CHECKING:
    from importlib.abc import ResourceLoader

UNIT_DIRECTORY: Final = "etc/systemd/system"
CONFIG_FILE: Final = "etc/balloon-agent/config.toml"
COMMAND_FILE: Final = "usr/local/bin/balloon-agent"
AGENT_UNITS: Final = ("balloon-agent.service",)
METRICS_UNITS: Final = ("balloon-agent-metrics.socket", "balloon-agent-metrics@.service")
INIT_SCRIPT: Final = "etc/init.d/balloon-agent"
MAN_PAGE: Final = "usr/local/share/man/man1/balloon-agent.1"
COMPLETIONS: Final = {
    "bash": "usr/local/share/bash-completion/completions/balloon-agent",
    "zsh": "usr/local/share/zsh/site-functions/_balloon-agent",
    "fish": "usr/local/share/fish/vendor_completions.d/balloon-agent.fish",
}
# Within the first two lines of every text written here; what lacks it is somebody else's.
MARK: Final = "Written by `balloon-agent install-service`; its --remove removes it."
PACKAGED_UNITS: Final = ("usr/lib/systemd/system", "lib/systemd/system")

_PACKAGED_COMMAND: Final = "/usr/bin/balloon-agent"


class ServiceFile(NamedTuple):
    """A file below the root of a system; `link` is what it points to, where it is a link."""

    path: str
    content: bytes
    mode: int = 0o644
    link: str = ""


def written(init: str, completions: dict[str, str], *, metrics: bool) -> list[ServiceFile]:
    """All that an installation writes but the configuration, which is the administrator's.

    Args:
        init: "systemd" or "openrc".
        completions: the script of each shell.
        metrics: also the port for Prometheus; systemd's alone.

    Raises:
        OSError: this installation lacks what is shipped.
    """
    found = [command_file()]
    if init == "openrc":
        found.append(_text(INIT_SCRIPT, "openrc/balloon-agent", mode=0o755))
    else:
        names = AGENT_UNITS + (METRICS_UNITS if metrics else ())
        found += [_text(f"{UNIT_DIRECTORY}/{name}", f"systemd/{name}") for name in names]
    found.append(ServiceFile(MAN_PAGE, f'.\\" {MARK}\n'.encode() + shipped("docs/balloon-agent.1")))
    for shell, script in completions.items():
        found.append(ServiceFile(COMPLETIONS[shell], _marked(script).encode()))
    return found


def all_paths() -> tuple[str, ...]:
    """Where `written` may have written."""
    units = tuple(f"{UNIT_DIRECTORY}/{name}" for name in AGENT_UNITS + METRICS_UNITS)
    return (*units, INIT_SCRIPT, MAN_PAGE, *COMPLETIONS.values(), COMMAND_FILE)


def command_file() -> ServiceFile:
    """The command on everybody's PATH: the one file itself, or a link into the environment."""
    archive = onefile.path_of_this()
    if archive is not None:
        return ServiceFile(COMMAND_FILE, onefile.for_this_python(archive, f"# {MARK}"), 0o755)
    return ServiceFile(COMMAND_FILE, b"", link=os.path.join(sys.prefix, "bin", "balloon-agent"))


def what_runs() -> tuple[str, ...]:
    """The interpreter, and what root would load with it that is not written here."""
    if onefile.path_of_this() is not None:
        return (sys.executable,)
    return (sys.executable, sys.prefix, os.path.dirname(os.path.dirname(__file__)))


def config_file() -> ServiceFile:
    """The default configuration, in which every key is a comment."""
    return ServiceFile(CONFIG_FILE, default_text().encode())


def is_marked(content: bytes) -> bool:
    """Whether a file was written here."""
    return MARK.encode() in b"\n".join(content.split(b"\n", 2)[:2])


def shipped(name: str) -> bytes:
    """A file of the project, by its name in the repository.

    Raises:
        OSError: it is not there.
    """
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    read = cast(
        "ResourceLoader", sys.modules[__name__].__loader__
    ).get_data  # of a file, or of the one file
    try:
        return read(os.path.join(package, "shipped", name))
    except OSError:
        return read(os.path.join(os.path.dirname(package), name))


def _text(path: str, name: str, mode: int = 0o644) -> ServiceFile:
    """A shipped file that names what is running in the package's place."""
    command = f"/{COMMAND_FILE}"  # OpenRC's takes a program, without arguments
    if onefile.path_of_this() is None and path != INIT_SCRIPT:
        command = f"{sys.executable} -I -m agent"
    text = shipped(name).decode().replace(_PACKAGED_COMMAND, command)
    return ServiceFile(path, _marked(text).encode(), mode)


def _marked(text: str) -> str:
    """With the mark, below a first line that says who reads it."""
    first, rest = text.split("\n", 1)
    if first.startswith(("#!", "#compdef")):
        return f"{first}\n# {MARK}\n{rest}"
    return f"# {MARK}\n{text}"
