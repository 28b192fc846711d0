# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from sim_backend.guest.store import DomainStore
from sim_backend.published.domain import PublishedDomain
from sim_backend.stories import catalogue
from tests.support.xenstored.raw_client import RawClient, RawError

BALLOON = "sys/devices/system/xen_memory/xen_memory0"
TARGET = f"{BALLOON}/target_kb"
STEP_LIMIT_S = 0.05
_T = TypeVar("_T")


class FakeDomain:
    """A domain of one number that follows what is written to it, and never moves by itself."""

    def __init__(self) -> None:
        self.domid = 3
        self.target_kib = 1048576
        self.written: list[tuple[str, str]] = []
        self.block = "offline\n"
        self.time_s = 100.0
        self.store = DomainStore(
            {"memory/target": "1048576", "name": "fake", "vm": "/vm/f", "data": ""}, ("data",)
        )
        self.store.watch("memory/target", self._host_wrote)

    def _host_wrote(self, _path: str) -> None:
        self.target_kib = int(self.store.read("memory/target") or "0")

    def files(self) -> Mapping[str, str]:
        return {
            TARGET: f"{self.target_kib}\n",
            f"{BALLOON}/info/current_kb": "1048576\n",
            "sys/devices/system/memory/memory9/state": self.block,
        }

    def write_file(self, path: str, text: str) -> None:
        self.written.append((path, text))
        if text == "no\n":
            raise OSError(22, "Invalid argument", path)
        if path == TARGET:
            self.target_kib = int(text)
        else:
            self.block = text

    def now_s(self) -> float:
        return self.time_s

    def advance_to(self, time_s: float) -> bool:
        self.time_s = max(self.time_s, time_s)
        return True  # tests change it as they please

    def next_event_s(self) -> float | None:
        return None


class Stage:
    """A published domain whose loop runs while a helper thread does something."""

    def __init__(self, domain: FakeDomain, directory: str) -> None:
        self.domain = domain
        self.published = PublishedDomain(domain, directory)
        self.pool = ThreadPoolExecutor(4)

    def path(self, relative: str) -> Path:
        return Path(self.published.root, relative)

    def read(self, relative: str) -> str:
        return self.path(relative).read_text()

    def start(self, action: Callable[[], _T]) -> Future[_T]:
        return self.pool.submit(action)

    def until(self, reached: Callable[[], bool]) -> None:
        for _ in range(4000):
            if reached():
                return
            self.published.step(STEP_LIMIT_S)
        pytest.fail("it did not happen")

    def do(self, action: Callable[[], _T]) -> _T:
        """Serve until `action`, which runs beside, has returned; then give what it returned."""
        future = self.start(action)
        self.until(future.done)
        return future.result()


@pytest.fixture
def stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="published-") as directory:
        found = Stage(FakeDomain(), directory)
        yield found
        found.published.close()
        found.pool.shutdown()


def write_in_place(path: Path, data: bytes) -> None:
    """As a program writes to sysfs: without truncating."""
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, data)
    os.close(fd)


def write_all(path: Path, texts: list[str]) -> None:
    for text in texts:
        write_in_place(path, text.encode())


def test_the_files_show_what_the_domain_shows(stage: Stage) -> None:
    assert stage.read(TARGET) == "1048576\n"
    stage.domain.target_kib = 5
    stage.published.step(0)
    assert stage.read(TARGET) == "5\n"


def test_a_file_that_the_kernel_no_longer_has_vanishes(stage: Stage) -> None:
    files = dict(stage.domain.files())
    del files["sys/devices/system/memory/memory9/state"]
    stage.domain.files = lambda: files  # type: ignore[method-assign]
    stage.published.step(0)
    assert not stage.path("sys/devices/system/memory").exists()


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("524288\n"),
        lambda path: path.write_text("524288"),
        lambda path: write_in_place(path, b"524288\n"),
        lambda path: subprocess.run(["sh", "-c", f"echo 524288 > {path}"], check=True),
    ],
    ids=["truncating", "without-newline", "in-place", "shell"],
)
def test_what_is_written_takes_effect(stage: Stage, write: Callable[[Path], object]) -> None:
    stage.do(lambda: write(stage.path(TARGET)))
    stage.until(lambda: stage.domain.written != [])
    assert stage.domain.written == [(TARGET, "524288\n")]
    assert stage.read(TARGET) == "524288\n"


def test_the_same_value_written_again_is_told_again(stage: Stage) -> None:
    stage.do(lambda: write_all(stage.path(TARGET), ["1048576\n"] * 2))
    stage.until(lambda: len(stage.domain.written) == 2)
    assert stage.domain.written == [(TARGET, "1048576\n")] * 2


def test_opening_without_writing_is_no_write(stage: Stage) -> None:
    stage.do(lambda: os.close(os.open(stage.path(TARGET), os.O_WRONLY)))
    stage.do(lambda: write_in_place(stage.path(TARGET), b"7\n"))
    stage.until(lambda: stage.domain.written != [])
    assert stage.domain.written == [(TARGET, "7\n")]


