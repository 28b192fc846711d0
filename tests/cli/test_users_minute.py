# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens in the first minute: each mistake is one sentence that says what to do.

The rows run in this process, on a capture of a settled guest in `{guest}`, with `{empty}` an empty
directory and `{file}` a file that is no capture.  Streams that are closed or full need processes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from agent.cli.main import main
from tests import captures
from tests.support.unprivileged import TOP, as_nobody

GUEST: Final = ("--root", "{guest}")
NOT_XEN: Final = "Try a simulated one: balloon-agent --sim balloon-up status"


class Row(NamedTuple):
    """Words after `balloon-agent`, the exit status, and what the sentence has in it."""

    words: str
    status: int
    sentence: str


MISTAKES: Final = (
    # No command, or none that there is.
    Row("statsu", 64, "Did you mean 'status'? See balloon-agent --help."),
    Row("frobnicate", 64, "There is no command 'frobnicate'. See balloon-agent --help."),
    Row("config nope", 64, "No such command 'nope'. See balloon-agent config --help."),
    Row("config", 64, "Which of check, show? See balloon-agent config --help."),
    Row("--sim balloon-up", 64, "Which command? status, for example. See balloon-agent --help."),
    Row("--sim status", 64, "--sim wants a scenario before the command: balloon-agent --sim"),
    # Options.
    Row("status --nope", 64, "No such option"),
    Row("status --nope", 64, "See balloon-agent status --help."),
    Row("status extra", 64, "(extra). See balloon-agent status --help."),
    Row("--root", 64, "Option '--root' requires an argument. See balloon-agent --help."),
    Row("status --watch --interval 0", 64, "0.0 is not in the range 0.1<=x<=3600."),
    Row("status --watch --interval soon", 64, "'soon' is not a valid float"),
    Row("status --watch --interval nan", 64, "'nan' is not a number of seconds."),
    Row("doctor --seconds -1", 64, "-1.0 is not in the range 0<=x<=3600."),
    Row("doctor --seconds nan", 64, "'nan' is not a number of seconds."),
    Row("doctor --seconds inf", 64, "inf is not in the range"),
    # Domains that are none.
    Row("--root /nonexistent status", 64, "Directory '/nonexistent' does not exist."),
    Row("--root {file} status", 64, "is a file."),
    Row("--root {guest} --sim leak status", 64, "--root and --sim exclude each other"),
    Row("--xenstore /x status", 64, "--xenstore goes with --root"),
    Row("--root {guest} --xenstore /nonexistent status", 64, "there is no '/nonexistent'"),
    Row("--sim nope status", 64, "There is no scenario 'nope'. There are: balloon-up"),
    Row("--root {empty} status", 69, "is not a capture of a Xen domain"),
    Row("--root {empty} status --json", 69, "is not a capture of a Xen domain"),
    Row("--root {empty} doctor", 69, "is not a capture of a Xen domain"),
    Row("--root {empty} memmap", 69, "is not a capture of a Xen domain"),
    Row("--root {empty} metrics", 69, "is not a capture of a Xen domain"),
    Row("--root {empty} explain", 69, "is not a capture of a Xen domain"),
    Row("--root {empty} capture {empty}/x.tar.gz", 69, "is not a capture of a Xen domain"),
    Row("--root {empty} plan --target 512M", 69, "is not a capture of a Xen domain"),
    # Plans that cannot be made.
    Row("plan", 64, "Give --memory and --maxmem of a guest to plan, or --target"),
    Row("plan --memory abc --maxmem 1G", 64, "write for example 512M, 1.5G or 262144K."),
    Row("plan --memory -1 --maxmem 1G", 64, "'-1' is not a size"),
    Row("plan --memory 0 --maxmem 1G", 64, "take 64M or more."),
    Row("plan --memory 1500K --maxmem 1G", 64, "take 1M or 2M."),
    Row("plan --memory 2G --maxmem 1G", 64, "raise maxmem to 2048M or lower memory."),
    Row("plan --memory 9999999T --maxmem 9999999T", 64, "more than Linux can address"),
    Row("plan --memory 1G --maxmem 2G --type xyz", 64, "not one of 'pv', 'pvh', 'hvm', 'dom0'."),
    Row("plan --memory 1G --maxmem 2G --kernel x", 64, "is no Linux release; write for example"),
    Row("plan --memory 1G --maxmem 2G --arch arm", 64, "not one of 'x86_64', 'i386'."),
    Row("plan --memory 1G --maxmem 2G --videoram x", 64, "'x' is not a size"),
    Row("--root {guest} plan --target 512M --memory 1G", 64, "give one or the other."),
    # Files that cannot be written.
    Row("capture", 64, "Missing argument 'FILE.tar.gz'. See balloon-agent capture --help."),
    Row("--root {guest} capture /nonexistent/x.tgz", 73, "could not be written: No such file"),
    Row("--root {guest} capture {empty}", 64, "is a directory."),
    Row("--root {guest} capture {file}", 73, "exists; add --force to overwrite it."),
    Row("--sim leak capture x.tgz", 64, "leave out --sim"),
    Row("--root {guest} metrics --output /nonexistent/x", 73, "could not be written: No such"),
    Row("--root {guest} metrics --output {empty}", 64, "is a directory."),
    Row("simulate leak --plot /nonexistent/x.svg", 73, "x.svg could not be written: No such file"),
    # The simulation.
    Row("simulate", 64, "Which scenario? See balloon-agent simulate --list."),
    Row("simulate baloon-up", 64, "Did you mean 'balloon-up'?"),
    Row("simulate leak --seed x", 64, "'x' is not a valid integer. See balloon-agent simulate"),
    Row("simulate leak --agent gard", 64, "Did you mean 'guard'?"),
    Row("--sim leak explain", 64, "see balloon-agent simulate leak."),
    # The daemon and what it leaves.
    Row("--root {guest} explain", 4, "Is it running? systemctl status balloon-agent"),
    Row("config check --config /nonexistent", 78, "/nonexistent: No such file or directory."),
    Row("config show --config {file}", 78, "not TOML"),
    Row("install-service --nope", 64, "No such option"),
)  # fmt: skip

