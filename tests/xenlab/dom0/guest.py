# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain to observe: a guest that is started here, or dom0 itself."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Final, Protocol

from tests.xenlab.build import cpio
from tests.xenlab.dom0 import toolstack
from tests.xenlab.dom0.console import Console, GoneError
from tests.xenlab.dom0.settings import DOM0_TYPE, PATIENCE, deadline
from tests.xenlab.dom0.toolstack import Done
from tests.xenlab.guest.install import write_compiled
from tests.xenlab.model import GuestSpec, Kind

SHARE: Final = Path("/lab")
BOOT_DISKS: Final = Path("/run/lab-boot")
ROOT_DEVICE: Final = "/dev/vda"
UP_WITHIN_S: Final[dict[Kind, float]] = {"pv": 300, "pvh": 450, "hvm": 900, "dom0": 0}
UP_WITHIN_S_PER_GIB: Final[dict[Kind, float]] = {"pv": 0, "pvh": 60, "hvm": 60, "dom0": 0}
"""What a guest boots believing in has to be given back first, page by page."""
SAVE_WITHIN_S: Final = 600.0
LOOK_AFTER_S: Final = 10.0
XL_WITHIN_S: Final = 20.0
DESTROY_WITHIN_S: Final = 60.0
SYSTEMD_WORDS: Final = (
    "systemd.show_status=0", "systemd.wants=lab-channel.service",
    "systemd.default_timeout_start_sec=900",
)  # fmt: skip
HVM_CONFIG: Final = {"vga": '"none"', "vnc": 0, "sdl": 0, "nographic": 1, "usb": 0}


class Domain(Protocol):
    """What a scenario needs of a domain."""

    kind: Kind
    domid: int

    @property
    def domain_type(self) -> str:
        """How the agent calls it."""
        ...

    def run(self, argv: list[str], *, user: int | None = None, timeout_s: float = 120) -> Done:
        """Run a command inside."""
        ...

    def start(self, argv: list[str], timeout_s: float = 120) -> int:
        """Start a command inside; return what `finish` wants."""
        ...

    def finish(self, number: int, timeout_s: float = 120) -> Done:
        """Wait for a command that was started."""
        ...

    def console_log(self) -> bytes:
        """Return what came over its console."""
        ...

    def destroy(self) -> None:
        """End it, if that is possible."""
        ...


