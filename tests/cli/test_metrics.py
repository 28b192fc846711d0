# SPDX-License-Identifier: GPL-2.0-or-later
"""`metrics`: to standard output, into a file in one step, and as an answer to one request."""

from __future__ import annotations

import os
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli import http_once
from agent.cli.http_once import Answer, answer_to
from agent.cli.main import main

pytest.importorskip(
    "prometheus_client",
    reason="prometheus_client is not there: apt-get install python3-prometheus-client",
)
Run = Callable[..., tuple[int, str, str]]
SIMULATED = ("--sim", "balloon-up", "metrics")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run_command(*words: str) -> tuple[int, str, str]:
        status = main(words)
        return (status, *capsys.readouterr())

    return run_command


def figures() -> Answer:
    return Answer(200, "xen_balloon_current_bytes 1.0\n", "text/plain; version=0.0.4")


def test_they_go_to_standard_output(run: Run) -> None:
    status, out, err = run(*SIMULATED)
    assert (status, err) == (0, "")
    assert "\nxen_balloon_current_bytes 8.05306368e+08\n" in out


def test_a_file_is_replaced_in_one_step_and_readable_by_others(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "balloon-agent.prom"
    target.write_text("old")
    reader = target.open()
    assert run(*SIMULATED, "--output", str(target)) == (0, "", "")
    assert reader.read() == "old"
    assert target.read_text().startswith("# HELP")
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["balloon-agent.prom"]
    reader.close()


def test_a_file_that_cannot_be_written_is_one_sentence(run: Run) -> None:
    status, _, err = run(*SIMULATED, "--output", "/nonexistent/x.prom")
    assert status == 73
    assert err == (
        "balloon-agent: /nonexistent/x.prom could not be written: No such file or directory.\n"
    )


@pytest.mark.parametrize("words", [SIMULATED, ("metrics", "--guests")])
def test_without_its_package_it_says_how_to_get_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    for report in ("exposition", "metrics_text", "host_metrics_text"):
        monkeypatch.delitem(sys.modules, f"agent.report.{report}", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    status, out, err = run(*words)
    assert (status, out) == (72, "")
    assert "apt-get install python3-prometheus-client" in err
    assert err.count("\n") == 1


def test_every_other_command_does_without_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    assert run("--sim", "balloon-up", "check")[0] == 0


def test_file_and_request_exclude_each_other(run: Run) -> None:
    assert run(*SIMULATED, "--http", "--output", "x")[0] == 64


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET /metrics?name[]=a HTTP/1.0\r\n\r\n", 200),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\n\r\n", 200),
        (b"GET /etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics/../x HTTP/1.1\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\n\r\n", 405),
        (b"GET /metrics\r\n", 400),
        (b"\x16\x03\x01\x02", 400),
        (b"", 400),
    ],
)
def test_a_request_gets_the_answer_it_deserves(request_head: bytes, status: int) -> None:
    assert answer_to(request_head, figures).status == status


def test_head_has_the_length_and_no_body() -> None:
    answer = answer_to(b"HEAD /metrics HTTP/1.1\r\n\r\n", figures).encoded()
    assert b"Content-Length: 30\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


@given(st.binary(max_size=200))
def test_no_request_makes_an_exception(request_head: bytes) -> None:
    assert answer_to(request_head, figures).encoded().startswith(b"HTTP/1.1 ")


def asked(words: tuple[str, ...], *, request: bytes | None, close: bool = False) -> bytes:
    """The answer of a process that has one connection as standard input and output."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "agent", *words],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
        )
        theirs.close()
        if request is not None:
            ours.sendall(request)
        if close:
            ours.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := ours.recv(65536):
            answer += chunk
        assert process.wait() == 0
        return answer


def test_a_connection_is_served_once_and_ended() -> None:
    answer = asked((*SIMULATED, "--http"), request=b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close" in head
    assert f"Content-Length: {len(body)}".encode() in head


def test_a_machine_that_is_no_xen_domain_is_unavailable(tmp_path: Path) -> None:
    answer = asked(
        ("--root", str(tmp_path), "metrics", "--http"), request=b"GET /metrics HTTP/1.1\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"is not a capture of a Xen domain" in answer


def test_those_of_guests_are_for_dom0(tmp_path: Path, run: Run) -> None:
    assert run("--root", str(tmp_path), "--xenstore", str(tmp_path), "metrics", "--guests")[0] == 69
    words = ("--root", str(tmp_path), "--xenstore", str(tmp_path), "metrics", "--guests", "--http")
    answer = asked(words, request=b"GET /metrics HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"not the dom0 of a Xen host" in answer


def test_a_request_without_an_end_is_cut() -> None:
    answer = asked((*SIMULATED, "--http"), request=b"GET /".ljust(8193, b"x"))
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_a_peer_that_hangs_up_is_answered_all_the_same() -> None:
    assert asked((*SIMULATED, "--http"), request=b"GE", close=True).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("sent", [b"GE", b"GET /metrics HTTP/1.1\r\n\r\n"])
def test_a_peer_that_resets_the_connection_is_no_error(sent: bytes) -> None:
    """As a port scanner does, or a balancer that only asks whether somebody is there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    at_once = struct.pack("ii", 1, 0)
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        ours.sendall(sent)
        ours.close()
        command = [sys.executable, "-m", "agent", *SIMULATED, "--http"]
        ended = subprocess.run(
            command,
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_peer_that_stays_silent_is_sent_away(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, os.fdopen(os.dup(theirs.fileno()), "rb") as stdin:
        monkeypatch.setattr(http_once, "REQUEST_TIMEOUT_S", 0.0)
        monkeypatch.setattr(sys, "stdin", stdin)
        http_once.serve_once(figures)
    assert capfdbinary.readouterr().out.startswith(b"HTTP/1.1 408 ")
