# SPDX-License-Identifier: GPL-2.0-or-later
"""What a session sends, what a device refuses, and how it fits into the process around it."""

from __future__ import annotations

import errno
import gc
import os
import resource
import struct
import threading
import warnings
from pathlib import Path

import pytest

from agent.sources.xenstore.errors import (
    KeyAbsent,
    KeyDenied,
    QuotaExceeded,
    StoreBusy,
    XenstoreLost,
    XenstoreRefused,
)
from agent.sources.xenstore.session import XenstoreSession
from tests.support.scripted_peer import ScriptedPeer
from tests.support.scripted_session import connected
from tests.support.xenstored.raw_client import DIRECTORY, READ, WRITE


def test_a_request_is_one_packet_with_a_fresh_id_and_no_transaction(
    session: XenstoreSession, peer: ScriptedPeer
) -> None:
    for rq_id in (1, 2, 3):
        peer.packet(WRITE, b"OK\0", rq_id)
        session.write("data/x", b"\xff\0")

    assert [tuple(packet) for packet in peer.received()] == [
        (WRITE, rq_id, 0, b"data/x\0\xff\0") for rq_id in (1, 2, 3)
    ]


def test_a_request_too_large_for_the_device_is_refused_unsent(
    session: XenstoreSession, peer: ScriptedPeer
) -> None:
    largest = 4096 - 16 - len("data/x\0")
    with pytest.raises(QuotaExceeded) as refused:
        session.write("data/x", b"x" * (largest + 1))
    assert refused.value.errno_name == "E2BIG"
    assert peer.received() == []

    peer.packet(WRITE, b"OK\0", 2)
    session.write("data/x", b"x" * largest)
    assert len(peer.received()[0].payload) == 4080


def test_request_ids_begin_again_after_the_last_without_a_zero(
    session: XenstoreSession, peer: ScriptedPeer
) -> None:
    session._router._rq_id = 2**32 - 3
    for rq_id in (2**32 - 2, 2**32 - 1, 1, 2):
        peer.packet(READ, b"1", rq_id)
        assert session.read("domid") == b"1"


def let_write_fail(session: XenstoreSession, number: int, patch: pytest.MonkeyPatch) -> None:
    """As the kernel's xenbus does with a request that it does not pass on."""

    def write(data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    patch.setattr(session._router._transport, "write", write)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EINVAL, XenstoreRefused),
        (errno.EEXIST, XenstoreRefused),
        (errno.EACCES, KeyDenied),
        (errno.ENOENT, KeyAbsent),
        (errno.E2BIG, QuotaExceeded),
        (errno.ENOSPC, QuotaExceeded),
        (errno.ENOMEM, StoreBusy),
    ],
)
def test_an_errno_of_write_on_the_device_is_an_answer_not_a_loss(
    device_peer: ScriptedPeer,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[XenstoreRefused],
) -> None:
    session = connected(device_peer)
    with monkeypatch.context() as patch:
        let_write_fail(session, number, patch)
        with pytest.raises(XenstoreRefused) as refused:
            session.watch("memory/target", "t")

    assert type(refused.value) is kind
    assert refused.value.errno_name == errno.errorcode[number]
    device_peer.packet(READ, b"1", session._router._rq_id + 1)
    assert session.read("domid") == b"1"
    session.close()


@pytest.mark.parametrize("number", [errno.EIO, errno.ENODEV, errno.EBADF, errno.EFAULT])
def test_other_errnos_of_the_device_are_a_loss(
    device_peer: ScriptedPeer, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    session = connected(device_peer)
    let_write_fail(session, number, monkeypatch)

    with pytest.raises(XenstoreLost, match="cannot send"):
        session.read("domid")
    assert not session.connected


def test_no_errno_of_a_socket_is_an_answer(
    socket_peer: ScriptedPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = connected(socket_peer)
    let_write_fail(session, errno.EINVAL, monkeypatch)

    with pytest.raises(XenstoreLost, match="cannot send"):
        session.read("domid")


def test_a_request_interrupted_in_the_middle_closes_the_session(
    session: XenstoreSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(data: bytes) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(session._router._transport, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        session.read("domid")
    assert not session.connected


def test_a_descriptor_beyond_1023_works(peer: ScriptedPeer) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip(f"only {hard} descriptors allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    null = os.open("/dev/null", os.O_RDONLY)
    spare = [os.dup(null) for _ in range(1030)]
    try:
        session = connected(peer)
        assert session.fileno() > 1023
        peer.packet(READ, b"1")
        assert session.read("domid") == b"1"
        session.close()
    finally:
        for fd in (null, *spare):
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_forked_child_is_refused_and_the_parent_not_disturbed(
    session: XenstoreSession, peer: ScriptedPeer
) -> None:
    child = os.fork()
    if child == 0:
        try:
            session.read("domid")
        except XenstoreLost:
            session.close()
            os._exit(0)
        os._exit(1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    peer.packet(READ, b"5")
    assert session.read("domid") == b"5"
    assert [packet.rq_id for packet in peer.received()] == [1]


def test_a_working_directory_that_is_gone_does_not_matter(
    session: XenstoreSession, peer: ScriptedPeer, tmp_path: Path
) -> None:
    here = Path.cwd()
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    try:
        peer.packet(READ, b"5")
        assert session.read("domid") == b"5"
        peer.packet(DIRECTORY, b"a\0", 2)
        assert session.list("data") == ["a"]
    finally:
        os.chdir(here)


def test_a_session_has_no_thread_and_one_descriptor(peer: ScriptedPeer) -> None:
    threads, fds = threading.active_count(), len(os.listdir("/proc/self/fd"))
    session = XenstoreSession(peer.path)
    assert len(os.listdir("/proc/self/fd")) == fds
    session.connect()

    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == fds + 1
    session.close()
    assert len(os.listdir("/proc/self/fd")) == fds


def test_a_session_dropped_without_close_keeps_nothing(peer: ScriptedPeer) -> None:
    fds = len(os.listdir("/proc/self/fd"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for _ in range(5):
            XenstoreSession(peer.path).connect()
        gc.collect()

    assert len(os.listdir("/proc/self/fd")) == fds


def test_the_end_of_the_peer_leaves_no_descriptor_open(peer: ScriptedPeer) -> None:
    session = connected(peer)
    fds = len(os.listdir("/proc/self/fd"))
    peer.hang_up()
    with pytest.raises(XenstoreLost):
        session.read("domid")

    assert len(os.listdir("/proc/self/fd")) == fds - 2


def test_nothing_is_read_or_allocated_by_a_length_the_peer_claims(
    session: XenstoreSession, peer: ScriptedPeer
) -> None:
    asked: list[int] = []
    transport = session._router._transport
    assert transport is not None
    read = transport.read

    def recorded(most_bytes: int) -> bytes | None:
        asked.append(most_bytes)
        return read(most_bytes)

    transport.read = recorded  # type: ignore[method-assign]
    peer.send(struct.pack("=IIII", READ, 1, 0, 0xFFFFFFF0))
    with pytest.raises(XenstoreLost):
        session.read("domid")

    assert asked
    assert max(asked) <= 4096 + 16
