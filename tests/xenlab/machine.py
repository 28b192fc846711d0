# SPDX-License-Identifier: GPL-2.0-or-later
"""The emulated machine: QEMU without KVM, Xen, dom0.

The processor is QEMU's plain 64-bit one with AMD's virtualisation switched on, which is what Xen
needs for PVH and HVM guests; fuller models either panic Xen (it trusts their MONITOR
instruction) or crash dom0. Nothing here needs root, and the machine has no network.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple

import psutil

from tests.xenlab.build import requirements
from tests.xenlab.build.builder import Artifacts
from tests.xenlab.errors import LabError
from tests.xenlab.hosts import Host
from tests.xenlab.share import DRIVER_LOG, EVENTS, ORDERS, SHARE

MEMORY: Final = "4G"
DOM0_MEMORY: Final = "1G,max:1536M"
XEN_WORDS: Final = (
    "console=com1", "com1=115200,8n1", f"dom0_mem={DOM0_MEMORY}", "dom0_max_vcpus=1",
    "spec-ctrl=no", "loglvl=all", "guest_loglvl=all",
)  # fmt: skip
DOM0_WORDS: Final = (
    "console=hvc0", "mitigations=off", "lab.role=dom0", "lab.root=/dev/vda",
    "lab.init=/lab/tests/xenlab/dom0/init", "systemd.show_status=0", "systemd.wants=lab.service",
    "systemd.default_timeout_start_sec=900",
)  # fmt: skip
FIRST_DISK: Final = ord("b")
"""The one before it is the root."""
PVH_DOM0_BOARD: Final = ("-machine", "q35", "-device", "amd-iommu,intremap=on")
"""Xen makes dom0 PVH only where an IOMMU keeps its devices within its memory."""
PVH_DOM0_DEVICE: Final = ",disable-legacy=on,iommu_platform=on"

BOOT_WITHIN_S: Final = 600.0
SILENT_AT_MOST_S: Final = 1500.0
"""Longer than any case may take, restarts included."""
STILL_AT_MOST_S: Final = 90.0
"""An emulated processor that idles still takes ticks of its clock; a QEMU that uses no time at all
has stopped for ever (seen now and then where an HVM guest begins its kernel)."""
STOP_WITHIN_S: Final = 40.0


class Disks(NamedTuple):
    """What dom0 finds on its disks after the first, which is the root."""

    images: tuple[Path, ...]
    boot: dict[str, str]
    """The device that holds the kernel of each suite."""
    user_spaces: dict[str, str]
    """The device that holds the root of guests with the user space of each suite."""


def disks(artifacts: Artifacts) -> Disks:
    """Lay out the disks of every machine of a run."""
    boot = [(suite, folder / "boot.ext4") for suite, folder in artifacts.kernels.items()]
    spaces = [(suite, folder / "root.ext4") for suite, folder in artifacts.user_spaces.items()]

    def devices(named: list[tuple[str, Path]], first: int) -> dict[str, str]:
        return {suite: f"/dev/vd{chr(first + n)}" for n, (suite, _) in enumerate(named)}

    return Disks(
        tuple(image for _, image in (*boot, *spaces)),
        devices(boot, FIRST_DISK),
        devices(spaces, FIRST_DISK + len(boot)),
    )


class Machine:
    """One boot of the emulated machine; a context manager that ends it."""

    def __init__(self, artifacts: Artifacts, host: Host, folder: Path) -> None:
        """Describe it.

        Args:
            artifacts: what it boots.
            host: as what it boots.
            folder: where its log goes and, in `share`, what dom0 sees of this machine.
        """
        self.share = folder / SHARE
        self.at_end = False
        """Whether dom0 has said that it is done."""
        self._artifacts = artifacts
        self._host = host
        self._serial_log = folder / "serial.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._read_up_to = 0
        self._heard = 0.0
        self._used_s = self._moved = 0.0
        self._limit_s = BOOT_WITHIN_S * requirements.patience()

    def __enter__(self) -> Machine:
        command = self.command(f"file:{self._serial_log}")
        with self._serial_log.with_suffix(".qemu").open("wb") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors
            )
        self._heard = self._moved = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is None:
            return
        if kind is None:
            try:
                self._process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        else:
            self._process.kill()
        self._process.wait()

    def interactive(self) -> int:
        """Boot with dom0's console on this terminal; return QEMU's exit status."""
        command = self.command("chardev:terminal", extra_dom0_words=("lab.shell",))
        command += ["-chardev", "stdio,id=terminal,signal=off"]
        return subprocess.run(command, check=False).returncode

    def poll(self) -> list[dict[str, Any]]:
        """Return what dom0 has reported since the last time.

        Raises:
            LabError: the machine died, did not come up or fell silent.
        """
        ended = self._process is None or self._process.poll() is not None
        events = list(self._new_events())
        if events:
            self._heard, self._limit_s = (
                time.monotonic(),
                SILENT_AT_MOST_S * requirements.patience(),
            )
            self.at_end = events[-1]["event"] == "end"
        elif self.at_end:
            pass
        elif ended:
            raise LabError(f"the machine ended by itself\n{self._last_words()}")
        elif self._still_s() > STILL_AT_MOST_S:
            raise LabError(f"the emulator has stood still for {STILL_AT_MOST_S:.0f} s")
        elif time.monotonic() - self._heard > self._limit_s:
            raise LabError(f"no word from dom0 for {self._limit_s:.0f} s\n{self._last_words()}")
        return events

    def _still_s(self) -> float:
        """How long the emulator has used no processor time."""
        assert self._process is not None
        used = psutil.Process(self._process.pid).cpu_times()
        used_s, now_s = used.user + used.system, time.monotonic()
        if used_s != self._used_s:
            self._used_s, self._moved = used_s, now_s
        return now_s - self._moved

    def order(self, scenario: str | None) -> None:
        """Answer dom0's question what to play next; None: nothing more."""
        with (self.share / ORDERS).open("a") as file:
            file.write(json.dumps(scenario) + "\n")

    def _new_events(self) -> Iterator[dict[str, Any]]:
        with (self.share / EVENTS).open("rb") as file:
            file.seek(self._read_up_to)
            *lines, unfinished = file.read().split(b"\n")
            self._read_up_to = file.tell() - len(unfinished)
        for line in lines:
            yield json.loads(line)

    def command(self, serial: str, extra_dom0_words: tuple[str, ...] = ()) -> list[str]:
        """Return QEMU's command line."""
        release = self._host.release
        dom0 = self._artifacts.kernels[release.suite]
        pvh = self._host.dom0 == "pvh"
        device = PVH_DOM0_DEVICE if pvh else ""
        # QEMU splits this value at commas, which these words therefore must not contain.
        words = (*DOM0_WORDS, *self._host_words(), *extra_dom0_words)
        modules = f"{dom0 / 'vmlinuz'} {' '.join(words)}"
        xen_words = [*XEN_WORDS, *(("dom0=pvh",) if pvh else ())]
        root = self._artifacts.roots[release.name] / "root.ext4"
        command = [
            "qemu-system-x86_64",
            "-accel", "tcg,thread=multi,tb-size=512",
            "-cpu", "qemu64,+svm,+npt",
            "-smp", "1",
            "-m", MEMORY,
            "-display", "none", "-nodefaults", "-no-user-config", "-no-reboot",
            "-serial", serial,
            "-kernel", str(self._artifacts.hypervisors[release.name] / "xen"),
            "-append", " ".join(xen_words),
            "-initrd", f"{modules},{dom0 / 'initramfs.cpio'}",
            "-fsdev", f"local,id=lab,path={self.share},security_model=none",
            "-device", f"virtio-9p-pci,fsdev=lab,mount_tag=lab{device}",
            *(PVH_DOM0_BOARD if pvh else ()),
        ]  # fmt: skip
        for number, disk in enumerate((root, *disks(self._artifacts).images)):
            command += ["-drive", f"id=d{number},file={disk},if=none,format=raw,snapshot=on"]
            command += ["-device", f"virtio-blk-pci,drive=d{number}{device}"]
        return command

    def _host_words(self) -> tuple[str, ...]:
        """What dom0/settings.py knows of its host."""
        return (
            f"lab.patience={requirements.patience()}",
            f"lab.xenstored={self._host.xenstored}",
            f"lab.dom0={self._host.dom0}",
        )

    def _last_words(self) -> str:
        words = ""
        for path in self._logs():
            if path.exists():
                lines = path.read_text(errors="replace").splitlines()[-25:]
                words += "\n".join((f"--- the end of {path}", *lines, ""))
        return words

    def _logs(self) -> tuple[Path, ...]:
        driver = self.share / DRIVER_LOG
        return self._serial_log, self._serial_log.with_suffix(".qemu"), driver
