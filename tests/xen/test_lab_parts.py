# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's pure parts, tested without Xen."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.xenlab import paths, scenarios
from tests.xenlab.build import cpio, requirements
from tests.xenlab.build.artifact import Artifact
from tests.xenlab.build.builder import Artifacts
from tests.xenlab.build.modules import ModuleTree
from tests.xenlab.build.recipe import KERNELS
from tests.xenlab.dom0.judge import View, complaints
from tests.xenlab.errors import LabError
from tests.xenlab.guest import channel, frames, install
from tests.xenlab.guest.frames import ANSWER, REQUEST
from tests.xenlab.hosts import HOSTS, MAIN, RELEASES
from tests.xenlab.machine import Machine, disks
from tests.xenlab.page import NOT_RUN, page
from tests.xenlab.results import FILE, Results, merged
from tests.xenlab.runner import FORGOTTEN_AFTER_S, outdated
from tests.xenlab.share import EVENTS


def assemble(lines: list[bytes]) -> bytes | None:
    assembler = frames.Assembler()
    content = None
    for line in lines:
        frame = frames.parse(ANSWER, line.rstrip(b"\n"))
        content = (assembler.add(frame) if frame else None) or content
    return content


def random_bytes(count: int) -> bytes:
    state, found = 1, bytearray()
    for _ in range(count):
        state = state * 48271 % 0x7FFFFFFF
        found.append(state & 0xFF)
    return bytes(found)


def test_a_message_survives_the_console_in_any_order() -> None:
    content = random_bytes(5000)
    lines = list(frames.split(ANSWER, 7, content))
    assert len(lines) > 3
    assert assemble(lines[::-1]) == content


def test_kernel_messages_before_a_frame_do_not_matter() -> None:
    (line,) = frames.split(ANSWER, 1, b"hello")
    assert assemble([b"[   12.345678] xen:balloon: something" + line]) == b"hello"


def test_a_frame_that_a_kernel_message_broke_is_no_frame() -> None:
    (line,) = frames.split(ANSWER, 1, b"hello")
    for broken in (line[:-6], line[:15] + b"[ 1.0] oom" + line[15:], line.replace(b" 1 ", b" 2 ")):
        assert frames.parse(ANSWER, broken.rstrip(b"\n")) is None or broken.startswith(b">>1 0 2")
    assert assemble([line[:15] + b"[ 1.0] oom" + line[15:]]) is None


def test_a_request_that_the_console_echoes_is_no_answer() -> None:
    (line,) = frames.split(REQUEST, 1, b"echoed")
    assert frames.parse(ANSWER, line.rstrip(b"\n")) is None


def test_the_channel_tells_status_output_and_errors_apart() -> None:
    answer = channel.run(["sh", "-c", "echo out; echo err >&2; exit 3"], None, 10)
    header, _, rest = answer.partition(b"\n")
    assert json.loads(header) == {"status": 3, "out": 4, "err": 4}
    assert rest == b"out\nerr\n"


def test_the_channel_reports_a_program_that_is_not_there() -> None:
    header, _, _ = channel.run(["/nonexistent/program"], None, 10).partition(b"\n")
    assert json.loads(header)["status"] == 127