class Guest:
    """A guest made by xl, spoken to over its console."""

    def __init__(self, name: str, spec: GuestSpec) -> None:
        self.kind: Kind = spec.kind
        self.name = name
        self.spec = spec
        self.domid = -1
        self._console: Console | None = None

    @property
    def domain_type(self) -> str:
        """How the agent calls it."""
        return self.kind

    def create(self) -> None:
        """Create the domain."""
        config = Path(f"/tmp/{self.name}.cfg")
        config.write_text(self._config())
        toolstack.must(["xl", "create", str(config)], timeout_s=180)
        self.domid = int(toolstack.must(["xl", "domid", self.name]))

    def boot(self) -> None:
        """Create the domain and wait until its channel speaks.

        Raises:
            GoneError: it did not come up.
        """
        self.create()
        self._console = Console(self._console_path())
        within_s = UP_WITHIN_S[self.kind]
        within_s += UP_WITHIN_S_PER_GIB[self.kind] * self.spec.maxmem_mib / 1024
        within_s *= PATIENCE
        if not self._console.wait_until_up(within_s):
            raise GoneError(f"the guest is not up after {within_s:.0f} s")

    def install_agent(self) -> None:
        """Install the wheel.

        Raises:
            GoneError: that is not possible.
        """
        done = self.run(["python3", "-m", "tests.xenlab.guest.install", "/lab"])
        if done.status:
            raise GoneError(f"the agent cannot be installed: {done}")

    def run(self, argv: list[str], *, user: int | None = None, timeout_s: float = 120) -> Done:
        """Run a command in the guest."""
        number = self._open().send(argv, user, timeout_s * PATIENCE)
        return self.finish(number, timeout_s + LOOK_AFTER_S)

    def start(self, argv: list[str], timeout_s: float = 120) -> int:
        """Start a command in the guest."""
        return self._open().send(argv, None, timeout_s * PATIENCE)

    def finish(self, number: int, timeout_s: float = 120) -> Done:
        """Wait for a command; notice early when the guest is gone."""
        end = deadline(timeout_s)
        while True:
            left_s = end - time.monotonic()
            try:
                return self._open().wait(number, min(LOOK_AFTER_S, max(left_s, 0)))
            except GoneError:
                if left_s <= 0:
                    raise
                if not self.alive():
                    raise GoneError("the guest crashed, see xl-dmesg.txt") from None

    def save_and_restore(self) -> None:
        """Write the guest to a file and bring it back, as another domain.

        What runs in the guest, the channel too, goes on where it was.
        """
        image = SHARE / f"{self.name}.saved"
        try:
            self._save(image)
            self._open().close()
            toolstack.must(["xl", "restore", str(image)], timeout_s=SAVE_WITHIN_S)
        finally:
            image.unlink(missing_ok=True)
        self.domid = int(toolstack.must(["xl", "domid", self.name]))
        self._console = Console(self._console_path(), after=self._console)

    def save_running(self) -> None:
        """Write the guest to a file that is thrown away, and let it go on."""
        image = SHARE / f"{self.name}.saved"
        try:
            self._save(image, "-c")
        finally:
            image.unlink(missing_ok=True)

    def _save(self, image: Path, *options: str) -> None:
        # Through a pipe, for 9p cannot be given the pages of another domain to write (EFAULT).
        pipe = Path(f"/tmp/{self.name}.pipe")
        os.mkfifo(pipe)
        with image.open("wb") as file, subprocess.Popen(["cat", str(pipe)], stdout=file) as reader:
            try:
                command = ["xl", "save", *options, self.name, str(pipe)]
                toolstack.must(command, timeout_s=SAVE_WITHIN_S)
            except RuntimeError:
                reader.kill()  # It may wait for a writer that never came.
                raise
            finally:
                pipe.unlink()

    def alive(self) -> bool:
        """Tell whether the domain is there and has not crashed, as far as that can be told."""
        listed = toolstack.run(["xl", "list", str(self.domid)], XL_WITHIN_S)
        if listed.status:
            return listed.status == toolstack.TIMED_OUT
        state = listed.text.splitlines()[-1].split()[4]
        return not set(state) & set("sdc")

    def console_log(self) -> bytes:
        """Return what came over its console."""
        return self._console.log() if self._console else b""

    def destroy(self) -> None:
        """End the guest."""
        if self._console:
            self._console.close()
        with contextlib.suppress(RuntimeError):
            toolstack.must(["xl", "destroy", str(self.domid)], DESTROY_WITHIN_S)

    def _open(self) -> Console:
        if self._console is None:
            raise GoneError("the guest was never created")
        return self._console

    def _console_path(self) -> str:
        end = deadline(60)
        while time.monotonic() < end:
            path = toolstack.xenstore_read(f"/local/domain/{self.domid}/console/tty")
            if path:
                return path
            time.sleep(0.1)
        raise GoneError("xenconsoled gave the guest no console")

    def _config(self) -> str:
        spec = self.spec
        kernel = boot_folder(spec.kernel) / ("vmlinuz" if spec.kind == "hvm" else "vmlinux")
        # qemu-xen has no read-only IDE disks; from xvde on nothing is emulated.
        command_line = [
            "console=hvc0", "quiet", "loglevel=4", "mitigations=off",
            "lab.role=guest", "lab.root=/dev/xvde",
            "lab.init=" + ("/sbin/init" if spec.systemd else "/lab/tests/xenlab/guest/init"),
            *(SYSTEMD_WORDS if spec.systemd else ()),
            *spec.command_line,
        ]  # fmt: skip
        said = {line.partition("=")[0].strip() for line in spec.config}
        usual = HVM_CONFIG if spec.kind == "hvm" else {}
        return "\n".join(
            (
                f"name = {json.dumps(self.name)}",
                f"type = {json.dumps(spec.kind)}",
                f"kernel = {json.dumps(str(kernel))}",
                f"ramdisk = {json.dumps(str(initramfs(spec)))}",
                f"extra = {json.dumps(' '.join(command_line))}",
                f"memory = {spec.memory_mib}",
                f"maxmem = {spec.maxmem_mib}",
                f"vcpus = {spec.vcpus}",
                f"disk = ['phy:{root_device(spec)},xvde,r']",
                'on_crash = "preserve"',
                'on_poweroff = "destroy"',
                'on_reboot = "destroy"',
                *(f"{key} = {value}" for key, value in usual.items() if key not in said),
                *spec.config,
                "",
            )
        )


