# SPDX-License-Identifier: GPL-2.0-or-later
"""Every way to end is an exit status of the contract and at most one sentence."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.cli.application import COMMANDS
from agent.cli.main import main
from agent.words import DOMAIN_OPTIONS, take_apart
from tests.support.captured import QUICK, load


class Ended(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


class Commands:
    """Runs commands in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: object) -> Ended:
        status = main([str(word) for word in words])
        return Ended(status, *self._capsys.readouterr())


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


@pytest.fixture
def quick_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=QUICK) as directory:
        yield Path(directory)


@pytest.fixture
def guest(quick_path: Path) -> Path:
    """A capture of a settled PV guest."""
    return load("pv-512-1024/boot").write_to(quick_path / "guest")


def laid_out(name: str, where: Path) -> Path:
    return load(name).write_to(where)


@pytest.mark.parametrize(
    ("capture", "status"),
    [
        ("pv-512-1024/boot", 0),
        ("pv-512-1024-k510/memset-768", 1),
        ("pvh-512-1024/xenstore-raw-beyond-maxmem", 1),
    ],
)
def test_the_status_is_the_verdict(
    run: Commands, quick_path: Path, capture: str, status: int
) -> None:
    tree = laid_out(capture, quick_path)
    for words in (("status",), ("status", "--json")):
        ended = run("--root", tree, *words)
        assert (ended.status, ended.err) == (status, "")
        assert ended.out


def test_a_guest_that_is_starved_is_critical(run: Commands, guest: Path) -> None:
    (guest / "proc/meminfo").write_text(
        "MemTotal: 456048 kB\nMemFree: 4096 kB\nMemAvailable: 4096 kB\n"
    )
    (guest / "proc/pressure").mkdir(exist_ok=True)
    stalled = "avg10=50.00 avg60=0.00 avg300=0.00 total=0"
    (guest / "proc/pressure/memory").write_text(f"some {stalled}\nfull {stalled}\n")
    assert run("--root", guest, "status").status == 2


def test_a_guest_whose_balloon_cannot_be_judged_is_unknown(run: Commands, guest: Path) -> None:
    (guest / "sys/devices/system/xen_memory/xen_memory0/target_kb").unlink()
    for command in ("status", "doctor"):
        assert run("--root", guest, command).status == 4
    assert run("--root", guest, "check").status == 3


def test_without_a_map_the_balloon_is_judged_and_the_map_is_not(run: Commands, guest: Path) -> None:
    shutil.rmtree(guest / "sys/firmware")
    (guest / "proc/iomem").unlink()
    assert run("--root", guest, "status").status == 0
    shown = run("--root", guest, "memmap")
    assert shown.status == 4
    assert "/sys/firmware/memmap is absent" in shown.out


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["statsu"], 64, "There is no command 'statsu'. Did you mean 'status'?"),
        (["frobnicate"], 64, "There is no command 'frobnicate'. See balloon-agent --help."),
        (["status", "--jsno"], 64, "No such option"),
        (["status", "extra"], 64, "Got unexpected extra argument"),
        (["status", "--interval", "0"], 64, "0.0 is not in the range"),
        (["status", "--interval", "soon"], 64, "'soon' is not a valid float"),
        (["--root"], 64, "requires an argument"),
        (["--root", "/nonexistent", "status"], 64, "'/nonexistent' does not exist"),
        (["--root", "/etc/passwd", "status"], 64, "'/etc/passwd' is a file"),
        (["--root", "/tmp", "--sim", "x", "status"], 64, "--root and --sim exclude each other"),
        (["--xenstore", "/run/x", "status"], 64, "--xenstore goes with --root"),
        (["--sim", "no-such-thing", "status"], 64, "There is no scenario 'no-such-thing'"),
        (["--root", "{empty}", "status"], 69, "is not a capture of a Xen domain"),
        (["--root", "{empty}", "memmap"], 69, "is not a capture of a Xen domain"),
        (["--root", "{empty}", "capture", "{empty}/x.tar.gz"], 69, "is not a capture of a Xen"),
        (["capture"], 64, "Missing argument 'FILE.tar.gz'"),
    ],
)
def test_an_error_is_one_sentence_and_its_status(
    run: Commands, tmp_path: Path, words: list[str], status: int, sentence: str
) -> None:
    ended = run(*(word.replace("{empty}", str(tmp_path)) for word in words))
    assert ended.status == status
    assert ended.out == ""
    assert ended.err.startswith("balloon-agent: ")
    assert ended.err.count("\n") == 1
    assert sentence in ended.err


