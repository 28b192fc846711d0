# SPDX-License-Identifier: GPL-2.0-or-later
"""For every code a guest that has the finding and one next to it that has not, read end to end.

A guest is a scenario of the simulation, a simulated guest of its own (an old kernel, XAPI, Qubes),
or the capture of a real one in which files say what a kernel or an agent would have said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from agent.core.facts.snapshot import Origin
from agent.core.findings.diagnosis import Diagnosis, diagnose
from agent.examine import examine, watched
from agent.gather import gather
from agent.sources.outcome import OK, Outcome
from agent.sources.system_root import SMALL_LIMIT_BYTES, SystemRoot
from agent.sources.xenstore.key_store import CapturedKeys
from sim_backend.clock import Clock
from sim_backend.guest.config import MIB, GuestConfig
from sim_backend.guest.domain import SimulatedDomain
from sim_backend.guest.kernel_images import DEBIAN_12, image_of
from sim_backend.host.libxl import Libxl
from sim_backend.host.other_toolstacks import Xend
from sim_backend.host.qubes import Qubes
from sim_backend.host.xapi import Xapi
from sim_backend.hypervisor import Host
from sim_backend.published.in_process import SimulatedKeys, SimulatedRoot, Simulation
from sim_backend.stories import catalogue
from sim_backend.stories.acts import programs_use
from sim_backend.stories.scenario import Stage
from tests import captures

DRIVER: Final = "sys/devices/system/xen_memory/xen_memory0"
A_MINUTE_S: Final = 60.0
A_MOMENT_S: Final = 4.0
# The process that runs all the time in `stat` lines below; 1/100 s of CPU in the last two.
STAT: Final = "{0} ({1}) S 2 0 0 0 -1 0 0 0 0 0 {2} 0 0 0 20 0 1 0 231 0 0\n"


class Living(NamedTuple):
    """A simulated guest, its host, and the files that other programs in it would have."""

    stage: Stage
    files: dict[str, str]


class Guest(NamedTuple):
    """How one guest comes about and how the doctor looks at it; a living one can be acted on."""

    what: str
    examined: Callable[[Path], Diagnosis]
    living: Callable[[], Living] | None = None
    seconds: float = 4.0


def scenario(name: str, seconds: float = A_MOMENT_S) -> Guest:
    """A scenario at the moment it is told for."""
    return Guest(
        f"--sim {name} doctor --seconds {seconds:g}",
        lambda _: diagnosed(Simulation(name).domain, seconds, {}),
        lambda: Living(_shown(name), {}),
        seconds,
    )


def _shown(name: str) -> Stage:
    """The stage of a scenario at the moment it is told for."""
    story = catalogue.load(name)
    stage = story.build(0)
    stage.clock.run_until(stage.start_s + story.show_at_s)
    return stage


def simulated(
    what: str,
    config: GuestConfig | None = None,
    story: Callable[[Stage], None] = lambda _: None,
    *,
    toolstack: type[Libxl] = Libxl,
    seconds: float = A_MOMENT_S,
    files: Mapping[str, str] | None = None,
) -> Guest:
    """A simulated guest after a story of its own; `files` are there beside the kernel's."""

    def living() -> Living:
        manager = toolstack(Clock(), Host())
        stage = Stage(manager, manager.create(config or GuestConfig()))
        story(stage)
        return Living(stage, dict(files or {}))

    def examined(_: Path) -> Diagnosis:
        stage, more = living()
        return diagnosed(stage.domain, seconds, more)

    return Guest(what, examined, living, seconds)


def captured(name: str, /, **changes: str | None) -> Guest:
    """A capture; `changes` replace files (`__` stands for a slash), None takes one away."""
    return altered(name, {path.replace("__", "/"): text for path, text in changes.items()})


def altered(name: str, changes: Mapping[str, str | None]) -> Guest:
    """A capture with files replaced, added, or (None) taken away."""

    def examined(directory: Path) -> Diagnosis:
        capture = captures.load(name)
        files = {path: text for path, text in capture.files.items() if changes.get(path, text)}
        files |= {path: text for path, text in changes.items() if text is not None}
        path = capture._replace(files=files).write_to(directory)
        root = SystemRoot(str(path))
        keys = CapturedKeys(root)
        snapshot = gather(root, keys, Origin("capture", str(path)), sleep=None)
        return diagnose(examine(snapshot, root, keys, None))

    return Guest(f"{name} with {', '.join(changes) or 'nothing changed'}", examined)


