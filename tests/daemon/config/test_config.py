# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration files: what is taken, what is refused, and in which words."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from agent.core.policy.settings import PolicySettings
from agent.daemon.config.effective import ConfigError
from agent.daemon.config.keys import KEYS
from agent.daemon.config.load import load_config
from agent.daemon.config.text import default_text, effective_text
from agent.daemon.config.values import distance, nearest


def write(directory: Path, text: str, name: str = "config.toml") -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_without_any_file_everything_is_at_its_default(tmp_path: Path) -> None:
    config = load_config(directory=str(tmp_path))

    assert config.policy == PolicySettings()
    assert config.profile == "auto"
    assert config.files == ()


def test_every_kind_of_value_is_understood(tmp_path: Path) -> None:
    write(
        tmp_path,
        'mode = "guard"\nfloor = "1.5 GiB"\nonline_blocks = false\n'
        '[timing]\ngrace = "500ms"\ncooldown = "1min"\n[guard]\nstall = 2.5\n'
        '[self]\nreserve_percent = 5.7\n[publish]\nprofile = "qubes"\n',
    )
    config = load_config(directory=str(tmp_path))

    assert config.policy.mode == "guard"
    assert config.policy.floor_kib == 1536 * 1024
    assert config.policy.online_blocks is False
    assert (config.policy.grace_s, config.policy.cooldown_s) == (0.5, 60.0)
    assert config.policy.guard_stall_percent == 2.5
    assert config.policy.self_reserve_percent == 5.7
    assert config.profile == "qubes"


def test_drop_ins_win_in_the_order_of_their_names(tmp_path: Path) -> None:
    write(tmp_path, 'mode = "observe"\nfloor = "64M"\n')
    write(tmp_path, 'mode = "guard"\n', "config.d/20-later.toml")
    write(tmp_path, 'mode = "self"\n', "config.d/10-earlier.toml")
    write(tmp_path, "nonsense", "config.d/ignored.txt")
    config = load_config(directory=str(tmp_path))

    assert config.policy.mode == "guard"
    assert config.policy.floor_kib == 64 * 1024
    assert config.came_from["mode"].endswith("20-later.toml")