def test_what_the_kernel_refuses_changes_nothing(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.do(lambda: stage.path(TARGET).write_text("no\n"))
    stage.until(lambda: stage.domain.written != [])
    assert capsys.readouterr().err == f"{TARGET}: 'no' refused: Invalid argument\n"
    assert stage.read(TARGET) == "1048576\n"


def test_an_offline_block_is_put_online(stage: Stage) -> None:
    state = "sys/devices/system/memory/memory9/state"
    stage.do(lambda: stage.path(state).write_text("online"))
    stage.until(lambda: stage.domain.written != [])
    assert stage.read(state) == "online\n"
    assert stage.path(state).stat().st_mode & 0o222 == 0


def test_readers_meet_neither_the_empty_nor_the_half_written_file(stage: Stage) -> None:
    path = stage.path(TARGET)
    fd = stage.do(lambda: os.open(path, os.O_WRONLY | os.O_TRUNC))
    assert stage.read(TARGET) == "1048576\n"
    os.write(fd, b"524")
    stage.published.step(0)
    assert stage.read(TARGET) == "1048576\n"
    os.write(fd, b"288\n")
    os.close(fd)
    stage.until(lambda: stage.read(TARGET) == "524288\n")
    assert stage.domain.written == [(TARGET, "524288\n")]


def test_a_reader_that_is_slow_keeps_the_version_it_opened(stage: Stage) -> None:
    with stage.path(TARGET).open() as opened:
        stage.domain.target_kib = 5
        stage.published.step(0)
        assert (opened.read(), stage.read(TARGET)) == ("1048576\n", "5\n")


def test_no_write_is_lost_while_the_file_is_being_replaced(stage: Stage) -> None:
    rounds = 60
    future = stage.start(
        lambda: write_all(stage.path(TARGET), [f"{number:07}\n" for number in range(rounds)])
    )

    def reached() -> bool:
        stage.domain.target_kib += 1000000  # the host's doing: a new version at every step
        return future.done() and len(stage.domain.written) == rounds

    stage.until(reached)
    assert [text for _, text in stage.domain.written] == [
        f"{number:07}\n" for number in range(rounds)
    ]


def test_the_hosts_wish_in_xenstore_reaches_guest_and_kernel(stage: Stage) -> None:
    def talk() -> tuple[tuple[str, str], bytes]:
        with (
            RawClient(stage.published.dom0_path) as dom0,
            RawClient(stage.published.guest_path) as guest,
        ):
            guest.watch("memory/target", "t")
            guest.next_event()
            dom0.write("/local/domain/3/memory/target", "786432")
            return guest.next_event(), guest.read("memory/target")

    assert stage.do(talk) == (("memory/target", "t"), b"786432")
    assert stage.domain.target_kib == 786432
    assert stage.read(TARGET) == "786432\n"


def test_what_the_models_toolstack_writes_fires_the_guests_watch(stage: Stage) -> None:
    with RawClient(stage.published.guest_path) as guest:
        stage.do(lambda: guest.watch("memory/target", "t"))
        assert stage.do(guest.next_event) == ("memory/target", "t")
        stage.domain.store.write("memory/target", "262144")
        assert stage.do(guest.next_event) == ("memory/target", "t")
        assert stage.do(lambda: guest.read("memory/target")) == b"262144"
        stage.domain.store.remove("memory/target")
        with pytest.raises(RawError, match="ENOENT"):
            stage.do(lambda: guest.read("memory/target"))


def test_what_the_guest_reports_reaches_the_model(stage: Stage) -> None:
    def report() -> None:
        with RawClient(stage.published.guest_path) as guest:
            guest.write("data/balloon/state", "settled")
            guest.write("data/gone", "x")
            guest.remove("data/gone")
            with pytest.raises(RawError, match="EACCES"):
                guest.write("memory/target", "1")

    stage.do(report)
    assert stage.domain.store.read("data/balloon/state") == "settled"
    assert stage.domain.store.read("data/gone") is None
    assert stage.domain.store.read("memory/target") == "1048576"


def test_after_a_resume_elsewhere_the_guest_has_another_directory(stage: Stage) -> None:
    with RawClient(stage.published.guest_path) as guest:
        assert stage.do(lambda: guest.read("name")) == b"fake"
        stage.domain.domid = 4
        stage.published.step(0)
        with pytest.raises(ConnectionError):
            stage.do(lambda: guest.read("name"))

    def look() -> tuple[list[str], bytes]:
        with (
            RawClient(stage.published.dom0_path) as dom0,
            RawClient(stage.published.guest_path) as again,
        ):
            return dom0.children("/local/domain"), again.read("/local/domain/4/name")

    assert stage.do(look) == (["4"], b"fake")


def test_a_stalled_xenstored_answers_later_and_costs_nothing_meanwhile(stage: Stage) -> None:
    with RawClient(stage.published.guest_path) as guest:
        stage.do(lambda: guest.read("name"))
        stage.published.server.stall()
        answer = stage.start(lambda: guest.read("name"))
        for _ in range(3):
            stage.published.step(STEP_LIMIT_S)
        assert not answer.done()
        assert not stage.published._selector.select(0)  # it waits instead of spinning
        stage.published.server.resume()
        stage.until(answer.done)
        assert answer.result() == b"fake"


def test_a_new_xenstored_makes_the_guest_connect_again(stage: Stage) -> None:
    with RawClient(stage.published.guest_path) as guest:
        stage.do(lambda: guest.read("name"))
        stage.domain.store.fire_all()
        stage.published.step(0)
        with pytest.raises(ConnectionError):
            stage.do(lambda: guest.read("name"))


def test_what_an_earlier_domain_left_is_cleared_and_nothing_else() -> None:
    with tempfile.TemporaryDirectory(prefix="published-") as directory:
        for _ in range(2):
            PublishedDomain(FakeDomain(), directory).close()
        left = Path(directory, "root", "left-behind")
        left.write_text("x")
        PublishedDomain(FakeDomain(), directory).close()
        assert not left.exists()
    with tempfile.TemporaryDirectory(prefix="published-") as directory:
        Path(directory, "root").mkdir()
        with pytest.raises(FileExistsError):
            PublishedDomain(FakeDomain(), directory)


def test_what_this_process_is_late_by_the_domain_does_not_live_through(stage: Stage) -> None:
    """A writer that waits meanwhile would come too late, though he was in time."""
    stage.published.step(0)
    before_s = stage.domain.time_s
    time.sleep(0.3)  # no processor for this process
    stage.published.step(0)
    assert stage.domain.time_s - before_s < 0.1


def test_a_domain_that_is_held_lives_later_and_is_served_now(stage: Stage) -> None:
    stage.published.is_held = True
    stage.published.step(0)
    before_s = stage.domain.time_s
    stage.do(lambda: stage.path(TARGET).write_text("524288\n"))
    stage.until(lambda: stage.domain.written != [])
    assert stage.domain.time_s == pytest.approx(before_s, abs=1e-6)
    stage.published.go()
    stage.until(lambda: stage.domain.time_s > before_s)


def test_what_it_sleeps_by_itself_passes_for_the_domain_as_well(stage: Stage) -> None:
    began_s = time.monotonic()
    stage.published.step(0)
    before_s = stage.domain.time_s
    for _ in range(4):
        stage.published.step(0.05)
    assert 0.15 < stage.domain.time_s - before_s <= time.monotonic() - began_s


def test_the_kernel_takes_a_target_within_milliseconds_of_its_own_time() -> None:
    domain = catalogue.load("balloon-up").build(0).domain
    with tempfile.TemporaryDirectory(prefix="published-") as directory:
        published = PublishedDomain(domain, directory)
        with RawClient(published.dom0_path) as dom0, ThreadPoolExecutor(1) as beside:
            for mib in (500, 512, 500):
                before_s = domain.now_s()
                wrote = beside.submit(
                    dom0.write, f"/local/domain/{domain.domid}/memory/target", mib * 1024
                )
                while domain.store.read("memory/target") != str(mib * 1024):
                    before_s = domain.now_s()
                    published.step(0.01)
                while domain.target_kib != mib * 1024:
                    published.step(0.01)
                wrote.result()
                assert domain.now_s() - before_s < 0.02
        published.close()


def test_an_unknown_scenario_is_refused_with_the_names_that_exist() -> None:
    command = [sys.executable, "-m", "sim_backend.published", "no-such", "/nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert catalogue.scenario_names()[0] in done.stderr


class Program:
    """`python3 -m sim_backend.published` at work."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 20)[0]
        self.paths = json.loads(process.stdout.readline())

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()


@pytest.fixture
def program() -> Iterator[Program]:
    with tempfile.TemporaryDirectory(prefix="published-") as directory:
        command = [sys.executable, "-m", "sim_backend.published", "balloon-up", directory]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            yield Program(process)
            process.kill()


@pytest.mark.parametrize("how", ["end of input", "SIGTERM"])
def test_it_runs_as_a_program_of_its_own_until_told_to_end(program: Program, how: str) -> None:
    paths = program.paths
    with RawClient(paths["xenstore"]) as guest:
        assert guest.read("memory/target") == Path(paths["root"], TARGET).read_bytes().strip()
    if how == "SIGTERM":
        program.process.send_signal(signal.SIGTERM)
    else:
        assert program.process.stdin is not None
        program.process.stdin.close()
    assert program.process.wait(20) == 0
    assert not Path(paths["xenstore"]).exists()


def test_the_program_plays_toolstack_and_failing_xenstored_on_demand(program: Program) -> None:
    with RawClient(program.paths["xenstore"]) as guest:
        guest.watch("memory/target", "t")
        guest.next_event()
        program.say("mem-set 600")
        assert guest.next_event() == ("memory/target", "t")
        assert guest.read("memory/target") == b"614400"
        program.say("drop")
        with pytest.raises(ConnectionError):
            guest.next_event()
    with RawClient(program.paths["xenstore"]) as guest:
        program.say("stop")
        with pytest.raises(ConnectionError):
            guest.next_event()
        with pytest.raises(ConnectionRefusedError):
            RawClient(program.paths["xenstore"])
