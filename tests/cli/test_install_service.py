# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent install-service`, into the root of an image and refused on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from agent import exit_codes
from agent.cli.main import main
from agent.daemon.config.text import default_text
from agent.service import fitness
from tests.support.captured import QUICK

UNIT = "etc/systemd/system/balloon-agent.service"
SCRIPT = "etc/init.d/balloon-agent"
CONFIG = "etc/balloon-agent/config.toml"
COMMAND = "usr/local/bin/balloon-agent"
MANUAL = "usr/local/share/man/man1/balloon-agent.1"
COMPLETIONS = {
    "usr/local/share/bash-completion/completions/balloon-agent",
    "usr/local/share/zsh/site-functions/_balloon-agent",
    "usr/local/share/fish/vendor_completions.d/balloon-agent.fish",
}
RECORD = "usr/local/share/balloon-agent/installed"
ALL = {UNIT, CONFIG, COMMAND, MANUAL, RECORD, *COMPLETIONS}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return tmp_path


def install(image: Path, *options: str) -> int:
    return main(["install-service", "--into", str(image), *options])


def files(image: Path) -> set[str]:
    found = (path for path in image.rglob("*") if path.is_symlink() or path.is_file())
    return {str(path.relative_to(image)) for path in found}


def test_it_writes_all_of_a_service_and_says_so(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(image) == exit_codes.OK
    assert files(image) == ALL
    said = capsys.readouterr().out
    assert all(f"wrote  {image / path}" in said for path in ALL - {RECORD})
    assert "systemctl enable --now balloon-agent\n" in said


def test_the_unit_starts_the_interpreter_that_is_running_isolated(image: Path) -> None:
    install(image)
    assert f"\nExecStart={sys.executable} -I -m agent run" in (image / UNIT).read_text()
    assert "/usr/bin/balloon-agent" not in (image / UNIT).read_text()


def test_the_command_leads_into_the_environment_that_is_running(image: Path) -> None:
    install(image)
    assert os.readlink(image / COMMAND) == os.path.join(sys.prefix, "bin", "balloon-agent")


def test_the_completions_are_the_commands_own(image: Path) -> None:
    install(image)
    for path in COMPLETIONS:
        assert "_BALLOON_AGENT_COMPLETE" in (image / path).read_text()
    zsh = (image / "usr/local/share/zsh/site-functions/_balloon-agent").read_text()
    assert zsh.startswith("#compdef balloon-agent\n")


def test_where_openrc_starts_services_it_gets_its_script(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (image / "sbin").mkdir()
    (image / "sbin/openrc-run").touch()
    assert install(image) == exit_codes.OK
    assert files(image) == ALL - {UNIT} | {SCRIPT, "sbin/openrc-run"}
    script = image / SCRIPT
    assert script.read_text().startswith("#!/sbin/openrc-run\n")
    assert 'command="/usr/local/bin/balloon-agent"\n' in script.read_text()
    assert os.access(script, os.X_OK)
    assert "rc-update add balloon-agent" in capsys.readouterr().out
    assert install(image, "--remove") == exit_codes.OK
    assert files(image) == {"sbin/openrc-run"}


def test_openrc_has_no_port_to_hold(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert install(image, "--init", "openrc", "--metrics") == exit_codes.USAGE
    assert "metrics --output FILE" in capsys.readouterr().err
    assert not files(image)


def test_the_configuration_is_the_shipped_one(image: Path) -> None:
    install(image)
    assert (image / CONFIG).read_text() == default_text()


def test_a_configuration_that_is_there_stays(image: Path) -> None:
    (image / CONFIG).parent.mkdir(parents=True)
    (image / CONFIG).write_text('mode = "observe"\n')
    assert install(image) == exit_codes.OK
    assert (image / CONFIG).read_text() == 'mode = "observe"\n'
    assert install(image, "--remove") == exit_codes.OK
    assert files(image) == {CONFIG}


def test_a_configuration_that_was_changed_stays_and_is_named(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(image)
    (image / CONFIG).write_text('mode = "observe"\n')
    assert install(image) == exit_codes.OK
    assert f"kept   {image / CONFIG}\n" in capsys.readouterr().out
    assert install(image, "--remove") == exit_codes.OK
    assert f"kept    {image / CONFIG}, which is not as" in capsys.readouterr().out
    assert files(image) == {CONFIG}
    assert (image / CONFIG).read_text() == 'mode = "observe"\n'


def test_a_configuration_that_nobody_changed_is_renewed_by_an_upgrade_and_goes_with_it(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr("agent.service.files.default_text", lambda: "# as it was then\n")
        install(image)
    assert (image / CONFIG).read_text() == "# as it was then\n"
    with monkeypatch.context() as earlier:
        earlier.setattr("agent.service.files.default_text", lambda: "# as it was later\n")
        install(image)
    assert (image / CONFIG).read_text() == "# as it was later\n"
    assert install(image, "--remove") == exit_codes.OK
    assert not list(image.iterdir())


@pytest.mark.parametrize("options", [(), ("--metrics",), ("--init", "openrc")])
def test_removed_the_directories_are_as_they_were(options: tuple[str, ...], image: Path) -> None:
    for there in ("etc/systemd/system", "usr/local/bin", "usr/local/share/zsh/site-functions"):
        (image / there).mkdir(parents=True)
    before = sorted(image.rglob("*"))
    assert install(image, *options) == exit_codes.OK
    assert install(image, *options) == exit_codes.OK
    assert install(image, "--remove") == exit_codes.OK
    assert sorted(image.rglob("*")) == before


def test_a_directory_where_somebody_else_put_a_file_stays(image: Path) -> None:
    install(image)
    other = image / "usr/local/share/fish/vendor_completions.d/other.fish"
    other.touch()
    assert install(image, "--remove") == exit_codes.OK
    assert files(image) == {str(other.relative_to(image))}
    assert not (image / "usr/local/share/zsh").exists()


def test_a_record_that_names_what_this_never_makes_has_nothing_of_it_removed(image: Path) -> None:
    install(image)
    (image / "srv").mkdir()
    with (image / RECORD).open("a") as record:
        record.write("directory srv\ndirectory ../elsewhere\n")
    assert install(image, "--remove") == exit_codes.OK
    assert list(image.iterdir()) == [image / "srv"]


def test_what_it_makes_is_for_everybody_to_read_whatever_the_umask(image: Path) -> None:
    before = os.umask(0o077)
    try:
        install(image)
    finally:
        os.umask(before)
    for path in image.rglob("*"):
        if path.is_symlink():  # into an environment, whose modes are its own
            continue
        assert path.stat().st_mode & 0o044 == 0o044, path
        assert path.is_file() or path.stat().st_mode & 0o011 == 0o011, path


def test_a_reader_that_goes_away_leaves_nothing_half_done(image: Path) -> None:
    for options, there in (((), ALL), (("--remove",), set())):
        ours, theirs = os.pipe()
        os.close(ours)
        with open(theirs, "wb") as output:
            command = [sys.executable, "-m", "agent", "install-service", "--into", image, *options]
            ended = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, check=False)
        assert (ended.returncode, ended.stderr) == (0, b"")
        assert files(image) == there


def test_broken_off_it_leaves_no_half_file_and_all_can_be_taken_back(
    image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(source: str, target: str) -> None:
        if target.endswith("_balloon-agent"):
            raise OSError(28, "No space left on device")
        os.rename(source, target)

    with monkeypatch.context() as small:
        small.setattr(os, "replace", full)
        assert install(image) == exit_codes.CANNOT_CREATE
    said = capsys.readouterr().err
    assert "site-functions/_balloon-agent: No space left on device." in said
    assert not [name for name in files(image) if name.endswith(".new")]
    assert install(image, "--remove") == exit_codes.OK
    assert not list(image.iterdir())


@pytest.mark.parametrize(
    ("options", "link", "says"),
    [
        (
            (),
            "etc/systemd/system/sysinit.target.wants/balloon-agent.service",
            "systemctl --root={} disable balloon-agent.service\n",
        ),
        (
            ("--metrics",),
            "etc/systemd/system/sockets.target.wants/balloon-agent-metrics.socket",
            "disable balloon-agent.service balloon-agent-metrics.socket\n",
        ),
        (
            ("--init", "openrc"),
            "etc/runlevels/default/balloon-agent",
            "chroot {} rc-update delete balloon-agent default\n",
        ),
    ],
)
def test_what_would_start_at_the_next_boot_is_disabled_first(
    options: tuple[str, ...],
    link: str,
    says: str,
    image: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    install(image, *options)
    (image / link).parent.mkdir(parents=True)
    (image / link).symlink_to("/wherever/it/is")
    before = files(image)
    assert install(image, "--remove") == exit_codes.CANNOT_CREATE
    told = capsys.readouterr().err
    assert "The service is enabled; first: " in told
    assert says.format(image) in told
    assert files(image) == before
    (image / link).unlink()
    assert install(image, "--remove") == exit_codes.OK
    assert not files(image)


def test_what_is_a_file_where_a_directory_should_be_is_named(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (image / "usr/local/share").mkdir(parents=True)
    (image / "usr/local/share/zsh").touch()
    assert install(image) == exit_codes.CANNOT_CREATE
    assert "usr/local/share/zsh" in capsys.readouterr().err
    assert install(image, "--remove") == exit_codes.OK
    assert files(image) == {"usr/local/share/zsh"}


def test_metrics_come_when_asked_for_and_go_with_the_rest(image: Path) -> None:
    install(image, "--metrics")
    assert len(files(image) - ALL) == 2
    install(image, "--remove")
    assert not files(image)
    assert not (image / CONFIG).parent.exists()


def test_installing_twice_is_installing_once(image: Path) -> None:
    install(image)
    before = (image / UNIT).read_bytes()
    assert install(image) == exit_codes.OK
    assert (image / UNIT).read_bytes() == before
    assert files(image) == ALL


@pytest.mark.parametrize("path", sorted(ALL - {CONFIG}))
def test_a_file_of_somebody_else_is_neither_overwritten_nor_removed(
    path: str, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (image / path).parent.mkdir(parents=True)
    (image / path).write_text("[Unit]\n")
    assert install(image) == exit_codes.CANNOT_CREATE
    assert "is not from this command" in capsys.readouterr().err
    assert install(image, "--remove") == exit_codes.OK
    assert files(image) == {path}


def test_what_is_planted_where_a_file_is_made_is_not_followed(image: Path) -> None:
    victim = image / "victim"
    victim.write_text("untouched")
    planted = image / f"{UNIT}.new"
    planted.parent.mkdir(parents=True)
    planted.symlink_to(victim)
    assert install(image) == exit_codes.OK
    assert victim.read_text() == "untouched"
    assert not (image / UNIT).is_symlink()


def test_beside_the_unit_of_a_package_it_has_nothing_to_do(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packaged = image / "lib/systemd/system/balloon-agent.service"
    packaged.parent.mkdir(parents=True)
    packaged.touch()
    assert install(image) == exit_codes.CANNOT_CREATE
    assert "systemctl enable --now balloon-agent is enough" in capsys.readouterr().err


def test_nothing_to_remove_is_said_and_no_error(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(image, "--remove") == exit_codes.OK
    assert capsys.readouterr().out == "Nothing here is from this command.\n"


@pytest.mark.parametrize("options", [[], ["--remove"], ["--metrics"]])
def test_on_this_machine_an_ordinary_user_is_refused_in_one_sentence(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["install-service", *options]) == exit_codes.NO_PERMISSION
    said = capsys.readouterr().err
    assert said.startswith("balloon-agent: Only root may")
    assert said.count("\n") == 1


def test_an_image_that_may_not_be_written_is_refused_by_name(
    image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: str, **_: object) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "mkdir", refuse)
    assert install(image) == exit_codes.NO_PERMISSION
    assert f"{image / 'usr'} may not be written by this user" in capsys.readouterr().err


class Owned:
    """Root's directories of mode 0755, but for those named: (user, group, mode) of each."""

    def __init__(self, odd: dict[str, tuple[int, int, int]]) -> None:
        self._odd = odd

    def __call__(self, path: str) -> os.stat_result:
        user, group, mode = self._odd.get(path, (0, 0, 0o755))
        return os.stat_result((mode, 0, 0, 1, user, group, 0, 0, 0, 0))


PREFIX = "/opt/balloon-agent"
PYTHON = f"{PREFIX}/bin/python"


@pytest.mark.parametrize(
    ("executable", "says"),
    [
        ("/home/me/venv/bin/python", "sandbox hides home"),
        ("/root/venv/bin/python", "sandbox hides home"),
        ("/tmp/venv/bin/python", "sandbox hides home"),
        ("/opt/with space/bin/python", "systemd would not take"),
        ("/opt/100%/bin/python", "systemd would not take"),
    ],
)
def test_an_interpreter_where_no_service_could_run_it_is_refused(
    executable: str, says: str
) -> None:
    assert says in (fitness.unfit((executable,), Owned({})) or "")


@pytest.mark.skipif(QUICK is None, reason="there is no /dev/shm")
def test_an_environment_that_a_link_leads_to_is_looked_for_where_it_is() -> None:
    with tempfile.TemporaryDirectory(dir=QUICK) as directory:
        link = Path(directory, "balloon-agent")
        link.symlink_to("/root/venv")
        why = fitness.unfit(("/usr/bin/python3", str(link)), Owned({}))
    assert "sandbox hides home" in (why or "")


@pytest.mark.parametrize("path", [PREFIX, PYTHON, f"{PREFIX}/bin", "/opt"])
@pytest.mark.parametrize(
    ("owned", "says"),
    [
        ((1000, 0, 0o755), "belongs to user 1000"),
        ((0, 0, 0o777), "Others than root may write"),
        ((0, 0, 0o1777), "Others than root may write"),
        ((0, 50, 0o775), "Others than root may write"),
    ],
)
def test_what_somebody_else_could_replace_does_not_serve_root(
    path: str, owned: tuple[int, int, int], says: str
) -> None:
    why = fitness.unfit((PYTHON, PREFIX), Owned({path: owned})) or ""
    assert says in why
    assert path in why


def test_an_interpreter_of_root_below_opt_is_fit() -> None:
    assert fitness.unfit((PYTHON, PREFIX), Owned({})) is None
    assert fitness.unfit((PYTHON, PREFIX), Owned({"/opt": (0, 0, 0o775)})) is None
