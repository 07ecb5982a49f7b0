"""People's own profiles, in a folder beside the configuration: recognised, checked, and kept over a restart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devices.messages import MessageChunk
from devices.profile import load_profiles
from driftline.cli.command_line import main
from driftline.config import Config, load_config
from driftline.config_errors import ConfigError
from driftline.profile_check import vector_errors
from driftline.runtime.recovery import engine_of_settings, new_engine
from storage.store import JournalEntry

Captured = pytest.CaptureFixture[str]
START = 1_784_800_800_000_000_000
MILL = """
name = "mill"
description = "Mills of our own."
reference = "https://wiki.example/mills"
subscribe = ["mills/#"]

[units]
load = "%"

[[messages]]
topics = ["mills/+/data"]
device = "mill {topic[1]}"
codec = { type = "json" }

[[vectors]]
name = "a reading"
topic = "mills/7/data"
payload = '{"load": 81.5}'
readings = [{ device = "mill 7", metric = "load", value = 81.5, unit = "%" }]

[[vectors]]
name = "cut off"
topic = "mills/7/data"
payload = '{"lo'
rejected = [{ reason = "malformed", detail = "byte" }]
"""


def configured(folder: Path, profile: str = MILL, text: str = "") -> Path:
    (folder / "profiles").mkdir()
    (folder / "profiles" / "mill.toml").write_text(profile)
    file = folder / "driftline.toml"
    file.write_text(text)
    return file


def received(config: Config) -> list[tuple[str, str, str, float]]:
    engine = new_engine(config, [])
    chunk = MessageChunk.of([(b"mills/7/data", b'{"load": 81.5}', START, 0)])
    points = engine.step(JournalEntry(0, 0, chunk)).points
    records = engine.registry.records
    return [
        (records[s].device, records[s].metric, records[s].unit, v)
        for s, v in zip(points.series.tolist(), points.value.tolist(), strict=True)
    ]


@pytest.mark.parametrize("text", ["", '[[routes]]\nprofile = "mill"\n'])
def test_a_device_of_an_own_profile_is_recognised_and_may_be_named(tmp_path: Path, text: str) -> None:
    config = load_config(configured(tmp_path, text=text))
    assert [profile.name for profile in config.own_profiles] == ["mill"]
    assert received(config) == [("mill 7", "load", "%", 81.5)]
    assert received(Config()) != received(config)


def test_the_settings_of_a_snapshot_hold_the_profile_itself(tmp_path: Path) -> None:
    file = configured(tmp_path, text='[[routes]]\nprofile = "mill"\n')
    before = new_engine(load_config(file), [])
    saved = json.loads(json.dumps(before.settings))
    again = engine_of_settings(saved, [])
    assert again is not None
    assert again.settings == before.settings
    (tmp_path / "profiles" / "mill.toml").write_text(MILL.replace("mill {topic[1]}", "M{topic[1]}"))
    assert new_engine(load_config(file), []).settings != before.settings
    assert new_engine(Config(), []).settings.keys() == before.settings.keys() - {"profiles"}


def test_check_runs_the_vectors(tmp_path: Path, capsys: Captured) -> None:
    assert main(["check", str(configured(tmp_path))]) == 0
    assert "profile mill: 2 vectors give what they say" in capsys.readouterr().out


def test_check_says_which_vector_gives_something_else(tmp_path: Path, capsys: Captured) -> None:
    assert main(["check", str(configured(tmp_path, MILL.replace("value = 81.5, unit", "value = 80.5, unit")))]) == 2
    assert capsys.readouterr().err == (
        'driftline: profiles/mill.toml: vector "a reading" on "mills/7/data": expected mill 7 load = 80.5 %; '
        "got mill 7 load = 81.5 %\n"
    )


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        (MILL.replace('"mills/+/data"', '"mills/+/data", 7'), "mill.toml"),
        (MILL.replace('name = "mill"', 'name = "mills"'), "name: 'mills', expected 'mill' like the file"),
        ("name = ", "mill.toml"),
    ],
)
def test_a_profile_that_is_none_is_refused_with_its_file(tmp_path: Path, profile: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(configured(tmp_path, profile))
    assert str(tmp_path / "profiles" / "mill.toml") in str(error.value)
    assert said in str(error.value)


def test_a_profile_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='unknown profile "tasmata"; did you mean "tasmota"'):
        load_config(configured(tmp_path, text='[[routes]]\nprofile = "tasmata"\n'))


def test_the_profiles_of_the_project_pass_the_same_check() -> None:
    failing = {name: list(vector_errors(profile, Config())) for name, profile in load_profiles().items()}
    assert {name: errors for name, errors in failing.items() if errors} == {}


def test_the_example_of_the_guide_is_right(tmp_path: Path, capsys: Captured) -> None:
    guide = Path(__file__).parents[2] / "docs" / "connect" / "own_profile.md"
    example = guide.read_text().split("```toml\n")[1].split("```")[0]
    assert main(["check", str(configured(tmp_path, example))]) == 0
    assert "profile mill: 2 vectors" in capsys.readouterr().out