class Dom0:
    """dom0 as a domain to observe."""

    kind: Kind = "dom0"
    domid = 0

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []

    @property
    def domain_type(self) -> str:
        """How the agent calls it."""
        return f"dom0-{DOM0_TYPE}"

    def run(self, argv: list[str], *, user: int | None = None, timeout_s: float = 120) -> Done:
        """Run a command in dom0."""
        return toolstack.run(argv, timeout_s, user)

    def start(self, argv: list[str], timeout_s: float = 120) -> int:
        """Start a command in dom0."""
        pipe = subprocess.PIPE
        self._started.append(subprocess.Popen(argv, stdout=pipe, stderr=pipe))
        return len(self._started) - 1

    def finish(self, number: int, timeout_s: float = 120) -> Done:
        """Wait for a command that was started."""
        process = self._started[number]
        out, err = process.communicate(timeout=timeout_s * PATIENCE)
        return Done(process.returncode, out, err)

    def console_log(self) -> bytes:
        """Return nothing: dom0's console is the machine's serial log."""
        return b""

    def destroy(self) -> None:
        """Do nothing."""


def root_device(spec: GuestSpec) -> str:
    """Return the disk with the root file system of such a guest."""
    if spec.user_space is None:
        return ROOT_DEVICE
    plan = json.loads((SHARE / "run.json").read_text())
    return str(plan["user_spaces"][spec.user_space])


def boot_folder(suite: str) -> Path:
    """Mount the disk with the kernel of a suite, once."""
    folder = BOOT_DISKS / suite
    if not folder.is_dir():
        device = json.loads((SHARE / "run.json").read_text())["boot_disks"][suite]
        folder.mkdir(parents=True)
        toolstack.must(["mount", "-o", "ro", device, str(folder)])
    return folder


def compiled_wheel() -> Path:
    """Lay the agent's wheel with its byte code over the one of the payload, made once."""
    part = Path("/tmp/compiled.cpio")
    if not part.exists():
        wheel = Path("/tmp/compiled.whl")
        write_compiled(SHARE / "agent.whl", wheel)
        part.write_bytes(cpio.archive([cpio.file("payload/agent.whl", wheel.read_bytes())]))
        wheel.unlink()
    return part


def initramfs(spec: GuestSpec) -> Path:
    """Lay the lab's files for such a guest behind the initramfs of its kernel, once."""
    parts = [boot_folder(spec.kernel) / "initramfs.cpio", SHARE / "payload.cpio"]
    if spec.debs:
        parts.append(SHARE / ("bundled.cpio" if spec.user_space else "debs.cpio"))
    else:
        parts.append(compiled_wheel())
    names = "-".join(part.stem for part in parts[1:])
    whole = Path(f"/tmp/initramfs-{spec.kernel}-{names}.cpio")
    if not whole.exists():
        whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    return whole