def test_a_file_named_on_the_command_line_stands_alone(tmp_path: Path) -> None:
    write(tmp_path, 'mode = "observe"\n')
    named = write(tmp_path, 'floor = "64M"\n', "mine.toml")

    assert load_config(str(named), str(tmp_path)).policy.mode == "follow"
    with pytest.raises(ConfigError, match="No such file"):
        load_config(str(tmp_path / "absent.toml"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('mod = "guard"', "mod': no such key; did you mean mode?"),
        ('flor = "64M"', "did you mean floor?"),
        ("[timing]\ngrase = 1", "timing.grase': no such key; did you mean timing.grace?"),
        ("[nothing]\nlike_it = 1", "nothing': no such key; see `balloon-agent config show`"),
        ('mode = "gaurd"', "mode: 'gaurd' is none of observe, follow, guard, self"),
        ("mode = 1", "mode: 1 is none of"),
        ('rest = "sometimes"', "rest: 'sometimes' is none of auto, never"),
        ('[timing]\nquiet = "50ms"', "timing.quiet: '50ms' is not within 0.1 to 3600 s"),
        ("floor = 64", "floor: 64 is not a size"),
        ('floor = "64 furlongs"', "is not a size"),
        ('floor = "1M"', "floor: '1M' is not within 32 MiB and more"),
        ("online_blocks = 1", "online_blocks: write true or false"),
        ("[timing]\ngrace = 2", "timing.grace: 2 is not a time"),
        ('[timing]\ngrace = "2h"', "timing.grace: '2h' is not within 0.1 to 60 s"),
        ("[guard]\nstall = true", "guard.stall: True is not a number of percent"),
        ("[guard]\nstall = nan", "guard.stall: nan is not within"),
        ("guard = 1", "guard: a table, written as [guard]"),
        ("mode = ", "not TOML"),
        ("[guard", "not TOML"),
        ("[guard]\n[guard]", "not TOML"),
        ("[gard]", "gard': no such key"),
        ('"\\u001b[31m" = 1', "\\x1b[31m"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load_config(directory=str(tmp_path))

    assert str(refused.value).startswith(f"{path}: ")
    assert words in str(refused.value)


def test_files_that_cannot_be_read_are_errors_not_defaults(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(ConfigError, match="directory"):
        load_config(directory=str(tmp_path))


def test_a_huge_file_and_one_that_is_no_text_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "#" * 300_000)
    with pytest.raises(ConfigError, match="longer than"):
        load_config(directory=str(tmp_path))
    (tmp_path / "config.toml").write_bytes(b"a = \xff\xfe")
    with pytest.raises(ConfigError, match="not TOML: no UTF-8 text, see byte 4"):
        load_config(directory=str(tmp_path))


@pytest.mark.parametrize("pause_s", [0.0, 0.2])
def test_a_pipe_named_on_the_command_line_is_waited_for(pause_s: float) -> None:
    """As `--config <(command)` hands it over, whose command may think before it writes."""
    reader, writer = os.pipe()

    def write() -> None:
        time.sleep(pause_s)
        os.write(writer, b'mode = "guard"\n')
        time.sleep(pause_s)
        os.write(writer, b"online_blocks = false\n")
        os.close(writer)

    thread = threading.Thread(target=write)
    thread.start()
    policy = load_config(f"/proc/self/fd/{reader}").policy
    thread.join()
    os.close(reader)
    assert (policy.mode, policy.online_blocks) == ("guard", False)


def test_a_pipe_that_gives_nothing_is_no_empty_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.daemon.config.load._PIPE_WAIT_MS", 20)
    reader, writer = os.pipe()
    with pytest.raises(ConfigError, match="a pipe that does not give a whole file"):
        load_config(f"/proc/self/fd/{reader}")
    os.write(writer, b"mode = ")
    with pytest.raises(ConfigError, match="a pipe that does not give a whole file"):
        load_config(f"/proc/self/fd/{reader}")  # and nobody has closed it
    os.close(writer)
    with pytest.raises(ConfigError, match="a pipe that does not give a whole file"):
        load_config(f"/proc/self/fd/{reader}")
    os.close(reader)
    os.mkfifo(tmp_path / "config.toml")
    begin_s = time.monotonic()
    with pytest.raises(ConfigError, match="a pipe that does not give a whole file"):
        load_config(directory=str(tmp_path))
    assert time.monotonic() - begin_s < 1


def test_a_key_of_many_parts_is_refused_at_once(tmp_path: Path) -> None:
    """The parser's time grows with the square of them."""
    for text in (
        "a." * 100_000 + "b = 1",
        "[" + "a." * 100_000 + "b]",
        "x = {" + "a." * 99 + "b=1}",
    ):
        (tmp_path / "config.toml").write_text(text)
        begin_s = time.process_time()
        with pytest.raises(ConfigError, match="over 64 dots"):
            load_config(directory=str(tmp_path))
        assert time.process_time() - begin_s < 1


def test_the_shipped_file_changes_nothing_and_its_keys_are_the_defaults(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[3] / "systemd" / "config.toml"
    assert shipped.read_text() == default_text()
    assert load_config(str(shipped)).values == load_config(directory=str(tmp_path)).values

    uncommented = "\n".join(
        line.removeprefix("#") if line.startswith("#") and not line.startswith("# ") else line
        for line in default_text().splitlines()
    )
    all_set = load_config(str(write(tmp_path, uncommented)))
    assert set(all_set.came_from) == {key.name for key in KEYS}
    assert all_set.policy == PolicySettings()


def test_what_show_prints_can_be_read_again(tmp_path: Path) -> None:
    write(tmp_path, 'mode = "self"\nfloor = "100000K"\n[timing]\ngrace = "250ms"\n')
    config = load_config(directory=str(tmp_path))
    again = load_config(str(write(tmp_path, effective_text(config), "shown.toml")))

    assert again.policy == config.policy


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(max_size=20), st.one_of(st.text(), st.integers(), st.booleans())))
def test_no_key_and_no_value_is_more_than_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, pairs: dict[str, object]
) -> None:
    lines = [f"{ascii_key(name)} = {toml(value)}" for name, value in pairs.items()]
    path = write(tmp_path_factory.mktemp("config"), "\n".join(lines))
    with suppress(ConfigError):
        load_config(str(path))


def ascii_key(name: str) -> str:
    return '"' + "".join(f"\\U{ord(c):08x}" for c in name if not 0xD800 <= ord(c) < 0xE000) + '"'


def toml(value: object) -> str:
    return ascii_key(value) if isinstance(value, str) else str(value).lower()


def test_the_distance_between_words_is_counted_in_letters() -> None:
    assert distance("floor", "flor") == 1
    assert distance("", "abc") == 3
    assert nearest("mode", ("mode", "floor")) == "mode"
    assert nearest("x" * 1000, ("mode",)) is None
