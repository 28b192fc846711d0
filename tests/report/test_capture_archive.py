# SPDX-License-Identifier: GPL-2.0-or-later
"""A capture holds what the judgement needs, and nothing that tells whose guest it is."""

from __future__ import annotations

import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.capture import captured_files
from agent.core.facts.snapshot import Snapshot
from agent.report.capture_archive import archive
from agent.sources.system_root import SystemRoot
from agent.sources.xenstore.key_store import CapturedKeys
from tests import captures
from tests.support.captured import QUICK, gathered, load, snapshot_of
from tests.support.judged import assess

SECRETS = {
    "sys/hypervisor/uuid": "d4352faf-853e-4c60-b096-a16c102e04f0\n",
    "proc/sys/kernel/hostname": "secret-host\n",
    "proc/cmdline": "root=UUID=secret-disk ip=10.1.2.3 mem=512M console=hvc0 token=secret\n",
    "kernel.log": "[    0.000000] Kernel command line: token=secret\n"
    "[    1.000000] systemd[1]: Hostname set to <secret-host>\n"
    "[    2.593577] Memory: 201120K/1048188K available (1K kernel code, 607028K reserved)\n",
    "xenstore/name": "secret-name",
    "xenstore/vm": "/vm/d4352faf-853e-4c60-b096-a16c102e04f0",
    "xenstore/domid": "7",
    "xenstore/data/secret": "secret-value",
    "xenstore/memory/target": "524288",
    "xenstore/device/vif/0/mac": "00:16:3e:5e:c2:e7",
    "etc/machine-id": "5ec2e75ec2e75ec2e75ec2e75ec2e75e\n",
}


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=QUICK) as path:
        yield Path(path)


def captured(tree: Path) -> dict[str, str]:
    root = SystemRoot(str(tree))
    return captured_files(root, CapturedKeys(root))


def unpack(file: Path, where: Path) -> Path:
    with tarfile.open(file) as tar:
        # An attribute, since Python 3.11.2 knows no such argument yet.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(where)
    return where


def comparable(snapshot: Snapshot) -> Snapshot:
    return snapshot._replace(origin=snapshot.origin._replace(detail=""), sources={})


@pytest.mark.parametrize("name", ["pv-512-1024-k510/memset-768", "dom0/boot", "hvm-512-1024/boot"])
def test_a_capture_of_a_capture_reads_as_the_first_one(name: str, directory: Path) -> None:
    tree = load(name).write_to(directory / "guest")
    archive(captured(tree), str(directory / "guest.tar.gz"))
    again = unpack(directory / "guest.tar.gz", directory / "again")
    assert comparable(gathered(again)) == comparable(snapshot_of(name))
    assert assess(gathered(again))[1:] == assess(snapshot_of(name))[1:]


def test_nothing_in_it_tells_whose_guest_it_is(directory: Path) -> None:
    tree = load("pv-512-1024/boot").write_to(directory)
    for name, text in SECRETS.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    files = captured(tree)
    everything = " ".join([*files, *files.values()]).lower()
    for secret in ("secret", "d4352faf", "10.1.2.3", "00:16:3e", "5ec2e7", "hvc0"):
        assert secret not in everything
    assert files["proc/cmdline"] == "mem=512M\n"
    assert files["kernel.log"].startswith("[    2.593577] Memory: ")


def test_no_capture_of_the_project_tells_whose_guest_it_was() -> None:
    for name in captures.names():
        files = load(name).files
        assert not [path for path in files if path in ("xenstore/name", "xenstore/vm")]
        assert files.get("sys/hypervisor/uuid", "").strip("0-\n") == ""


def test_a_key_with_an_odd_name_is_left_out_and_an_odd_value_kept_for_the_report(
    directory: Path,
) -> None:
    tree = load("pv-512-1024/boot").write_to(directory)
    (tree / "xenstore/memory/x y").write_text("1")
    (tree / "xenstore/memory/target").write_text("\x1b[31mabc")
    files = captured(tree)
    assert "xenstore/memory/x y" not in files
    assert files["xenstore/memory/target"] == "\x1b[31mabc"


def test_nothing_outside_a_capture_gets_into_its_capture(directory: Path) -> None:
    tree = load("pv-512-1024/boot").write_to(directory / "guest")
    (directory / "outside").write_text("secret")
    for name in ("proc/meminfo", "xenstore/memory/target", "sys/firmware/memmap/0/type"):
        (tree / name).unlink()
        (tree / name).symlink_to(directory / "outside")
    assert "secret" not in captured(tree).values()


def test_an_archive_is_its_owners_and_appears_complete_or_not_at_all(directory: Path) -> None:
    file = directory / "guest.tar.gz"
    archive({"a/b": "text"}, str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(directory) == ["guest.tar.gz"]
    with pytest.raises(OSError, match="No such file"):
        archive({"a": "b"}, str(directory / "missing" / "guest.tar.gz"))


@pytest.mark.parametrize("planted", ["link", "open file", "fifo"])
def test_what_was_planted_for_the_unfinished_archive_is_not_opened(
    directory: Path, planted: str
) -> None:
    victim = directory / "victim"
    victim.write_text("untouched")
    part = directory / "guest.tar.gz.part"
    if planted == "link":
        part.symlink_to(victim)
    elif planted == "open file":
        part.touch(0o666)
    else:
        os.mkfifo(part)
    archive({"a": "b"}, str(directory / "guest.tar.gz"))
    assert victim.read_text() == "untouched"
    file = (directory / "guest.tar.gz").lstat()
    assert stat.S_ISREG(file.st_mode)
    assert stat.S_IMODE(file.st_mode) == 0o600
    assert part.is_fifo() or part.read_text() in ("", "untouched")


def test_a_name_that_is_guessed_is_still_not_opened(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    (directory / f"guest.tar.gz.{'00' * 8}.part").touch(0o666)
    with pytest.raises(FileExistsError):
        archive({"a": "b"}, str(directory / "guest.tar.gz"))


def test_an_interrupt_leaves_nothing_behind(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        archive({"a": "b"}, str(directory / "guest.tar.gz"))
    assert os.listdir(directory) == []
