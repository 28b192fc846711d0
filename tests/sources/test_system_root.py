# SPDX-License-Identifier: GPL-2.0-or-later
"""The only opener of files is bounded, never blocks, and never leaves its root."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from agent.sources.outcome import ABSENT, DENIED, OK, Outcome
from agent.sources.system_root import SystemRoot, status_of_error
from tests.support.unprivileged import as_nobody


def root_with(tmp_path: Path, content: bytes = b"5\n") -> SystemRoot:
    inside = tmp_path / "root"
    inside.mkdir()
    (inside / "file").write_bytes(content)
    (inside / "directory").mkdir()
    return SystemRoot(str(inside))


def test_this_machine_is_known_by_any_name(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/")
    for name in ("/", "//", "/tmp/..", str(link)):
        assert SystemRoot(name).is_live
    for name in (str(tmp_path), str(tmp_path / "nothing"), "/proc"):
        assert not SystemRoot(name).is_live


def test_what_only_says_that_it_leads_to_the_root_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As /proc/PID/root of a container does."""
    monkeypatch.setattr(os.path, "realpath", lambda _: "/")
    assert not SystemRoot("/proc").is_live


def test_a_file_is_read_as_text(tmp_path: Path) -> None:
    assert root_with(tmp_path).read("file") == Outcome("5\n", OK)


def test_an_empty_file_is_an_empty_text(tmp_path: Path) -> None:
    assert root_with(tmp_path, b"").read("file") == Outcome("", OK)


def test_bytes_that_are_no_utf_8_are_escaped(tmp_path: Path) -> None:
    assert root_with(tmp_path, b"\xff5").read("file").value == "\\xff5"


def test_a_line_is_cut_and_of_printable_letters_or_malformed(tmp_path: Path) -> None:
    assert root_with(tmp_path, b" 6.1.0-56\n").read_line("file", 5) == Outcome("6.1.0", OK)
    (tmp_path / "root" / "file").write_bytes(b"6.1\x1b]0;gotcha\x07\n")
    line = SystemRoot(str(tmp_path / "root")).read_line("file", 64)
    assert line.value is None
    assert line.status.startswith("malformed: ")
    assert line.status.isprintable()


@pytest.mark.parametrize(
    "missing", ["nothing", "directory/nothing", "file/below", "nothing/at/all"]
)
def test_what_is_not_there_is_absent(tmp_path: Path, missing: str) -> None:
    root = root_with(tmp_path)
    assert root.read(missing) == Outcome(None, ABSENT)
    assert root.names(missing) == Outcome(None, ABSENT)


def test_a_path_with_a_nul_is_malformed_and_no_error(tmp_path: Path) -> None:
    assert root_with(tmp_path).read("a\0b").status.startswith("malformed: ")


def test_a_directory_is_no_file_and_a_file_no_directory(tmp_path: Path) -> None:
    root = root_with(tmp_path)
    assert root.read("directory").status == "malformed: Is a directory"
    assert root.names("file").status == ABSENT


def test_more_than_the_limit_is_malformed_and_not_cut(tmp_path: Path) -> None:
    root = root_with(tmp_path, b"7" * 4097)
    assert root.read("file").status == "malformed: longer than 4096 bytes"
    assert root.read("file", 4097).value == "7" * 4097


def test_an_endless_file_is_read_to_the_limit_only() -> None:
    assert SystemRoot("/").read("dev/zero").status == "malformed: longer than 4096 bytes"


def test_a_fifo_planted_in_a_capture_is_no_file_and_hangs_nobody(tmp_path: Path) -> None:
    root = root_with(tmp_path)
    os.mkfifo(root.absolute("fifo"))
    assert root.read("fifo").status == "malformed: not a file"
    with pytest.raises(OSError, match="not a file"):
        root.write("fifo", "5")


def test_what_a_link_leads_to_outside_is_not_even_opened(tmp_path: Path) -> None:
    """A writer at a FIFO would meet a reader that goes away at once, and die of it."""
    root = root_with(tmp_path)
    os.mkfifo(tmp_path / "outside")
    os.symlink("../outside", root.absolute("link"))
    for attempt in range(3):
        assert root.read("link").status == "malformed: leads out of the capture"
        assert root.names("link").status == "malformed: leads out of the capture"
        with pytest.raises(OSError, match=r".") as refused:
            os.open(tmp_path / "outside", os.O_WRONLY | os.O_NONBLOCK)
        assert refused.value.errno == errno.ENXIO, attempt  # no reader was there


def test_a_device_in_a_capture_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = root_with(tmp_path)
    os.symlink("/dev/null", root.absolute("watchdog"))
    opened = []
    real_open = os.open

    def noted(path: str, flags: int, mode: int = 0o777) -> int:
        if not flags & os.O_PATH:
            opened.append(path)
        return real_open(path, flags, mode)

    monkeypatch.setattr(os, "open", noted)
    assert root.read("watchdog").value is None
    with pytest.raises(OSError, match=r"."):
        root.write("watchdog", "V")
    assert not opened