class _WithFiles(SimulatedRoot):
    """Simulated files, and more."""

    def __init__(self, domain: SimulatedDomain, files: Mapping[str, str]) -> None:
        super().__init__(domain)
        self._more = files

    def read_bytes(self, relative: str, limit_bytes: int = SMALL_LIMIT_BYTES) -> Outcome[bytes]:
        if relative in self._more:
            return Outcome(self._more[relative].encode(), OK)
        return super().read_bytes(relative, limit_bytes)

    def names(self, relative: str) -> Outcome[tuple[str, ...]]:
        below = {
            path[len(relative) + 1 :].partition("/")[0]
            for path in self._more
            if path.startswith(f"{relative}/")
        }
        return Outcome(tuple(sorted({*(super().names(relative).value or ()), *below})), OK)


def diagnosed(domain: SimulatedDomain, seconds: float, files: Mapping[str, str]) -> Diagnosis:
    root = _WithFiles(domain, files)

    def wait(how_long_s: float) -> None:
        domain.advance_to(domain.now_s() + how_long_s)

    snapshot, watch = watched(domain.snapshot, root, wait, seconds)
    return diagnose(examine(snapshot, root, SimulatedKeys(domain), watch))


def running(*names: str, cpu_s: float = 0.5) -> dict[str, str]:
    """/proc of a guest in which these programs run; `cpu_s`: what each has used."""
    return {
        f"proc/{number}/stat": STAT.format(number, name, round(cpu_s * 100))
        for number, name in enumerate(names, 300)
    }


def _offset(kib: int) -> Callable[[Stage], None]:
    """squeezed has that for the guest's memory-offset; the recorded one of a growing PV guest."""
    return lambda stage: stage.domain.store.write("memory/memory-offset", str(kib))


def _log(name: str, *lines: str) -> str:
    """The log of a capture with more at its end."""
    return captures.load(name).files["kernel.log"] + "".join(f"{text}\n" for text in lines)


def _slowed(name: str) -> str:
    """The log of a capture whose balloon took until second 84 to shrink at boot."""
    log = captures.load(name).files["kernel.log"]
    line = re.compile(r"^\[[ 0-9.]+\](.*Initial ballooning down finished)", re.MULTILINE)
    assert line.search(log)
    return line.sub(r"[   84.000000]\1", log)


def _range(low_mib: int, high_mib: int) -> Callable[[Stage], None]:
    def story(stage: Stage) -> None:
        stage.domain.store.write("memory/dynamic-min", str(low_mib * MIB))
        stage.domain.store.write("memory/dynamic-max", str(high_mib * MIB))

    return story


def _range_with_agent(low_mib: int, high_mib: int) -> Callable[[Stage], None]:
    def story(stage: Stage) -> None:
        stage.domain.store.write("control/feature-balloon", "1")
        _range(low_mib, high_mib)(stage)

    return story


def _enrolled(*, stuck: bool) -> Callable[[Stage], None]:
    """A Qubes guest that reports its use; stuck where Xen's limit is lower than the target."""

    def story(stage: Stage) -> None:
        stage.domain.store.write("memory/meminfo", "150000")
        if stuck:
            stage.domain.reservation.max_pages = stage.domain.reservation.pages
            stage.domain.store.write("memory/target", str(768 * MIB))
            stage.domain.advance_to(stage.domain.now_s() + 60)

    return story


def _allowed_more(stage: Stage) -> None:
    stage.toolstack.mem_max(stage.domain, 1536 * MIB)
    stage.domain.settle()


def _needs_too_much(stage: Stage) -> None:
    stage.at(1.0, programs_use(415))


def _feature(stage: Stage) -> None:
    _range(256, 1024)(stage)
    stage.domain.store.write("control/feature-balloon", "1")


def _published(*, again: bool) -> Callable[[Stage], None]:
    """data/meminfo_total is written at the start, and perhaps again after the balloon moved."""

    def story(stage: Stage) -> None:
        domain = stage.domain
        domain.store.write("data/meminfo_total", str(domain.memory.managed_kib))
        stage.toolstack.mem_set(domain, 768 * MIB)
        domain.settle()
        if again:
            domain.store.write("data/meminfo_total", str(domain.memory.managed_kib))

    return story


def _moves_host(stage: Stage) -> None:
    stage.toolstack.migrate(stage.domain, Host())


def _crashes(stage: Stage) -> None:
    stage.domain.crash(128 * MIB)


def _starves(stage: Stage) -> None:
    """The use of memory grows until next to nothing is available, and the host does nothing."""
    for second in range(1, 60):
        stage.at(float(second), programs_use(min(40 + second * 6, 390)))


def _grows_past_4_gib(stage: Stage) -> None:
    stage.toolstack.mem_set(stage.domain, 5120 * MIB)
    stage.domain.settle()
    assert stage.domain.current_kib == 5120 * MIB


