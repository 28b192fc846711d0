# SPDX-License-Identifier: GPL-2.0-or-later
"""`balloon-agent install-service`, into the root of an image and refused on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from agent import exit_codes, service_files
from agent.cli.main import main
from agent.daemon.config.text import default_text

UNIT = "etc/systemd/system/balloon-agent.service"
CONFIG = "etc/balloon-agent/config.toml"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return tmp_path


def install(image: Path, *options: str) -> int:
    return main(["install-service", "--into", str(image), *options])


def files(image: Path) -> set[str]:
    return {str(path.relative_to(image)) for path in image.rglob("*") if path.is_file()}


def test_it_writes_unit_and_configuration_and_says_so(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(image) == exit_codes.OK
    assert files(image) == {UNIT, CONFIG}
    said = capsys.readouterr().out
    assert f"wrote  {image / UNIT}" in said
    assert "systemctl enable --now balloon-agent\n" in said


def test_the_unit_starts_the_interpreter_that_is_running_isolated(image: Path) -> None:
    install(image)
    assert f"\nExecStart={sys.executable} -I -m agent run" in (image / UNIT).read_text()
    assert "/usr/bin/balloon-agent" not in (image / UNIT).read_text()


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


def test_metrics_come_when_asked_for_and_go_with_the_rest(image: Path) -> None:
    install(image, "--metrics")
    assert len(files(image)) == 4
    install(image, "--remove")
    assert not files(image)
    assert not (image / CONFIG).parent.exists()


def test_installing_twice_is_installing_once(image: Path) -> None:
    install(image)
    before = (image / UNIT).read_bytes()
    assert install(image) == exit_codes.OK
    assert (image / UNIT).read_bytes() == before


def test_a_unit_of_somebody_else_is_neither_overwritten_nor_removed(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (image / UNIT).parent.mkdir(parents=True)
    (image / UNIT).write_text("[Unit]\n")
    assert install(image) == exit_codes.CANNOT_CREATE
    assert "is not from this command" in capsys.readouterr().err
    assert install(image, "--remove") == exit_codes.OK
    assert files(image) == {UNIT}


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

    monkeypatch.setattr(os, "makedirs", refuse)
    assert install(image) == exit_codes.NO_PERMISSION
    assert str(image / "etc/systemd/system") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("executable", "owner", "says"),
    [
        ("/home/me/venv/bin/python", 0, "sandbox hides home"),
        ("/root/venv/bin/python", 0, "sandbox hides home"),
        ("/tmp/venv/bin/python", 0, "sandbox hides home"),
        ("/opt/with space/bin/python", 0, "systemd would not take"),
        ("/opt/100%/bin/python", 0, "systemd would not take"),
        ("/opt/balloon-agent/bin/python", 1000, "could then act as root"),
    ],
)
def test_an_interpreter_that_cannot_serve_root_is_refused(
    executable: str, owner: int, says: str
) -> None:
    assert says in (service_files.unfit(executable, owner) or "")


def test_an_interpreter_of_root_below_opt_is_fit() -> None:
    assert service_files.unfit("/opt/balloon-agent/bin/python3", 0) is None