# A plugin says it on standard output, where Nagios looks, and ends with 3.
MISTAKES_OF_CHECK: Final = (
    Row("check -w 200%", 3, "'200%' is more than 100 %."),
    Row("check -w x", 3, "'x' is neither a size like 256M nor a share like 10%."),
    Row("check -w", 3, "Option '-w' requires an argument."),
    Row("check -w 5% -c 10%", 3, "-w is below -c: it would never warn."),
    Row("check -w 64M -c 128M", 3, "-w is below -c: it would never warn."),
    Row("check -d 20% -D 10%", 3, "-D is below -d: it would never warn."),
    Row("check --nope", 3, "No such option"),
    Row("--root /nonexistent check", 3, "Directory '/nonexistent' does not exist."),
    Row("--root {empty} check", 3, "is not a capture of a Xen domain"),
    Row("--sim nope check", 3, "There is no scenario 'nope'."),
)


@pytest.fixture
def filled(tmp_path: Path) -> dict[str, str]:
    """What stands in braces."""
    captures.load("pv-512-1024/boot").write_to(tmp_path / "guest")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no capture\n")
    return {name: str(tmp_path / name) for name in ("guest", "empty", "file")}


def named(row: Row) -> str:
    return row.words


def words_of(row: Row, filled: dict[str, str]) -> list[str]:
    return [word.format(**filled) for word in row.words.split()]


def test_a_sentence_that_asks_back_ends_in_its_question_mark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.toml"
    file.write_text('mod = "guard"\n')
    assert main(["config", "check", "--config", str(file)]) == 78
    assert capsys.readouterr().err.endswith("did you mean mode?\n")


@pytest.mark.parametrize("row", MISTAKES, ids=named)
def test_a_mistake_is_one_sentence_on_standard_error_and_its_status(
    row: Row, filled: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(words_of(row, filled))
    told = capsys.readouterr()
    assert (status, told.out) == (row.status, "")
    assert told.err.startswith("balloon-agent: ")
    assert told.err.count("\n") == 1
    assert row.sentence in told.err


@pytest.mark.parametrize("row", MISTAKES_OF_CHECK, ids=named)
def test_a_mistake_with_the_plugin_is_unknown_and_one_line_on_standard_output(
    row: Row, filled: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(words_of(row, filled))
    told = capsys.readouterr()
    assert (status, told.err) == (row.status, "")
    assert told.out.startswith("BALLOON UNKNOWN - ")
    assert told.out.count("\n") == 1
    assert row.sentence in told.out


def test_a_mistake_leaves_what_was_there(filled: dict[str, str]) -> None:
    main(["--root", filled["guest"], "capture", filled["file"]])
    main(["--root", filled["guest"], "metrics", "--output", filled["empty"]])
    assert Path(filled["file"]).read_text() == "no capture\n"
    assert list(Path(filled["empty"]).iterdir()) == []


@pytest.mark.parametrize("command", ["status", "doctor", "memmap", "explain"])
def test_an_unreadable_capture_is_said_to_an_ordinary_user(command: str, tmp_path: Path) -> None:
    """Files of another user that are closed to everybody: denied, not absent, and no traceback."""
    captures.load("pv-512-1024/boot").write_to(tmp_path / "tree")
    for directory in ("sys/devices/system/xen_memory/xen_memory0", "xenstore/memory"):
        (tmp_path / "tree" / directory).chmod(0)
    ended = as_nobody(
        tmp_path,
        f"""
        from agent.cli.main import main
        sys.exit(main(["--root", "tree", {command!r}]))
        """,
    )
    for directory in ("sys/devices/system/xen_memory/xen_memory0", "xenstore/memory"):
        (tmp_path / "tree" / directory).chmod(0o755)
    assert "Traceback" not in ended.stderr
    assert ended.returncode in (0, 1, 4)
    if command in ("status", "doctor"):
        assert "denied" in ended.stdout


STREAMS: Final = {
    "full": ('exec "$@" >/dev/full', 73),
    "closed": ('exec "$@" >&-', 0),
    "both closed": ('exec "$@" >&- 2>&-', 0),
    "nobody reads": ('"$@" | true; exit "${PIPESTATUS[0]}"', 0),
}
SHOWING: Final = (
    ("--root", "{guest}", "status"),
    ("--root", "{guest}", "status", "--json"),
    ("--root", "{guest}", "doctor"),
    ("--root", "{guest}", "memmap", "--json"),
    ("--root", "{guest}", "check"),
    ("--root", "{guest}", "metrics"),
    ("plan", "--memory", "512M", "--maxmem", "1G"),
    ("simulate", "--list"),
    ("config", "show"),
    ("--help",),
)


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("words", SHOWING, ids=lambda words: words[-1])
def test_an_output_that_goes_nowhere_is_no_traceback(
    words: tuple[str, ...], stream: str, filled: dict[str, str]
) -> None:
    how, status = STREAMS[stream]
    command = [sys.executable, "-m", "agent", *(word.format(**filled) for word in words)]
    ended = subprocess.run(
        ["bash", "-c", how, "bash", *command], cwd=TOP, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    if stream == "full" and "check" in words:
        status = 3
    assert ended.returncode == status
    expected = "balloon-agent: the output could not be written: No space left on device.\n"
    assert ended.stderr == (expected if stream == "full" else "")
