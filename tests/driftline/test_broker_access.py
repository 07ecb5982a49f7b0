"""Credentials of devices: a real mosquitto lets each publish on its own topics, and on no others."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from driftline.access.broker_access import READER, BrokerAccess, BrokerAccessError
from driftline.access.device_snippets import (
    FIRMWARE,
    Entered,
    broker_lines,
    certified_broker_lines,
    snippet,
    try_line,
)
from driftline.cli.command_line import main
from driftline.runtime.broker_diagnosis import broker_problem
from ingest.broker_settings import BrokerSettings

WaitFor = Callable[..., None]
_PUBLISH = ["mosquitto_pub", "-V", "5", "-q", "1", "-h", "127.0.0.1"]


def published(broker: Any, user: str, password: str, topic: str) -> str:
    """What mosquitto_pub says of one message; empty where it was taken."""
    command = [*_PUBLISH, "-p", str(broker.port), "-u", user, "-P", password, "-t", topic, "-m", "21.5"]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
    return ran.stdout + ran.stderr


@pytest.mark.service("mosquitto", "mosquitto_pub")
def test_a_device_publishes_on_its_own_topics_and_as_no_other(
    mosquitto: Any, tmp_path: Path, wait_until: WaitFor
) -> None:
    access = BrokerAccess(tmp_path / "access")
    _, pump = access.add("pump-01")
    _, lamp = access.add("lamp", "tasmota")
    broker = mosquitto
    broker.stop()
    broker.extra = broker_lines(str(access.passwords), str(access.acl)) + "\n"
    broker.anonymous = broker.asks = False
    broker.start()
    assert published(broker, "pump-01", pump, "pump-01/temperature") == ""
    assert published(broker, "lamp", lamp, "tele/lamp/SENSOR") == ""
    for topic in ("lamp/temperature", "tele/lamp/SENSOR", "pump-010/temperature", "pump/x"):
        assert "Not authorized" in published(broker, "pump-01", pump, topic), topic
    assert "not authori" in published(broker, "lamp", pump, "tele/lamp/SENSOR").lower()
    reader_password = access.reader_password.read_text().strip()
    assert "Not authorized" in published(broker, READER, reader_password, "x")
    for topic in (
        "spBv1.0/plant/NCMD/line1",
        "driftline/alarms/availability",
        "homeassistant/sensor/driftline/x/config",
    ):
        assert published(broker, READER, reader_password, topic) == ""
    _, again = access.rotate("pump-01")
    access.revoke("lamp")
    os.kill(broker.pid, signal.SIGHUP)
    wait_until(lambda: published(broker, "pump-01", again, "pump-01/temperature") == "")
    assert "not authori" in published(broker, "pump-01", pump, "pump-01/temperature").lower()
    assert "not authori" in published(broker, "lamp", lamp, "tele/lamp/SENSOR").lower()


def test_no_password_is_kept_and_the_files_are_not_for_everyone(tmp_path: Path) -> None:
    access = BrokerAccess(tmp_path / "access")
    _, password = access.add("pump-01")
    for path in access.folder.iterdir():
        assert password not in path.read_text()
        assert path.stat().st_mode & 0o007 == 0, path


@pytest.mark.parametrize(
    ("name", "profile", "topics", "said"),
    [
        ("pump 1", "", [], 'DEVICE: got "pump 1", expected a name of letters'),
        ("a:b", "", [], "expected a name of letters"),
        (READER, "", [], 'not "driftline"'),
        ("pump", "sparkplug", [], '--topic: missing: which topics does a device of profile "sparkplug" publish on?'),
        ("pump", "", ["plant/+/x"], '--topic: got "plant/+/x", expected a topic'),
        ("pump", "", ["a\ntopic readwrite #"], "expected a topic"),
    ],
)
def test_what_cannot_be_a_login_is_said(tmp_path: Path, name: str, profile: str, topics: list[str], said: str) -> None:
    access = BrokerAccess(tmp_path / "access")
    with pytest.raises(BrokerAccessError) as error:
        access.add(name, profile, topics)
    assert said in str(error.value)
    assert access.logins() == []


def test_a_name_that_is_there_or_is_not_is_said(tmp_path: Path) -> None:
    access = BrokerAccess(tmp_path / "access")
    access.add("pump-01")
    with pytest.raises(BrokerAccessError, match='"pump-01" is there already; rotate gives it another password'):
        access.add("pump-01")
    with pytest.raises(BrokerAccessError, match='unknown device "pump-02"; did you mean "pump-01"'):
        access.revoke("pump-02")


@pytest.mark.parametrize("firmware", FIRMWARE)
def test_each_piece_names_the_broker_the_user_and_the_password(tmp_path: Path, firmware: str) -> None:
    login, password = BrokerAccess(tmp_path / "access").add("pump-01")
    text = snippet(Entered("broker.lan", 1884, login, password), firmware)
    assert all(each in text for each in ("broker.lan", "1884", "pump-01", password))


def test_the_line_to_try_is_one_that_a_shell_reads(tmp_path: Path) -> None:
    login, password = BrokerAccess(tmp_path / "access").add("pump-01")
    assert try_line(Entered("broker.lan", 1883, login, password)) == (
        f"mosquitto_pub -h broker.lan -p 1883 -u pump-01 -P {password} -i pump-01 -t pump-01/test "
        "-m '{\"temperature\": 21.5}'"
    )


def test_the_command_prints_what_to_enter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["devices", "add", "lamp", "--profile", "tasmota", "--data", str(tmp_path), "--url", "mqtt://broker.lan"]
    assert main(given) == 0
    said = capsys.readouterr().out
    assert "topics    tele/lamp/#, stat/lamp/#, cmnd/lamp/#, tasmota/discovery/#   (it publishes on no others)" in said
    assert f"password_file {tmp_path}/broker-access/passwords\nacl_file {tmp_path}/broker-access/acl\n" in said
    assert "Backlog MqttHost broker.lan; MqttPort 1883; MqttUser lamp; MqttPassword " in said
    assert main(["devices", "logins", "--data", str(tmp_path), "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith('device,profile,topics,by\nlamp,tasmota,"tele/lamp/#, stat/lamp/#')
    assert main(["devices", "revoke", "lamp", "--data", str(tmp_path)]) == 0
    assert '"lamp" may sign in no more.' in capsys.readouterr().out
    assert main(["devices", "rotate", "lamp", "--data", str(tmp_path)]) == 2
    assert 'unknown device "lamp"' in capsys.readouterr().err


def published_with(broker: Any, files: tuple[Path, Path], authority: Path, topic: str) -> bool:
    """Whether the broker takes a message of a client that shows a certificate."""
    shown = ["--cert", str(files[0]), "--key", str(files[1])]
    command = [*_PUBLISH, "-p", str(broker.port), "--cafile", str(authority), *shown, "-t", topic, "-m", "21.5"]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
    return (ran.returncode, ran.stdout + ran.stderr) == (0, "")


@pytest.mark.service("mosquitto", "mosquitto_pub")
def test_a_device_is_known_by_its_certificate(mosquitto: Any, tmp_path: Path) -> None:
    access = BrokerAccess(tmp_path / "access")
    access.add_certified("pump-01", hosts=["127.0.0.1"])
    access.add_certified("lamp", "tasmota")
    authority = access.authority
    broker = mosquitto
    server = (str(authority.server[0]), str(authority.server[1]))

    def restart() -> None:
        broker.stop()
        lines = certified_broker_lines(
            port=broker.port, acl=str(access.acl), authority=str(authority.certificate), server=server,
            revoked=str(authority.revoked),
        )  # fmt: skip
        broker.extra = lines.partition("\n")[2] + "\n"
        broker.anonymous = broker.asks = False
        broker.start()

    restart()
    own = authority.client("pump-01")
    assert published_with(broker, own, authority.certificate, "pump-01/temperature")
    assert not published_with(broker, own, authority.certificate, "lamp/temperature")
    assert published_with(broker, authority.client("lamp"), authority.certificate, "tele/lamp/SENSOR")
    reader = authority.client(READER)
    own_settings = BrokerSettings(
        url=f"mqtts://127.0.0.1:{broker.port}",
        tls_ca=authority.certificate,
        tls_certificate=reader[0],
        tls_key=reader[1],
    )
    assert broker_problem(own_settings, None, ["#"]) == ""
    other = BrokerAccess(tmp_path / "other")
    other.add_certified("pump-01")
    assert not published_with(broker, other.authority.client("pump-01"), authority.certificate, "pump-01/t")

    before = tuple(path.with_name(f"old-{path.name}") for path in own)
    for path, kept in zip(own, before, strict=True):
        kept.write_bytes(path.read_bytes())
    assert access.rotate("pump-01")[1] == ""
    access.revoke("lamp")
    restart()
    assert published_with(broker, own, authority.certificate, "pump-01/temperature")
    assert not published_with(broker, (before[0], before[1]), authority.certificate, "pump-01/temperature")
    assert not published_with(broker, authority.client("lamp"), authority.certificate, "tele/lamp/SENSOR")
    for path in (own[1], authority.server[1], authority.folder / "ca.key"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_command_says_where_the_certificate_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["devices", "add", "pump", "--certificate", "--data", str(tmp_path), "--url", "mqtt://broker.lan"]
    assert main(given) == 0
    said = capsys.readouterr().out
    folder = tmp_path / "broker-access" / "certificates"
    assert f"certificate  {folder}/devices/pump.crt" in said
    assert f"listener 8883\ncafile {folder}/ca.crt\n" in said
    assert f'url = "mqtts://broker.lan:8883"\ntls_ca = "{folder}/ca.crt"' in said
    assert f"mosquitto_pub -h broker.lan -p 8883 --cafile {folder}/ca.crt --cert {folder}/devices/pump.crt" in said
    assert main(["devices", "logins", "--data", str(tmp_path), "--format", "csv"]) == 0
    assert capsys.readouterr().out == "device,profile,topics,by\npump,,pump/#,certificate\n"