def test_an_initramfs_is_readable_by_cpio(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/script").write_text("#!/bin/sh\n")
    (tmp_path / "tree/script").chmod(0o755)
    archive = cpio.archive([*cpio.tree(tmp_path / "tree", "top"), cpio.file("odd", b"12345")])
    program = shutil.which("cpio")  # passes over folders of PATH that cannot be read
    if program is None:
        pytest.skip("cpio is not there: apt-get install cpio")
    listed = subprocess.run([program, "-it"], input=archive, capture_output=True, check=True)
    assert listed.stdout.decode().split() == ["top", "top/script", "odd"]
    assert len(archive) % 4 == 0
    assert b"%08x" % (stat.S_IFREG | 0o755) in archive


def module(path: Path, info: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x7fELF...\0license=GPL\0" + info + b"\0name=x\0")


def test_a_guest_runs_the_byte_code_that_dom0_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever times its files get there, and without compiling anything itself."""
    wheel, compiled, there = (tmp_path / name for name in ("agent.whl", "compiled.whl", "there"))
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("agent/__init__.py", "")
        archive.writestr("agent/main.py", "def main():\n    print(__cached__)\n")
        archive.writestr(
            "a.dist-info/entry_points.txt", "[console_scripts]\nballoon-agent=agent.main:main\n"
        )
    for name, place in (("FOLDER", there), ("LAUNCHER", tmp_path / "run"), ("UNITS", tmp_path),
                        ("CONFIGURATION", tmp_path)):  # fmt: skip
        monkeypatch.setattr(install, name, place)
    (tmp_path / "agent-systemd").mkdir()
    install.write_compiled(wheel, compiled)
    compiled.replace(wheel)
    monkeypatch.setattr("compileall.compile_dir", pytest.fail)
    install.install(tmp_path)
    command = [sys.executable, "-v", str(tmp_path / "run")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    (byte_code,) = (there / "agent/__pycache__").glob("main.*.pyc")
    assert ran.stdout.strip() == str(byte_code)
    assert f"code object from '{byte_code}'" in ran.stderr


def test_modules_are_loaded_after_what_they_need(tmp_path: Path) -> None:
    module(tmp_path / "fs/ext4.ko", b"depends=jbd2,mbcache\0softdep=pre: crc32c")
    module(tmp_path / "fs/jbd2.ko", b"depends=")
    module(tmp_path / "fs/mbcache.ko", b"depends=")
    module(tmp_path / "xen/xen-blkfront.ko", b"depends=virtio-thing")
    (tmp_path / "modules.builtin").write_text("kernel/drivers/virtio-thing.ko\n")
    order = ModuleTree(tmp_path).load_order(["xen_blkfront", "ext4"])
    assert order == ["xen_blkfront", "jbd2", "mbcache", "ext4"]


def test_a_module_that_a_kernel_lacks_is_named(tmp_path: Path) -> None:
    (tmp_path / "modules.builtin").write_text("")
    with pytest.raises(LabError, match="no module overlay"):
        ModuleTree(tmp_path).load_order(["overlay"])


def test_an_artifact_is_made_once_and_again_when_an_input_changes(tmp_path: Path) -> None:
    made: list[str] = []

    def artifact(version: str) -> Artifact:
        return Artifact(
            "thing",
            tmp_path,
            packages=[f"p={version}"],
            sources=["build/recipe.py"],
            make=lambda folder: made.append(folder.name),
        )

    assert not artifact("1").is_made()
    artifact("1").make()
    assert artifact("1").is_made()
    assert not artifact("2").is_made()
    artifact("2").make()
    assert not artifact("1").folder.exists()


TRUTH: dict[str, Any] = {
    "kernel": "6.1.0-56-amd64",
    "ram_kib": 1048192,
    "current_kib": 524288,
    "target_kib": 524288,
    "ballooned_kib": 524288,
    "mem_total_kib": 456048,
}


def status(**changes: object) -> dict[str, Any]:
    found: dict[str, Any] = {
        "source": {"kind": "live"},
        "domain": {"type": "pv", "kernel": TRUTH["kernel"]},
        "e820": {"ram_kib": 1048192},
        "balloon": {"current_kib": 524288, "target_kib": 524288, "ballooned_kib": 524288},
        "host": {"target_kib": 524288, "static_max_kib": 1048576},
        "memory": {"total_kib": 456048},
        "reconciliation": {"unexplained_kib": 0, "terms": []},
    }
    for path, value in changes.items():
        section, _, key = path.partition("__")
        found[section][key] = value
    return found


def view(said: dict[str, Any], **changes: Any) -> View:
    seen = View("pv", said, TRUTH, 512, "524288", "1048576", 0, xenstore_readable=True)
    return seen._replace(**changes)


def test_an_agent_that_tells_the_truth_is_not_complained_about() -> None:
    assert complaints(view(status())) == []


@pytest.mark.parametrize(
    "lie",
    [
        {"balloon__current_kib": 524284},
        {"host__target_kib": None},
        {"reconciliation__unexplained_kib": 4},
        {"memory__total_kib": 456048.0},
        {"source__kind": "capture"},
    ],
)
def test_an_agent_that_is_off_by_a_page_is_complained_about(lie: dict[str, object]) -> None:
    assert complaints(view(status(**lie)))


def test_a_target_that_is_no_number_must_be_null() -> None:
    said = status(host__target_kib=None)
    assert complaints(view(said, xenstore_target="abc")) == []
    assert complaints(view(said, xenstore_target=None)) == []


def test_an_ordinary_user_must_not_pretend_to_know_xenstore() -> None:
    said = status(host__target_kib=None, host__static_max_kib=None)
    assert complaints(view(said, xenstore_readable=False)) == []
    assert complaints(view(status(), xenstore_readable=False))


def test_scenarios_and_their_cases_have_names_of_their_own() -> None:
    for scenario in scenarios.ALL.values():
        names = [case.name for case in scenario.cases]
        assert len(set(names)) == len(names), scenario.name
    assert sum(len(module.SCENARIOS) for module in scenarios.MODULES) == len(scenarios.ALL)


def test_a_case_that_was_never_played_has_not_passed(tmp_path: Path) -> None:
    scenario = scenarios.ALL["dom0"]
    results = Results([scenario], {"bookworm": "6.1.0"})
    results.take(case("dom0", "boot", "passed"))
    assert results.counts() == (1, len(scenario.cases))
    report = json.loads(results.write(tmp_path, about={"agent": "w.whl"}).read_text())
    rows = page(merged([report]), [scenario]).splitlines()
    assert sum(row.endswith("| passed |") for row in rows) == 1
    assert sum(row.endswith(f"| {NOT_RUN} |") for row in rows) == len(scenario.cases) - 1


def test_old_runs_are_removed_but_never_one_that_is_being_played(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"2026-{number}").mkdir()
        if number != 1:
            (tmp_path / f"2026-{number}" / FILE).touch()
    now = (tmp_path / "2026-1").stat().st_mtime
    assert [run.name for run in outdated(tmp_path, now)] == ["2026-0", "2026-2", "2026-3"]
    later = now + FORGOTTEN_AFTER_S + 1
    assert "2026-1" in [run.name for run in outdated(tmp_path, later)]


def test_of_several_runs_each_scenario_shows_the_last_that_played_it(tmp_path: Path) -> None:
    played = [scenarios.ALL["dom0"], scenarios.ALL["pv"]]
    reports = []
    for number, (name, outcome) in enumerate(
        [("dom0", "failed"), ("pv", "passed"), ("dom0", "passed")]
    ):
        results = Results(played, {"bookworm": "6.1.0"})
        results.take(case(name, "boot", outcome))
        report = json.loads(results.write(tmp_path, about={"commit": f"c{number}"}).read_text())
        reports.append(report | {"started": number})
    found = merged([merged(reports[:2]), reports[2]])
    assert [run["commit"] for run in found["runs"]] == ["c0", "c1", "c2"]
    rows = page(found, played).splitlines()
    assert "| passed | 2 of 19 cases |" in rows
    assert not any(row.endswith("| failed |") for row in rows)


def test_a_case_that_failed_once_does_not_pass_when_played_again() -> None:
    results = Results([scenarios.ALL["dom0"]], {})
    for outcome in ("failed", "passed"):
        results.take(case("dom0", "boot", outcome))
    assert results.counts()[0] == 0


def test_the_page_on_xen_shows_every_case_as_the_last_run_left_it() -> None:
    report = json.loads(paths.LAST_RUN.read_text())
    assert paths.PAGE.read_text() == page(report, scenarios.ALL.values()), (
        "docs/tested-on-xen.md is stale: run `python3 -m tests.xenlab publish`"
    )


def test_a_case_that_came_after_the_last_run_is_not_run() -> None:
    report = json.loads(paths.LAST_RUN.read_text())
    known = scenarios.ALL["dom0"]
    newer = known._replace(cases=(*known.cases, known.cases[0]._replace(name="newer")))
    rows = page(report, [newer]).splitlines()
    assert next(row for row in rows if row.startswith("| newer |")).endswith(f"| {NOT_RUN} |")


def case(scenario: str, name: str, outcome: str) -> dict[str, Any]:
    event = {"event": "case", "scenario": scenario, "case": name, "seconds": 1.0, "detail": None}
    return event | {"outcome": outcome}


def test_scenarios_are_played_on_hosts_that_exist() -> None:
    for scenario in scenarios.ALL.values():
        assert scenario.host in HOSTS, scenario.name
        assert scenario.guest.user_space in {None, *KERNELS}, scenario.name


def test_what_has_another_user_space_gets_the_agent_as_a_package() -> None:
    for scenario in scenarios.ALL.values():
        assert scenario.guest.debs or not scenario.guest.user_space, scenario.name


def test_every_change_meets_each_released_xen_and_the_main_one_most_of_all() -> None:
    quick = [HOSTS[one.host].release.name for one in scenarios.ALL.values() if one.quick]
    assert set(quick) == set(RELEASES) - {"sid"}
    assert quick.count(RELEASES[MAIN].name) > len(quick) / 2


def test_a_host_names_what_is_played_on_it() -> None:
    chosen = scenarios.select(["4.14", "pv"])
    assert {one.host for one in chosen} == {"4.14", "4.17"}
    assert [one.name for one in chosen if one.host == "4.17"] == ["pv"]


def test_each_release_plays_the_main_line() -> None:
    for release in RELEASES.values():
        cases = {
            (scenario.guest.kind, case.name)
            for scenario in scenarios.ALL.values()
            if HOSTS[scenario.host].release == release
            for case in scenario.cases
        }
        main_line = ("mem-set 768", "mem-set 384", "mem-max 1536", "saved and restored")
        more = ("the unit is started", "xenstore_contract")
        missing = {("pv", name) for name in (*main_line, *more)} - cases
        assert not missing, release.name


def artifacts(host: str) -> Artifacts:
    release = HOSTS[host].release
    return Artifacts(
        hypervisors={release.name: Path("/a/hypervisor")},
        roots={release.name: Path("/a/root")},
        kernels={release.suite: Path("/a/kernel"), "bullseye": Path("/a/older")},
        user_spaces={"bullseye": Path("/a/space")},
        testing={},
    )


def command(tmp_path: Path, host: str) -> list[str]:
    made = artifacts(host)
    assert disks(made).user_spaces == {"bullseye": f"/dev/vd{'bcd'[len(made.kernels)]}"}
    return Machine(made, HOSTS[host], tmp_path).command("file:log")


def test_only_a_pvh_dom0_needs_another_board(tmp_path: Path) -> None:
    ordinary, pvh = command(tmp_path, "4.20"), command(tmp_path, "4.20-pvh")
    assert "q35" not in ordinary
    assert "q35" in pvh
    assert "dom0=pvh" in pvh[pvh.index("-append") + 1].split()
    devices = [word for word in pvh if word.startswith("virtio-")]
    assert len(devices) == 5
    assert all(word.endswith("iommu_platform=on") for word in devices)


def test_dom0_is_told_which_xenstored_to_start(tmp_path: Path) -> None:
    for host, word in (("4.17", "ocaml"), ("4.17-c", "c")):
        words = command(tmp_path, host)
        assert f"lab.xenstored={word}" in words[words.index("-initrd") + 1].split()


def test_patience_is_a_factor_within_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(requirements.PATIENCE_VARIABLE, raising=False)
    assert requirements.patience() == 1
    monkeypatch.setenv(requirements.PATIENCE_VARIABLE, "2.5")
    assert requirements.patience() == 2.5
    for word in ("0.5", "soon", "1000", "nan"):
        monkeypatch.setenv(requirements.PATIENCE_VARIABLE, word)
        with pytest.raises(LabError, match="PATIENCE"):
            requirements.patience()


def test_the_page_shows_guests_and_kernels_by_host() -> None:
    chosen = [scenarios.ALL["pv"], scenarios.ALL["pv-xen420"], scenarios.ALL["dom0"]]
    report = {"started": 0, "seconds": 1.0, "xen": "4.17.7", "kernels": {}, "scenarios": []}
    rows = page(merged([report]), chosen).splitlines()
    assert "| guest | Linux | Xen 4.17 | Xen 4.20 |" in rows
    assert f"| PV | 6.1 | {NOT_RUN} | {NOT_RUN} |" in rows
    assert f"| dom0 as PV | 6.1 | {NOT_RUN} |  |" in rows


class StillMachine(Machine):
    """One whose emulator starts, and then does nothing any more."""

    def command(self, serial: str, extra_dom0_words: tuple[str, ...] = ()) -> list[str]:
        return ["sleep", "60"]


def test_an_emulator_that_stands_still_is_given_up_long_before_its_silence_would_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.xenlab.machine.STILL_AT_MOST_S", 0.3)
    monkeypatch.setattr("tests.xenlab.machine.STOP_WITHIN_S", 0)
    still = StillMachine(artifacts(MAIN), HOSTS[MAIN], tmp_path)
    (still.share / EVENTS).parent.mkdir(parents=True)
    (still.share / EVENTS).touch()
    with still:
        assert still.poll() == []
        time.sleep(0.5)
        with pytest.raises(LabError, match="stood still"):
            still.poll()