@pytest.mark.parametrize("target", ["/etc/hostname", "../outside", "/", "/dev/zero"])
def test_a_symlink_never_leads_out_of_the_capture(tmp_path: Path, target: str) -> None:
    root = root_with(tmp_path)
    (tmp_path / "outside").write_text("secret")
    os.symlink(target, root.absolute("link"))
    read, listed = root.read("link"), root.names("link")
    assert read.value is None
    assert listed.value is None
    assert "secret" not in read.status


def test_a_directory_that_is_a_symlink_out_hides_what_is_below_it(tmp_path: Path) -> None:
    root = root_with(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("secret")
    os.symlink(tmp_path / "elsewhere", root.absolute("sys"))
    assert root.read("sys/file").status == "malformed: leads out of the capture"
    assert root.read("../root/file").value == "5\n"
    assert root.read("../elsewhere/file").value is None


def test_a_neighbour_whose_name_begins_alike_is_outside(tmp_path: Path) -> None:
    root = root_with(tmp_path)
    (tmp_path / "root-2").mkdir()
    (tmp_path / "root-2" / "file").write_text("secret")
    assert root.read("../root-2/file").value is None


def test_a_symlink_within_the_capture_is_followed(tmp_path: Path) -> None:
    root = root_with(tmp_path)
    os.symlink("../file", root.absolute("directory/link"))
    assert root.read("directory/link").value == "5\n"


def test_a_root_that_is_itself_a_symlink_is_a_root(tmp_path: Path) -> None:
    root_with(tmp_path)
    os.symlink("root", tmp_path / "link")
    assert SystemRoot(str(tmp_path / "link")).read("file").value == "5\n"


def test_a_socket_or_a_loop_is_a_status_and_no_error(tmp_path: Path) -> None:
    root = root_with(tmp_path)
    os.symlink("loop", root.absolute("loop"))
    assert root.read("loop").status.startswith("malformed: ")


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.ENOENT, ABSENT),
        (errno.ENOTDIR, ABSENT),
        (errno.ENODEV, ABSENT),
        (errno.EOPNOTSUPP, ABSENT),
        (errno.EACCES, DENIED),
        (errno.EPERM, DENIED),
        (errno.EIO, "malformed: Input/output error"),
        (errno.EAGAIN, "malformed: Resource temporarily unavailable"),
    ],
)
def test_an_error_of_the_kernel_is_one_of_four_words(
    number: int, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On opening, and on reading what could be opened."""
    error = OSError(number, os.strerror(number))
    assert status_of_error(error) == status

    def refuse(*_: object) -> bytes:
        raise error

    root = root_with(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "readv", refuse)
        assert root.read("file") == Outcome(None, status)


def test_a_file_of_another_user_is_denied(tmp_path: Path) -> None:
    root = root_with(tmp_path)
    Path(root.absolute("file")).chmod(0o000)
    Path(root.absolute("directory")).chmod(0o000)
    seen = as_nobody(
        tmp_path,
        f"""
        from agent.sources.system_root import SystemRoot
        root = SystemRoot({os.path.relpath(root.path, tmp_path)!r})
        print(root.read("file").status, root.names("directory").status)
        """,
    )
    assert seen.stdout.split() == ["denied", "denied"]


def test_a_write_is_one_call_with_the_whole_text(tmp_path: Path) -> None:
    root = root_with(tmp_path)
    root.write("file", "524288\n")
    assert root.read("file").value == "524288\n"


def test_a_write_follows_no_symlink_and_makes_no_file(tmp_path: Path) -> None:
    root = root_with(tmp_path)
    (tmp_path / "outside").write_text("untouched")
    os.symlink("../outside", root.absolute("link"))
    for name in ("link", "new", "directory"):
        with pytest.raises(OSError, match=r"."):
            root.write(name, "1")
    assert (tmp_path / "outside").read_text() == "untouched"
    assert not Path(root.absolute("new")).exists()


def test_a_write_below_a_directory_that_leads_out_is_refused(tmp_path: Path) -> None:
    root = root_with(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("untouched")
    os.symlink(tmp_path / "elsewhere", root.absolute("sys"))
    with pytest.raises(OSError, match="leads out of the capture"):
        root.write("sys/file", "1")
    assert (tmp_path / "elsewhere" / "file").read_text() == "untouched"


def test_a_short_write_is_an_error_and_never_half_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = root_with(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda *_: 3)
        with pytest.raises(OSError, match="took 3 of 7 bytes"):
            root.write("file", "524288\n")