def _status_of(domid: int) -> dict[str, str]:
    return {"run/balloon-agent/status.json": f'{{"domain": {{"domid": {domid}}}}}'}


PLAIN: Final = scenario("balloon-up")
PV: Final = "pv-512-1024/boot"
PV_OLD: Final = "pv-512-1024-k510/boot"
RETRYING: Final = "pv-512-1024/guest-target_kb-655360"
CONFIG_6_12: Final = (
    "boot/config-"
    + captures.load("pv-512-1024-k612/boot").files["proc/sys/kernel/osrelease"].strip()
)
BUILT: Final = "CONFIG_64BIT=y\nCONFIG_XEN_BALLOON=y\nCONFIG_XEN_BALLOON_MEMORY_HOTPLUG={}\n"
NO_DRIVER: Final = DEBIAN_12._replace(balloon=False)
FULL_512: Final = GuestConfig("pv", 512 * MIB, 512 * MIB)
FULL: Final = GuestConfig(memory_kib=1024 * MIB, maxmem_kib=1024 * MIB)


def full_with(release: str) -> GuestConfig:
    """A PV guest with all of its memory and that kernel."""
    return GuestConfig("pv", 1024 * MIB, 1024 * MIB, image=image_of(release))


FULL_HVM: Final = "hvm-512-1024/memset-1024"
OF_4_4: Final = {"proc/sys/kernel/osrelease": "4.4.0-210-generic\n"}


def full_hvm_with(release: str, mib: int = 1024) -> GuestConfig:
    """An HVM guest with all of its memory and that kernel."""
    return GuestConfig("hvm", mib * MIB, mib * MIB, image=image_of(release))


def past_4_gib_with(release: str) -> GuestConfig:
    """A PV guest whose map ends below 4 GiB and whose maxmem does not."""
    image = image_of(release, auto_online="online")
    return GuestConfig("pv", 256 * MIB, 8192 * MIB, image=image)


