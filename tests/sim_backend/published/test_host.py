# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sim_backend.host.libxl import simple_guest
from sim_backend.published import host
from sim_backend.published.__main__ import main as published_main
from sim_backend.published.xl import PublishedXl, mem_size_kib


@pytest.mark.parametrize(
    ("text", "kib"),
    [
        ("512", 524288), ("512m", 524288), ("512M", 524288), ("1g", 1048576), ("1T", 1 << 30),
        ("4096k", 4096), ("4096b", 4), ("", 0), ("-1", -1024), ("1.5g", None), ("5x", None),
        ("512mb", None),
    ],
)  # fmt: skip
def test_a_size_is_read_as_xl_reads_it(text: str, kib: int | None) -> None:
    """tools/xl/xl_parse.c, parse_mem_size_kb: strtoll, then at most one letter."""
    assert mem_size_kib(text) == kib


def test_an_xl_that_hangs_up_before_its_answer_does_not_end_the_host(tmp_path: Path) -> None:
    toolstack, domain = simple_guest()
    path = str(tmp_path / "xl.sock")
    published = PublishedXl(toolstack, {"guest": domain}, str(tmp_path / "xl"), path)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(path)
        caller.sendall(b"info")
    published.serve()
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(path)
        caller.sendall(b"info")
        caller.shutdown(socket.SHUT_WR)
        published.serve()
        assert caller.recv(4096).startswith(b"0\ntotal_memory")
    published.close()


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "fast"])
def test_a_speed_at_which_no_story_passes_is_a_mistake_in_the_command(
    speed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, program in (
        ([str(tmp_path)], host.main),
        (["leak", str(tmp_path)], published_main),
    ):
        with pytest.raises(SystemExit) as end:
            program([*arguments, "--speed", speed])
        assert end.value.code == 2
        assert "--speed" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["published", "balloon-up"], ["published.host", "--without-agents"]], ids=str
)
def test_a_closed_standard_input_is_one_that_says_nothing(words: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="closed-") as directory:
        module, *arguments = words
        python = [sys.executable, "-m", f"sim_backend.{module}", *arguments, directory]
        closed = ["sh", "-c", 'exec "$0" "$@" <&-', *python]
        with subprocess.Popen(closed, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("{")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("workload nobody 5", "no such guest: nobody; there are: db, web, old"),
        ("workload db", "workload db: write workload NAME MIB"),
        ("destroy", "destroy: write destroy NAME"),
        ("workload db much", "not a number of MiB: much"),
        ("dance db", "no such command: dance db"),
    ],
)
def test_what_is_wrong_with_a_line_is_said_in_a_sentence(line: str, said: str) -> None:
    with tempfile.TemporaryDirectory(prefix="lines-") as directory:
        published = host.PublishedHost(directory, 1.0)
        try:
            with pytest.raises(ValueError, match=f"^{said}$"):
                published.do(line.split())
        finally:
            published.close()
