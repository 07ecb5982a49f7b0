"""`driftline explain`: what each stage makes of one message, as it is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftline.cli.command_line import main

pytestmark = pytest.mark.usefixtures("in_an_empty_folder")

Captured = pytest.CaptureFixture[str]


def test_explain_shows_each_stage(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "driftline.toml").write_text(
        '[[routes]]\nname = "other"\nfilter = "x/#"\n[[routes]]\nname = "pumps"\nfilter = "plant/+"\n'
        'device = "{topic[1]}"\ndetectors = ["slow"]\n[detectors.slow]\ntype = "zscore"\nwarmup = 77\n'
    )
    payload = '{"temperature": 21.5, "time": "2026-03-01T12:00:00Z"}'
    assert main(["explain", "plant/pump-01", payload]) == 0
    out = capsys.readouterr().out
    assert '"other" (x/#) does not match' in out
    assert '"pumps" (plant/+) takes it, and reads it as auto' in out
    assert '"pump-01" "temperature" = 21.5 at 2026-03-01T12:00:00.000000000Z' in out
    assert 'by "slow" (zscore (warmup = 77)): first score after 77 readings' in out
    assert "1 point would be stored" in out


def test_explain_shows_properties_and_what_the_route_makes_of_them(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "driftline.toml").write_text(
        '[[routes]]\nfilter = "#"\ndevice = "{topic[0]}/{property:serial}"\n'
        'properties = { unit = "unit", time = "at", codecs = { "application/json" = "json" } }\n'
    )
    given = ["--property", "serial=A1", "--property", "unit=°C", "--content-type", "application/json"]
    assert main(["explain", "hall", '{"heat": 20}', *given]) == 0
    out = capsys.readouterr().out
    assert 'user property "serial" = "A1"' in out
    assert 'user property "serial" is in the name of its device or metric' in out
    assert 'user property "unit" says its unit' in out
    assert 'it asks for a user property "at", which the message does not have' in out
    assert 'content type "application/json" chooses the codec json' in out
    assert '"hall/A1" "heat" = 20 °C on arrival' in out
    assert main(["explain", "hall", "1", "--property", "serial"]) == 2
    assert '--property: got "serial", expected NAME=VALUE' in capsys.readouterr().err


def test_explain_says_what_makes_a_row_of_a_device(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "driftline.toml").write_text(
        '[[routes]]\nfilter = "#"\ndetectors = ["default", "whole"]\n[detectors.whole]\ntype = "pca"\nwarmup = 90\n'
    )
    assert main(["explain", "pump", '{"flow": 1, "power": 2}']) == 0
    by = '"pump" as a whole by "whole" (pca (warmup = 90)): '
    assert f'{by}flow, power make a row; first score after 90 rows, as "device:whole"' in capsys.readouterr().out
    assert main(["explain", "pump", '{"flow": 1}']) == 0
    assert f"{by}no score while flow is the device's one metric; it takes two" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("topic", "payload", "options", "said"),
    [
        ("a", '{"x": ', [], "the whole message is rejected: malformed"),
        ("a", "nan", [], "no data: no_value"),
        ("pump/set", "1", [], "no data: command"),
        ("a/#", "1", [], "bad_topic"),
        (
            "driftline/truth/pump",
            '{"x": 1}',
            [],
            "takes it, and ignores it: on driftline/truth/# Driftline itself publishes, and no device; "
            "a route whose own filter begins with driftline/truth/ reads it",
        ),
        (
            "driftline/alarms/pump/score",
            "9",
            [],
            "takes it, and ignores it: on driftline/alarms/# Driftline itself publishes, and no device\n",
        ),
    ],
)
def test_explain_says_why_nothing_is_stored(
    topic: str, payload: str, options: list[str], said: str, capsys: Captured
) -> None:
    assert main(["explain", topic, payload, *options]) == 1
    out = capsys.readouterr().out
    assert said in out
    assert "0 points would be stored" in out


@pytest.mark.parametrize("topic", ["shift/told", "hot/minutes"])
def test_explain_knows_what_notices_and_streams_publish(topic: str, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "driftline.toml").write_text(
        '[[notices]]\nname = "night"\nkind = "mqtt"\ntopic = "shift/told"\n[[streams]]\nname = "hot"\nfrom = "points"\n'
        'window = { size = "1m" }\n'
        'sql = "select device, max(value) as high from window group by device"\nto = ["mqtt:hot/minutes"]\n'
    )
    assert main(["explain", topic, '{"high": 96}']) == 1
    assert "and ignores it: the topic is among those that hold no readings" in capsys.readouterr().out


def test_explain_says_what_is_odd_about_a_time_that_costs_nothing(capsys: Captured) -> None:
    assert main(["explain", "a", '{"x": 1, "time": "2199-01-01T00:00:00Z"}']) == 0
    out = capsys.readouterr().out
    assert "too far ahead of its arrival to be believed; its arrival counts instead" in out
    assert "1 point would be stored" in out


def test_explain_names_the_family_and_the_states(capsys: Captured) -> None:
    assert main(["explain", "zigbee2mqtt/hall/thermostat", '{"local_temperature": 18.5, "system_mode": "heat"}']) == 0
    out = capsys.readouterr().out
    assert "as zigbee2mqtt (profile zigbee2mqtt), and reads it as json" in out
    assert '"hall/thermostat" "local_temperature" = 18.5 °C on arrival' in out
    assert '"hall/thermostat" "system_mode" is "heat"' in out


def test_explain_reads_a_payload_from_a_file(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "payload").write_bytes(b"21.5")
    assert main(["explain", "room/temperature", "@payload"]) == 0
    assert '"room" "temperature" = 21.5' in capsys.readouterr().out
    assert main(["explain", "room/temperature", "@nowhere"]) == 2
    assert "nowhere: cannot be read" in capsys.readouterr().err
