# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 at any moment: the files stay whole, and the next daemon starts as if nothing was."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.sources.xen_memory import TARGET_FILE
from tests.support.daemon_process import REPOSITORY, DaemonProcess
from tests.support.host_view import HOME
from tests.support.xenstored.guest import Guest
from tests.support.xenstored.raw_client import RawClient

ROUNDS = 6
LEAST_KIB, MOST_KIB = 262144, 786432  # what the host asks for
# Replaces a file twice, in child after child, each killed one system call later than the one
# before, in the middle of a write where that is one; prints how many were killed.
KILLED_AT_EACH_STEP = """
import json, os, signal, sys
from agent.daemon import runtime_directory

class Deadly:
    def __init__(self, last):
        self.left = last

    def __getattr__(self, name):
        found = getattr(os, name)
        if name not in ("open", "write", "rename", "unlink", "close", "ftruncate"):
            return found
        def call(*arguments, **named):
            self.left -= 1
            if self.left == 0:
                if name == "write":
                    found(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return found(*arguments, **named)
        return call

directory, killed = sys.argv[1], 0
while True:
    child = os.fork()
    if child == 0:
        runtime_directory.os = Deadly(killed + 1)
        runtime = runtime_directory.RuntimeDirectory(directory)
        runtime.lock()
        for number in range(2):
            content = json.dumps({"number": number, "filling": "x" * 20000})
            if not runtime.replace("status.json", content.encode()):
                os._exit(3)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.path.exists(directory + "/status.json"):
        with open(directory + "/status.json") as file:
            assert len(json.load(file)["filling"]) == 20000
    if not os.WIFSIGNALED(status):
        sys.exit(os.waitstatus_to_exitcode(status) or print(killed))
    killed += 1
"""


def test_killed_at_each_step_of_writing_it_leaves_a_whole_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT_EACH_STEP, str(tmp_path / "run")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 10


@pytest.mark.xenstored
@pytest.mark.parametrize("mode", ["follow", "guard", "self"])
def test_killed_at_random_it_leaves_a_whole_status_and_room_for_the_next(
    root: Path, guest: Guest, dom0: RawClient, mode: str
) -> None:
    rng = random.Random(mode)
    status, target = root / "run/balloon-agent/status.json", root / TARGET_FILE
    words = ("--config", "/dev/null", "--mode", mode)
    for number in range(ROUNDS):
        with DaemonProcess(root, guest.path, *words) as daemon:
            if number % 2:
                daemon.ready()
                dom0.write(f"{HOME}/memory/target", rng.choice((262144, 524288, 786432)))
                daemon.send(signal.SIGHUP)
            time.sleep(rng.uniform(0.0, 0.3))
            daemon.end(signal.SIGKILL)
        if status.exists():
            assert json.loads(status.read_text())["schema"] == 1
        assert LEAST_KIB <= int(target.read_text()) <= MOST_KIB
    with DaemonProcess(root, guest.path, *words) as daemon:
        daemon.ready()
        assert daemon.status()["daemon"]["pid"] == daemon.process.pid
        assert daemon.end() == 0
