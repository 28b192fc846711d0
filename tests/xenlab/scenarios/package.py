# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian package's life in a guest with systemd: installed, upgraded, removed, purged.

The guest has nothing of the agent, not even its libraries; apt resolves them from an archive of
files (tests/xenlab/packages.py), as it would from Debian's.
"""

from __future__ import annotations

import re
import time
from typing import Final

from tests.xenlab.dom0 import toolstack
from tests.xenlab.dom0.scene import Scene
from tests.xenlab.dom0.settings import deadline
from tests.xenlab.dom0.toolstack import Done
from tests.xenlab.guest.channel import NOBODY
from tests.xenlab.model import Case, GuestSpec, Scenario
from tests.xenlab.scenarios import steps
from tests.xenlab.scenarios.daemon import (
    SETTLE_WITHIN_S,
    UNIT,
    expect_alive,
    published,
    shown,
    with_daemon,
)

DEBS: Final = "/lab/debs"
CONFIG: Final = "/etc/balloon-agent/config.toml"
BEFORE: Final = "/tmp/before"
AFTER: Final = "/tmp/after"
STATUS_WITHIN_S: Final = 60.0
APT_WITHIN_S: Final = 900.0
APT: Final = "apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0"
METRICS_UNIT: Final = "balloon-agent-metrics.socket"
SCRAPE: Final = """
import http.client
connection = http.client.HTTPConnection("127.0.0.1", 9786, timeout=60)
connection.request("GET", "/metrics")
answer = connection.getresponse()
assert answer.status == 200, (answer.status, answer.read())
print(answer.read().decode())
"""
COLLECTED: Final = "/var/lib/prometheus/node-exporter"
MARK: Final = "# changed by the administrator"
FLOOR_MIB: Final = 700

# A fresh Debian with its archive: the root file system of the lab leaves manual pages out and has
# what the wheel needs; mmdebstrap's policy lets no package start its service.
FRESH: Final = f"""
rm -f /etc/dpkg/dpkg.cfg.d/* /usr/sbin/policy-rc.d
dpkg --install {DEBS}/apt/*.deb
echo 'deb [trusted=yes] file:{DEBS}/archive ./' >/etc/apt/sources.list
rm -f /etc/apt/sources.list.d/*
apt-get -qq update
{APT} --purge --auto-remove install man-db \\
    python3-click- python3-psutil- python3-pyxs- python3-rich-
! command -v balloon-agent
sh {DEBS}/what-is-there.sh /lab >{BEFORE}
"""


def sh(scene: Scene, script: str, *, within_s: float = APT_WITHIN_S) -> Done:
    """Run a script in the guest that has to succeed."""
    done = scene.domain.run(["sh", "-ec", script], timeout_s=within_s)
    assert done.status == 0, f"{script.strip()}\n{done}"
    return done


def keys(scene: Scene) -> list[str]:
    """Return the names below data/balloon, as dom0 sees them."""
    key = f"/local/domain/{scene.domain.domid}/data/balloon"
    return toolstack.run(["xenstore-list", key]).text.split()


def _installed() -> Case:
    def act(scene: Scene) -> None:
        began = time.monotonic()
        sh(scene, FRESH)
        scene.measure("a fresh Debian", f"{time.monotonic() - began:.0f} s")
        began = time.monotonic()
        sh(scene, f"cd {DEBS} && {APT} install ./balloon-agent_*.deb")
        scene.measure("apt install", f"{time.monotonic() - began:.0f} s")
        began = time.monotonic()
        while not shown(scene, "StatusText"):
            assert time.monotonic() - began < STATUS_WITHIN_S, "no state in the status line"
            time.sleep(1)
        expect_alive(scene, restarts=0)
        assert shown(scene, "UnitFileState") == "enabled"
        shows = scene.domain.run(["systemctl", "status", "--no-pager", UNIT]).text
        (status,) = [line.strip() for line in shows.splitlines() if "Status:" in line]
        assert "MiB" in status, shows
        scene.measure("systemctl status", status.removeprefix("Status: ").strip('"'))
        sh(scene, 'dpkg --verify balloon-agent; test -z "$(dpkg --audit)"')
        assert b"prometheus" not in sh(scene, "dpkg-query -W").out, "more than the agent needs"

    verifies = "enabled and started by the package, the balloon's state in the status line"
    return Case("apt install ./balloon-agent_*.deb", verifies, act)


def _looked_at() -> Case:
    def act(scene: Scene) -> None:
        scene.agreed(user=NOBODY)
        scene.agreed()
        picture = scene.agent("status", user=NOBODY)
        assert picture.status in {0, 1}, str(picture)
        assert "balloon" in picture.text.lower(), picture.text
        manual = sh(scene, "MANWIDTH=80 LC_ALL=C.UTF-8 man --warnings -E UTF-8 balloon-agent")
        assert not manual.err, manual.err.decode(errors="replace")
        assert len(manual.text.splitlines()) > 100, manual.text
        completes = (
            "COMP_WORDS='balloon-agent st' COMP_CWORD=1 "
            "_BALLOON_AGENT_COMPLETE=bash_complete balloon-agent"
        )
        assert sh(scene, completes).text == "plain,status"
        assert sh(scene, "balloon-agent config check")

    verifies = f"as user and as root: {steps.AGREE}; man renders without warnings"
    return Case("status, man, completion", verifies, act)


def scraped_bytes(text: str, name: str) -> float:
    """Return a metric that has no labels."""
    (found,) = re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found)


def _metrics() -> Case:
    """The port, which the package opens, and the file, which the administrator asks for."""

    def act(scene: Scene) -> None:
        sh(scene, f"cd {DEBS} && {APT} install ./balloon-agent-metrics_*.deb")
        sh(scene, f"systemctl is-enabled {METRICS_UNIT}; systemctl is-active {METRICS_UNIT}")
        began = time.monotonic()
        text = sh(scene, f"python3 -c '{SCRAPE}'").text
        scene.measure("scraped", f"in {time.monotonic() - began:.1f} s")
        current_bytes = scene.truth()["current_kib"] * 1024
        assert scraped_bytes(text, "xen_balloon_current_bytes") == current_bytes, text
        assert scraped_bytes(text, "xen_balloon_unexplained_bytes") == 0, text
        for source in ("xenstore", "iomem", "meminfo"):
            assert f'xen_balloon_source_readable{{source="{source}"}} 1.0' in text, text
        running = scene.domain.run(["pgrep", "-f", "balloon-agent metrics"])
        assert running.status == 1, f"a process stays between scrapes: {running}"
        sh(scene, f"mkdir -p {COLLECTED}; systemctl start balloon-agent-textfile.service")
        written = sh(scene, f"cat {COLLECTED}/balloon-agent.prom").text
        assert scraped_bytes(written, "xen_balloon_current_bytes") == current_bytes, written
        sh(scene, "systemctl enable --now balloon-agent-textfile.timer")

    verifies = (
        "the socket is started by the package; what is scraped over loopback, and what the "
        "textfile unit writes, are the kernel's figures; no process stays"
    )
    return Case("apt install ./balloon-agent-metrics_*.deb", verifies, act)


def _metrics_purged() -> Case:
    def act(scene: Scene) -> None:
        daemon = shown(scene, "MainPID")
        sh(scene, f"{APT} purge balloon-agent-metrics")
        refused = scene.domain.run(["python3", "-c", SCRAPE])
        assert b"ConnectionRefusedError" in refused.err, str(refused)
        listed = sh(scene, "systemctl list-units --all --no-legend 'balloon-agent*'").text
        assert UNIT in listed, listed
        assert "metrics" not in listed, listed
        assert "textfile" not in listed, listed
        sh(scene, f"rmdir -p --ignore-fail-on-non-empty {COLLECTED}; test ! -e {COLLECTED}")
        assert shown(scene, "MainPID") == daemon, "the daemon was restarted"
        expect_alive(scene)

    verifies = "nobody listens, its units and its file are gone, the daemon goes on undisturbed"
    return Case("apt purge balloon-agent-metrics", verifies, act)


def _upgraded() -> Case:
    def act(scene: Scene) -> None:
        sh(scene, f"echo '{MARK}' >>{CONFIG}")
        old, sequence = shown(scene, "MainPID"), int(published(scene, "seq") or 0)
        version = sh(scene, "dpkg-query -W -f '${Version}' balloon-agent").text
        keep = "-o Dpkg::Options::=--force-confold"
        sh(scene, f"cd {DEBS}/newer && {APT} {keep} install ./balloon-agent*.deb")
        now = sh(scene, "dpkg-query -W -f '${Version}' balloon-agent").text
        assert now != version, f"still {now}"
        sh(scene, f"grep -q '{MARK}' {CONFIG}; rm -f {CONFIG}.dpkg-*")
        assert shown(scene, "MainPID") not in {old, "0"}, "the old daemon goes on"
        expect_alive(scene)
        assert int(published(scene, "seq") or 0) > sequence, "the sequence started anew"
        assert published(scene, "state") == "settled"
        scraped_bytes(sh(scene, f"python3 -c '{SCRAPE}'").text, "xen_balloon_current_bytes")
        sh(scene, "systemctl is-active balloon-agent-textfile.timer")
        scene.measure("upgrade", f"{version} to {now}")

    verifies = (
        "the changed configuration is kept, the daemon restarted, the sequence goes on, the "
        "metrics are served"
    )
    return Case("upgrade", verifies, act)


def _reinstalled() -> Case:
    def act(scene: Scene) -> None:
        install = f"{APT} --reinstall install ./balloon-agent_*.deb"
        sh(scene, f"cd {DEBS}/newer && {install}")
        sh(scene, f"grep -q '{MARK}' {CONFIG}")
        expect_alive(scene)

    return Case("reinstalled", "the daemon runs, the configuration is kept", act)


def _stopped_and_started() -> Case:
    def act(scene: Scene) -> None:
        sh(scene, f"systemctl stop {UNIT}")
        left = set(keys(scene))
        assert left == {"state", "profile", "version", "seq"}, left
        assert published(scene, "state") == "stopped"
        sh(scene, f"systemctl start {UNIT}")
        expect_alive(scene)

    return Case("stop, start", "in between the host reads state = stopped and no figure", act)


def _removed(mib: int) -> Case:
    """The guard holds the guest above the host's target until the package goes."""

    def act(scene: Scene) -> None:
        guard = f'mode = "guard"\\nfloor = "{FLOOR_MIB}M"\\n'
        sh(scene, f"printf '{guard}' >/etc/balloon-agent/config.d/guard.toml")
        sh(scene, f"systemctl restart {UNIT}")
        expect_alive(scene)
        scene.mem_set(mib)
        end = deadline(SETTLE_WITHIN_S)
        # The kernel may have passed the floor before the guard was there.
        while not mib < (held_mib := scene.truth()["current_kib"] / 1024) <= FLOOR_MIB:
            assert time.monotonic() < end, f"the guard does not hold: {held_mib:.0f} MiB"
        sh(scene, f"{APT} remove balloon-agent")
        truth = scene.truth()
        assert truth["target_kib"] == truth["current_kib"] == mib * 1024, truth
        assert not keys(scene), keys(scene)
        assert shown(scene, "ActiveState") == "inactive"
        assert shown(scene, "LoadState") == "not-found"
        sh(scene, f"test ! -e /run/balloon-agent; grep -q '{MARK}' {CONFIG}")
        scene.measure("held, then", f"{held_mib:.0f} MiB, {truth['current_kib'] // 1024} MiB")

    verifies = (
        f"held by the guard's floor of {FLOOR_MIB} MiB until then; after it the unit is gone, no "
        f"key is left for the host, current = target = {mib} MiB, the configuration is kept"
    )
    return Case(f"mem-set {mib}, apt remove", verifies, act)


def _purged() -> Case:
    def act(scene: Scene) -> None:
        sh(scene, "rm /etc/balloon-agent/config.d/guard.toml")
        sh(scene, f"{APT} purge balloon-agent; {APT} autoremove --purge")
        sh(scene, f"sh {DEBS}/what-is-there.sh /lab >{AFTER}")
        difference = scene.domain.run(["diff", BEFORE, AFTER])
        assert difference.status == 0, f"not as it was:\n{difference.text}"
        listed = sh(scene, f"wc -l <{AFTER}").text
        scene.measure("compared", f"{listed.strip()} packages, files and checksums")

    return Case("apt purge", "packages and files are as they were before the installation", act)


SCENARIOS: Final = (
    Scenario(
        "pv-package",
        "the Debian package in a PV guest with real systemd, from installation to purge",
        GuestSpec("pv", systemd=True, debs=True),
        (
            _installed(),
            _looked_at(),
            with_daemon(steps.mem_set(768)),
            _stopped_and_started(),
            _metrics(),
            _upgraded(),
            _reinstalled(),
            _metrics_purged(),
            _removed(512),
            _purged(),
        ),
    ),
)
