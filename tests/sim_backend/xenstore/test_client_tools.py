# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own clients and pyxs' stock one, unmodified, on the simulated store."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import pyxs

from tests.support.simulated_xenstore import SimulatedXenstored, libxl_guest
from tests.support.xenstored.daemon import REPOSITORY

TOOLS = Path(
    os.environ.get("BALLOON_AGENT_XENSTORE_TOOLS") or REPOSITORY / ".cache" / "xenstore-tools"
)
BASE = "/local/domain/5"
TARGET = f"{BASE}/memory/target"


@pytest.fixture
def simulated() -> Iterator[SimulatedXenstored]:
    with SimulatedXenstored() as found:
        store = found.thread.server.store
        found.thread.call(lambda: libxl_guest(store, name="tools"))
        found.introduce(5)
        yield found


class Tools:
    """xenstore-ls and the others, from Debian's package."""

    def __init__(self, root: Path, simulated: SimulatedXenstored) -> None:
        self._programs = root / "usr" / "bin"
        libraries = sorted((root / "usr" / "lib").glob("*-linux-gnu"))
        self._environment = {"LD_LIBRARY_PATH": ":".join(str(path) for path in libraries)}
        self._dom0 = simulated.path
        self._guest = os.path.join(simulated.rundir, "dom5.socket")

    def command(self, name: str, *arguments: str) -> list[str]:
        return [str(self._programs / f"xenstore-{name}"), *arguments]

    def environment(self, *, as_guest: bool = False) -> dict[str, str]:
        return self._environment | {"XENSTORED_PATH": self._guest if as_guest else self._dom0}

    def run(self, name: str, *arguments: str, as_guest: bool = False) -> str:
        done = subprocess.run(
            self.command(name, *arguments),
            env=self.environment(as_guest=as_guest),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        return done.stdout + done.stderr


@pytest.fixture
def tools(simulated: SimulatedXenstored) -> Tools:
    root = TOOLS / "root"
    if not (root / "usr/bin/xenstore-ls").exists():
        reason = f"no xenstore-utils in {TOOLS}: make xenstored"
        if os.environ.get("BALLOON_AGENT_REQUIRE_XENSTORED") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return Tools(root, simulated)


def test_xenstore_ls_shows_the_tree_with_permissions(tools: Tools) -> None:
    listed = tools.run("ls", "-f", "-p", BASE).splitlines()
    assert f'{TARGET} = "524288"   (n0,r5)' in listed
    assert f'{BASE}/data = ""   (n5)' in listed
    assert f'{BASE}/control/shutdown = ""   (n5)' in listed


def test_xenstore_ls_sees_its_own_tree_in_the_guest(tools: Tools) -> None:
    assert "Permission denied" in tools.run("ls", as_guest=True)
    assert 'target = "524288"' in tools.run("ls", "memory", as_guest=True)


def test_xenstore_write_read_list_and_rm(tools: Tools) -> None:
    assert tools.run("write", f"{BASE}/data/a", "1", f"{BASE}/data/b", "two words") == ""
    assert tools.run("read", f"{BASE}/data/a", f"{BASE}/data/b") == "1\ntwo words\n"
    assert tools.run("list", f"{BASE}/data") == "a\nb\n"
    assert tools.run("exists", f"{BASE}/data/a") == ""
    assert tools.run("rm", f"{BASE}/data/a") == ""
    assert tools.run("list", f"{BASE}/data") == "b\n"
    assert tools.run("read", f"{BASE}/data/a") == (
        f"xenstore-read: couldn't read path {BASE}/data/a\n"
    )


def test_xenstore_write_in_the_guest_meets_the_permissions(tools: Tools) -> None:
    assert tools.run("write", "data/x", "1", as_guest=True) == ""
    assert "could not write path memory/target" in tools.run(
        "write", "memory/target", "1", as_guest=True
    )


def test_xenstore_chmod_changes_who_may(tools: Tools) -> None:
    tools.run("write", "/shared/x", "1")
    assert tools.run("read", "/shared/x", as_guest=True) != "1\n"
    assert tools.run("chmod", "/shared/x", "n0", "r5") == ""
    assert tools.run("read", "/shared/x", as_guest=True) == "1\n"
    assert tools.run("chmod", "-r", f"{BASE}/data", "n5", "b0") == ""


def test_xenstore_watch_tells_of_changes(tools: Tools) -> None:
    with subprocess.Popen(
        tools.command("watch", "-n", "3", "memory/target"),
        env=tools.environment(as_guest=True),
        stdout=subprocess.PIPE,
        text=True,
    ) as watcher:
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "memory/target\n"
        for value in ("1", "2"):
            tools.run("write", TARGET, value)
            assert select.select([watcher.stdout], [], [], 20)[0]
            assert watcher.stdout.readline() == "memory/target\n"
        assert watcher.wait(20) == 0


def test_xenstore_ls_lists_a_directory_too_long_for_one_answer(
    tools: Tools, simulated: SimulatedXenstored
) -> None:
    with simulated.connect() as dom0:
        for number in range(300):
            dom0.write(f"/long/{'n' * 20}{number}", b"")
    assert len(tools.run("ls", "/long").splitlines()) == 300


def test_pyxs_reads_writes_watches_and_commits(simulated: SimulatedXenstored) -> None:
    path = os.path.join(simulated.rundir, "dom5.socket")
    with (
        pyxs.Client(simulated.path) as dom0,  # type: ignore[no-untyped-call]
        pyxs.Client(path) as client,  # type: ignore[no-untyped-call]
        client.monitor() as monitor,
    ):
        monitor.watch(b"memory/target", b"t")
        assert next(monitor.wait()) == (b"memory/target", b"t")
        dom0.write(TARGET.encode(), b"262144")
        assert next(monitor.wait()) == (b"memory/target", b"t")
        assert client.read(b"memory/target") == b"262144"
        assert b"target" in client.list(b"memory")
        client.transaction()
        client.write(b"data/a", b"1")
        assert client.commit()
        assert client.get_perms(b"data/a") == [b"n5"]
        with pytest.raises(pyxs.PyXSError, match="Permission denied"):
            client.write(b"memory/target", b"1")
        client.transaction()
        client.read(b"memory/target")
        dom0.write(TARGET.encode(), b"1")
        assert not client.commit()
        assert dom0.get_domain_path(5) == BASE.encode()
        assert dom0.is_domain_introduced(5)
        monitor.unwatch(b"memory/target", b"t")


def test_pyxs_speaks_to_the_terminal_as_to_the_xenbus_device(
    simulated: SimulatedXenstored,
) -> None:
    device = simulated.thread.call(lambda: simulated.thread.server.open_pty(5))
    with pyxs.Client(xen_bus_path=device) as client:  # type: ignore[no-untyped-call]
        assert client.read(b"memory/target") == b"524288"
        client.write(b"data/x", b"v" * 2000)
        assert client.read(b"data/x") == b"v" * 2000