def test_a_machine_that_is_no_xen_domain_is_told_of_the_simulation(
    run: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The live root, with nothing of Xen in it."""
    from agent.sources.system_root import SystemRoot  # noqa: PLC0415 - patched for this test

    monkeypatch.setattr(SystemRoot, "absolute", lambda _, relative: str(tmp_path / relative))
    ended = run("status")
    assert (ended.status, ended.out) == (69, "")
    assert ended.err == (
        "balloon-agent: This is not a Xen domain. "
        "Try a simulated one: balloon-agent --sim balloon-up status\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [("sys_vendor", "Xen"), ("product_name", "HVM domU"), ("bios_vendor", "Xen")],
)
def test_a_kernel_that_does_not_speak_with_xen_is_told_so_on_xens_hardware(
    run: Commands, tmp_path: Path, name: str, text: str
) -> None:
    directory = tmp_path / "sys/class/dmi/id"
    directory.mkdir(parents=True)
    (directory / name).write_text(f"{text}\n")
    ended = run("--root", tmp_path, "status")
    assert (ended.status, ended.out) == (69, "")
    assert "is a Xen HVM domain" in ended.err
    assert "CONFIG_XEN_BALLOON=y" in ended.err
    checked = run("--root", tmp_path, "check")
    assert checked.status == 3
    assert "is a Xen HVM domain" in checked.out
    (directory / name).write_text("QEMU\n")
    assert "is not a capture of a Xen domain" in run("--root", tmp_path, "status").err


def test_an_internal_error_is_one_sentence_that_says_how_to_report_it(
    run: Commands, guest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("agent.core.findings.diagnosis.diagnose", fail)
    ended = run("--root", guest, "status")
    assert ended.status == 70
    assert ended.err.count("\n") == 1
    assert "internal error: RuntimeError: a bug. Please report it" in ended.err
    monkeypatch.setenv("BALLOON_AGENT_DEBUG", "1")
    with pytest.raises(RuntimeError, match="a bug"):
        run("--root", guest, "status")


def test_without_a_command_there_is_help_with_the_commands_and_the_statuses(run: Commands) -> None:
    ended = run()
    assert ended.status == 0
    for word in (*COMMANDS, "Exit status", "69 not a Xen domain", "--sim balloon-up status"):
        assert word in ended.out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example(run: Commands, command: str) -> None:
    ended = run(command, "--help")
    assert ended.status == 0
    assert "Example" in ended.out
    assert f"balloon-agent {command}" in ended.out.replace("--sim balloon-up ", "")
    assert run(command, "-h").out == ended.out


def test_the_version_is_told(run: Commands) -> None:
    ended = run("--version")
    assert ended.status == 0
    assert ended.out.startswith("balloon-agent, version ")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["status", "--root", "d"], ["--root=d", "status"]),
        (["status", "--json", "--root=d"], ["--root=d", "status", "--json"]),
        (["status", "--sim", "x", "--json"], ["--sim=x", "status", "--json"]),
        (["capture", "--", "--root"], ["capture", "--", "--root"]),
        (["status", "--root"], ["--root"]),
        (["status", "--roots", "d"], ["status", "--roots", "d"]),
    ],
)
def test_the_options_that_choose_a_domain_may_follow_the_command(
    written: list[str], read: list[str]
) -> None:
    assert take_apart(written, DOMAIN_OPTIONS).for_click() == read


def test_options_after_the_command_are_the_same_command(run: Commands, guest: Path) -> None:
    assert run("status", "--json", "--root", guest) == run("--root", guest, "status", "--json")


def test_status_as_json_is_one_object(run: Commands, guest: Path) -> None:
    ended = run("--root", guest, "status", "--json")
    found = json.loads(ended.out)
    assert found["reconciliation"]["unexplained_kib"] == 0
    assert found["source"] == {"kind": "capture", "detail": str(guest)}


def test_a_simulation_says_that_it_is_one_on_every_screen_and_in_every_object(
    run: Commands,
) -> None:
    for command in ("status", "memmap"):
        assert "SIMULATED DOMAIN" in run("--sim", "balloon-up", command).out
        found = json.loads(run("--sim", "balloon-up", command, "--json").out)
        assert found["source"]["kind"] == "simulation"


def test_ascii_is_ascii(run: Commands, guest: Path) -> None:
    for command in ("status", "memmap"):
        shown = run("--root", guest, command, "--ascii").out
        assert shown.isascii()
        assert "\\u" not in shown


def test_a_capture_is_written_once_and_read_back(run: Commands, guest: Path) -> None:
    file = guest.parent / "guest.tar.gz"
    first = run("--root", guest, "capture", file)
    assert (first.status, first.err) == (0, "")
    assert first.out.startswith("Wrote ")
    again = run("--root", guest, "capture", file)
    assert (again.status, again.out) == (73, "")
    assert again.err == f"balloon-agent: {file} exists; add --force to overwrite it.\n"
    assert run("--root", guest, "capture", file, "--force").status == 0
    with tarfile.open(file) as tar:
        # An attribute, since Python 3.11.2 knows no such argument yet.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(guest.parent / "again")
    shown = run("--root", guest.parent / "again", "status")
    assert shown.status == 0
    assert shown.out.splitlines()[2:] == run("--root", guest, "status").out.splitlines()[2:]


def test_a_capture_that_cannot_be_written_is_said(run: Commands, guest: Path) -> None:
    ended = run("--root", guest, "capture", guest.parent / "no" / "where.tar.gz")
    assert (ended.status, ended.err.count("\n")) == (73, 1)
    assert "could not be written: No such file or directory." in ended.err


def test_escapes_in_xenstore_are_spelled_out(run: Commands, guest: Path) -> None:
    (guest / "xenstore/name").write_text("web\x1b]0;gotcha\x07")
    (guest / "xenstore/memory/target").write_text("\x1b[2Jabc")
    for words in (("status",), ("status", "--json"), ("memmap",), ("doctor",)):
        ended = run("--root", guest, *words)
        assert "\x1b" not in ended.out + ended.err
        assert "\x07" not in ended.out + ended.err
    assert r"\x1b]0;gotcha\x07" in run("--root", guest, "status").out


def test_a_fifo_in_place_of_a_file_hangs_no_command(run: Commands, guest: Path) -> None:
    for name in ("proc/meminfo", "proc/iomem", "xenstore/memory/target", "kernel.log"):
        (guest / name).unlink()
        os.mkfifo(guest / name)
    for command in ("status", "memmap"):
        assert run("--root", guest, command).status in (0, 1, 4)
    assert run("--root", guest, "capture", guest.parent / "x.tar.gz").status == 0