CASES: Final[Mapping[str, tuple[Guest, Guest]]] = {
    "not-seen-moving": (
        altered(PV, {f"{DRIVER}/target_kb": "786432\n", "xenstore/memory/target": "786432"}),
        captured("hvm-512-1024/memset-384-still-moving"),
    ),
    "hvm-aims-beyond": (
        altered(FULL_HVM, OF_4_4 | {f"{DRIVER}/target_kb": "1048576\n"}),
        altered(FULL_HVM, OF_4_4),
    ),
    "hole-given-away": (
        simulated("HVM of 5 GiB, Linux 3.2", full_hvm_with("3.2.0", 5120)),
        simulated("HVM of 5 GiB, Linux 3.13", full_hvm_with("3.13.0", 5120)),
    ),
    "memory-short": (
        simulated("all its memory and not enough", FULL_512, _needs_too_much),
        simulated("all its memory and enough", FULL_512),
    ),
    "no-driver": (simulated("no driver", GuestConfig(image=NO_DRIVER)), PLAIN),
    "target-cancelled": (scenario("cancelled-driver"), PLAIN),
    "target-retrying": (scenario("down-below-working-set"), scenario("balloon-down")),
    "target-snapped": (scenario("maxmem-ignored"), scenario("maxmem-many-times-memory")),
    "target-overridden": (scenario("leak"), scenario("burst")),
    "phantom-credit": (
        simulated("PV, Linux 6.17", full_with("6.17.1")),
        simulated("PV, Linux 6.19", full_with("6.19.1")),
    ),
    "units-trap": (scenario("target-in-mib"), scenario("down-below-working-set")),
    "hotplug-offline": (scenario("hotplug-offline"), PLAIN),
    "dom0-grant-gap": (
        scenario("dom0-grants"),
        altered("dom0/memset-896", {f"{DRIVER}/target_kb": "919552\n"}),
    ),
    "target-beyond-static-max": (captured("pv-512-1024/xenstore-raw-beyond-maxmem"), captured(PV)),
    "host-limits-contradict": (
        simulated("XAPI, 800 to 600 MiB", story=_range_with_agent(800, 600), toolstack=Xapi),
        simulated("XAPI, 256 to 1024 MiB", story=_range(256, 1024), toolstack=Xapi),
    ),
    "host-target-garbage": (scenario("garbage-target"), PLAIN),
    "memory-offset-spoilt": (
        simulated("XAPI, announced early", story=_offset(-159744), toolstack=Xapi),
        simulated("XAPI, announced at rest", story=_offset(0), toolstack=Xapi),
    ),
    "marked-uncooperative": (
        scenario("xapi-uncooperative"),
        simulated("XAPI, settled", toolstack=Xapi),
    ),
    "static-max-moved": (
        simulated("PVH, xl mem-max", GuestConfig("pvh"), _allowed_more),
        scenario("qubes-static-max-moves"),
    ),
    "videoram-minus-one": (
        captured(PV, xenstore__memory__videoram="-1"),
        captured(PV, xenstore__memory__videoram="0"),
    ),
    "hvm-below-configured": (captured("hvm-512-1024/boot"), captured("pvh-512-1024/boot")),
    "pod-gap": (
        simulated("PVH, no driver", GuestConfig("pvh", image=NO_DRIVER)),
        simulated(
            "PVH, no driver, all memory", GuestConfig("pvh", 1024 * MIB, image=NO_DRIVER)
        ),
    ),
    "unexplained": (altered(PV, {f"{DRIVER}/info/low_kb": "524280\n"}), captured(PV)),
    "maxmem-unreachable": (scenario("maxmem-ignored"), PLAIN),
    "page-struct-overhead": (captured("pv-256-2816/boot"), captured(PV)),
    "pressure-after-deflate": (scenario("down-below-working-set"), scenario("balloon-down")),
    "map-odd": (scenario("overlapping-map"), scenario("pci-hole")),
    "iomem-hidden": (
        captured(PV, proc__iomem="00000000-00000000 : System RAM\n"),
        captured(PV),
    ),
    "kdump-kernel": (simulated("a crash kernel", story=_crashes), PLAIN),
    "boot-waits-for-balloon": (
        altered("pvh-512-1024/boot", {"kernel.log": _slowed("pvh-512-1024/boot")}),
        captured("pvh-512-1024/boot"),
    ),
    "hotplug-refused": (
        altered(
            RETRYING,
            {"kernel.log": _log(RETRYING, "xen:balloon: Cannot add additional memory (-17)")},
        ),
        captured(RETRYING),
    ),
    "p2m-bug": (
        scenario("past-4-gib"),
        simulated("xend, past 4 GiB with Linux 4.1", past_4_gib_with("4.1.13"), _grows_past_4_gib,
                  toolstack=Xend),
    ),
    "hotplug-will-stay-offline": (captured(PV_OLD), captured("pv-512-1024-k612/boot")),
    "hotplug-not-built": (
        altered("pv-512-1024-k612/boot", {CONFIG_6_12: BUILT.format("n")}),
        altered("pv-512-1024-k612/boot", {CONFIG_6_12: BUILT.format("y")}),
    ),
    "less-than-configured": (captured("pv-256-2816/boot"), captured(PV)),
    "rival-agents": (
        simulated("XAPI, two agents", toolstack=Xapi,
                  files=running("xe-daemon", "xen-guest-agent", "balloon-agent")),
        simulated("XAPI, one of them", toolstack=Xapi,
                  files=running("xe-daemon", "balloon-agent")),
    ),
    "enrolled-but-stuck": (
        simulated("Qubes, stuck", story=_enrolled(stuck=True), toolstack=Qubes),
        simulated("Qubes, in order", story=_enrolled(stuck=False), toolstack=Qubes),
    ),
    "feature-balloon-missing": (
        simulated("XAPI, no agent", story=_range(256, 1024), toolstack=Xapi),
        simulated("XAPI, with its agent", story=_feature, toolstack=Xapi),
    ),
    "feature-balloon-denied": (
        simulated("xl, XAPI's agent", files=running("xe-daemon")),
        simulated("XAPI, its agent", toolstack=Xapi, files=running("xe-daemon")),
    ),
    "stale-meminfo-total": (
        simulated("written once", story=_published(again=False)),
        simulated("written again", story=_published(again=True)),
    ),
    "migrated": (
        simulated("moved, the daemon asleep", story=_moves_host, files=_status_of(1)),
        simulated("where it was", files=_status_of(1)),
    ),
    "kthread-busy": (
        altered(PV, {"proc/uptime": "1000.00 1.00\n", **running("xen-balloon", cpu_s=90)}),
        altered(PV, {"proc/uptime": "1000.00 1.00\n", **running("xen-balloon", cpu_s=9)}),
    ),
    "memory-stalls": (scenario("leak", A_MINUTE_S), scenario("balloon-down", A_MINUTE_S)),
    "target-oscillation": (scenario("flapping-host", A_MINUTE_S), scenario("slow", A_MINUTE_S)),
    "dom0-autoballoon": (scenario("dom0", A_MINUTE_S), scenario("balloon-up", A_MINUTE_S)),
    "host-does-not-move": (
        simulated("Qubes, starving", story=_starves, toolstack=Qubes, seconds=A_MINUTE_S),
        simulated("xl, starving", story=_starves, seconds=A_MINUTE_S),
    ),
}  # fmt: skip
