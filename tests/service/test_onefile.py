# SPDX-License-Identifier: GPL-2.0-or-later
"""The one file, made of this tree and the libraries that are installed."""

from __future__ import annotations

import ast
import gzip
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from agent import __version__
from agent.cli.application import COMMANDS
from agent.service import onefile
from sim_backend.host.libxl import simple_guest
from tests import captures
from tests.support.daemon_process import DaemonProcess, kernel_files
from tests.support.host_view import BALLOON, HOME, wait_until
from tests.support.xenstored.guest import Guest
from tests.support.xenstored.raw_client import RawClient

TREE = Path(__file__).parents[2]
BUILD = TREE / "packaging" / "onefile" / "build.py"
FRONT = BUILD.with_name("front.py")
EVERY_CAPTURE = TREE / "tests" / "forms" / "every_capture.py"


def build(action: str, folder: Path, target: Path, *codes: Path) -> bytes:
    subprocess.run(
        [sys.executable, BUILD, action, folder, target, *codes],
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "0"},
    )
    return target.read_bytes()


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What packaging/make-onefile.sh puts into it, less what these tests do not ask for."""
    folder = tmp_path_factory.mktemp("modules")
    without_code = shutil.ignore_patterns("__pycache__", "*.so")
    for ours in ("agent", "sim_backend"):
        shutil.copytree(TREE / ours, folder / ours, ignore=without_code)
    for name in ("systemd", "openrc", "docs/balloon-agent.1"):
        place = folder / "agent" / "shipped" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (TREE / name).is_dir() else shutil.copyfile)(TREE / name, place)
    for library in ("click", "prometheus_client", "pyxs"):
        found = importlib.util.find_spec(library)
        assert found is not None
        assert found.origin is not None
        shutil.copytree(Path(found.origin).parent, folder / library, ignore=without_code)
    shutil.copyfile(FRONT, folder / "__main__.py")
    return folder


@pytest.fixture(scope="module")
def code(modules: Path) -> Path:
    build("compile", modules, modules.parent / "code")
    return modules.parent / "code"


@pytest.fixture(scope="module")
def program(modules: Path, code: Path) -> Path:
    made = modules.parent / "balloon-agent.pyz"
    build("join", modules, made, code)
    return made


def run(program: Path, *words: str) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-I", str(program), *words]
    return subprocess.run(start, capture_output=True, text=True, check=False, cwd="/")


def test_python_keeps_no_list_of_its_files_where_code_is_compiled(program: Path) -> None:
    """A quarter of a MiB of each daemon; what is imported later does not bring it back."""
    asked = """if True:
        import sys, zipimport
        program = sys.argv[1]
        sys.path.insert(0, program)
        import click
        assert zipimport._zip_directory_cache
        front = {"__name__": "front"}
        exec(zipimport.zipimporter(program).get_code("__main__"), front)
        front["use_compiled_modules"](program)
        import agent.cli.main, colorsys
        try:
            import not_installed_anywhere
        except ImportError:
            pass
        print(agent.cli.main.__file__, list(zipimport._zip_directory_cache))
    """
    command = [sys.executable, "-I", "-S", "-c", asked, str(program)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told == f"{program}/agent/cli/main.py []\n"


def test_the_same_folder_gives_the_same_bytes(modules: Path, code: Path, program: Path) -> None:
    again = modules.parent / "again"
    shutil.copytree(modules, again / "modules")
    for path in again.rglob("*"):
        os.utime(path, (0, 0))
    assert build("compile", again / "modules", again / "code") == code.read_bytes()
    assert build("join", again / "modules", again / "made", again / "code") == program.read_bytes()


def test_names_that_the_compiling_process_holds_elsewhere_change_no_byte() -> None:
    text = (
        "def only_here(given_here: int) -> int:\n    return given_here + taken_here('said_here')\n"
    )
    before = onefile.compiled([("module_here.py", text.encode())])
    held = [sys.intern(word) for word in re.findall(r"\w+", text)]
    assert onefile.compiled([("module_here.py", text.encode())]) == before
    assert held


def test_it_is_the_program(program: Path) -> None:
    assert run(program, "--version").stdout == f"balloon-agent, version {__version__}\n"
    assert os.access(program, os.X_OK)


def test_nothing_is_unpacked_or_written_beside_it(program: Path) -> None:
    before = sorted(program.parent.iterdir())
    run(program, "--help")
    assert sorted(program.parent.iterdir()) == before


def test_compiled_or_not_it_says_the_same_as_the_installed_one(
    modules: Path, program: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare.pyz"
    build("join", modules, bare)
    root = captures.load("pv-512-1024/boot").write_to(tmp_path / "guest")
    words = ("--root", str(root), "status", "--json")
    installed = subprocess.run(
        [sys.executable, "-I", "-m", "agent", *words], capture_output=True, text=True, check=False
    )
    assert json.loads(installed.stdout)["schema"] == 1
    for made in (program, bare):
        ran = run(made, *words)
        assert (ran.returncode, ran.stdout) == (installed.returncode, installed.stdout)


def test_every_module_is_found_and_no_other_that_is_installed(
    program: Path, tmp_path: Path
) -> None:
    """Compiled or not; -S: no site-packages but what is laid there."""
    libraries = ("click", "prometheus_client", "pyxs", "sim_backend")
    for name in libraries:
        (tmp_path / f"{name}.py").write_text("")
    asked = """if True:
        import importlib, sys, zipimport
        program, installed, *names = sys.argv[1:]
        sys.path[:] = [program, *sys.path, installed]
        front = {"__name__": "front"}
        exec(zipimport.zipimporter(program).get_code("__main__"), front)
        front["use_compiled_modules"](program)
        for name in names:
            assert importlib.import_module(name).__file__.startswith(program), name
    """
    with zipfile.ZipFile(program) as archive:
        names = [
            name[: -len(".py")].replace("/", ".")
            for name in archive.namelist()
            if name.startswith(("agent/", "sim_backend/")) and name.endswith(".py")
        ]
    assert {"agent.cli.main", "sim_backend.published.host"} < set(names)
    modules = [*libraries, *(name for name in names if not name.endswith("__"))]
    command = [sys.executable, "-I", "-S", "-c", asked, str(program), str(tmp_path), *modules]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_every_command_does_the_same_as_the_installed_one(program: Path, tmp_path: Path) -> None:
    """But the daemon, which does not end, and the one that installs: see below."""
    in_a_guest = ("--root", str(captures.load("pv-512-1024/boot").write_to(tmp_path / "guest")))
    simulated = ("--sim", "balloon-up")
    commands = (
        (*in_a_guest, "status", "--short"),
        (*in_a_guest, "doctor", "--seconds", "0"),
        (*in_a_guest, "explain"),
        (*in_a_guest, "memmap"),
        (*in_a_guest, "plan", "--target", "384"),
        (*in_a_guest, "capture", "capture.tar.gz"),
        (*in_a_guest, "check"),
        (*in_a_guest, "metrics", "--output", "metrics.prom"),
        (*simulated, "status"),
        (*simulated, "metrics"),
        (*simulated, "guests"),
        (*simulated, "mem-set", "guest", "384"),
        ("plan", "--memory", "512", "--maxmem", "4G"),
        ("simulate", "balloon-up", "--explain", "--plot", "plot.svg"),
        ("config", "show"),
    )
    assert {word for words in commands for word in words} | {"run", "install-service"} >= {
        *COMMANDS
    }
    asked = """if True:
        import json, os, runpy, sys
        every_capture, program, commands, folder = sys.argv[1:]
        os.mkdir(folder)
        os.chdir(folder)
        said_by = runpy.run_path(every_capture)["said_by"]
        for words in json.loads(commands):
            print(words, *said_by(program, words), sep="\\n", flush=True)
    """
    outcomes = []
    for flags, by in (("-I", TREE / "agent" / "__main__.py"), ("-IS", program)):
        folder = tmp_path / f"by{flags}"
        given = (EVERY_CAPTURE, by, json.dumps(commands), folder)
        ran = subprocess.run(
            [sys.executable, flags, "-c", asked, *given],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout
        written = {path.name: path.read_bytes() for path in folder.iterdir()}
        written["capture.tar.gz"] = gzip.decompress(written["capture.tar.gz"])  # it has a time
        assert {*written} == {"capture.tar.gz", "metrics.prom", "plot.svg"}, ran.stdout
        outcomes.append((ran.stdout, written))
    installed, one = outcomes
    assert one == installed


def test_code_for_the_running_python_is_used(program: Path, tmp_path: Path) -> None:
    parts = onefile.taken_apart(str(program))
    assert list(parts.codes) == [sys.implementation.cache_tag]
    with zipfile.ZipFile(io.BytesIO(parts.archive)) as archive:
        front = archive.read("__main__.py")
    only_the_front = io.BytesIO()
    with zipfile.ZipFile(only_the_front, "w") as archive:
        archive.writestr("__main__.py", front)
    hollow = tmp_path / "hollow.pyz"
    hollow.write_bytes(parts._replace(archive=only_the_front.getvalue()).joined())
    assert run(hollow, "--version").stdout == run(program, "--version").stdout


def test_installed_it_is_started_by_the_python_that_installed_it_with_code_for_it(
    modules: Path, tmp_path: Path
) -> None:
    bare, image = tmp_path / "bare.pyz", tmp_path / "image"
    build("join", modules, bare)
    image.mkdir()
    assert run(bare, "install-service", "--into", str(image)).returncode == 0
    command = image / "usr/local/bin/balloon-agent"
    assert command.read_bytes().startswith(f"#!{sys.executable} -I\n".encode())
    assert list(onefile.taken_apart(str(command)).codes) == [sys.implementation.cache_tag]
    assert run(command, "--version").returncode == 0
    unit = (image / "etc/systemd/system/balloon-agent.service").read_text()
    assert "\nExecStart=/usr/local/bin/balloon-agent run\n" in unit

    before = command.read_bytes()
    assert run(command, "install-service", "--into", str(image)).returncode == 0
    assert command.read_bytes() == before
    assert run(command, "install-service", "--into", str(image), "--remove").returncode == 0
    assert list(image.iterdir()) == []


def test_an_older_python_can_read_the_front_to_be_told_what_is_wanted() -> None:
    ast.parse(FRONT.read_text(), feature_version=(3, 6))
    assert "from __future__ import annotations" not in FRONT.read_text()  # Python 3.7's


@pytest.mark.xenstored
def test_the_daemon_goes_to_rest_and_comes_back_out_of_the_one_file(
    program: Path, tmp_path: Path, guest: Guest, dom0: RawClient
) -> None:
    config = tmp_path / "quiet.toml"
    config.write_text('[timing]\nquiet = "100ms"\n')
    root = kernel_files(simple_guest()[1], tmp_path / "root")
    start = (
        f"import os, sys; os.execv(sys.executable, [sys.executable, '-IS', {str(program)!r}, "
        "'--root', sys.argv[1], '--xenstore', sys.argv[2], 'run', *sys.argv[3:]])"
    )
    with DaemonProcess(root, guest.path, "--config", str(config), start=start) as process:
        process.ready()
        process.wait_for_rest()
        dom0.write(f"{HOME}/memory/target", 524284)
        wait_until(dom0, f"{BALLOON}/host_target_kb", b"524284")
        process.wait_for_rest()
        assert process.end() == 0
        assert process.status()["daemon"]["rests"] == 2
        assert "afresh" not in process.stderr
