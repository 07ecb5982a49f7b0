"""The stack's files: valid by the specification, closed to the outside, understood by what reads them."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
import yaml
from compose_spec import PyCompose, PyOptions
from paho.mqtt.enums import CallbackAPIVersion
from simulated_plant import free_port_of_loopback

from driftline.config import parse_config

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = (DEPLOY / "compose.yaml").read_text()
STACK: dict[str, Any] = yaml.safe_load(COMPOSE)
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
DATABASES = ("influxdb", "victoriametrics")
LASTING = sorted(set(SERVICES) - {"dashboards", "simulator", "influxdb-tests"})


def tool(name: str) -> str:
    """A linter that comes with the development libraries."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is among the development libraries"
    return found


def test_the_compose_file_is_valid_by_the_specification() -> None:
    PyOptions(apply_merge=True).from_yaml(COMPOSE).validate()
    with pytest.raises(ValueError, match="helthcheck"):
        PyCompose.from_yaml("services:\n  a:\n    image: b\n    helthcheck: {}\n")


def test_what_a_service_names_is_declared() -> None:
    for service in SERVICES.values():
        mounted = {volume.split(":")[0] for volume in service.get("volumes", []) if not volume.startswith(".")}
        assert mounted <= set(STACK["volumes"])
        assert set(service.get("secrets", [])) <= set(STACK["secrets"])
        assert set(service.get("depends_on", {})) <= set(SERVICES)


def test_the_linters_find_nothing_but_missing_digests() -> None:
    asked = [tool("compose-lint"), "check", "--format", "json", str(DEPLOY / "compose.yaml")]
    found = subprocess.run(asked, check=False, capture_output=True, text=True, timeout=240)
    assert found.returncode == 0, found.stdout
    assert set(re.findall(r"CL-\d{4}", found.stdout)) <= {"CL-0019"}
    asked = [tool("hadolint"), str(DEPLOY / "Dockerfile")]
    found = subprocess.run(asked, check=False, capture_output=True, text=True, timeout=240)
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_contained(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert service["mem_limit"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    image, _, tag = service["image"].partition(":")
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag), image
    assert not [value for value in json.dumps(service.get("environment", {})).split('"') if "glsa_" in value]


@pytest.mark.parametrize("name", LASTING)
def test_a_lasting_service_has_a_health_check_and_its_state_in_a_volume(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"
    assert any(volume.split(":")[0] in STACK["volumes"] for volume in service["volumes"])


def test_secrets_are_files_that_the_script_makes(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "make-secrets", tmp_path)
    named = {Path(secret["file"]).name for secret in STACK["secrets"].values()}
    for _ in range(2):
        subprocess.run([str(tmp_path / "make-secrets")], check=True, capture_output=True, timeout=240)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert set(made) == named
    assert len(set(made.values())) == len(made)
    assert all(re.fullmatch("[0-9a-f]{48}", value) for value in made.values())
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert "/deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_mounted_files_exist_and_scripts_are_executable() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (DEPLOY / source).exists(), source
    for script in ("make-secrets", "influxdb/metrics-task.sh"):
        assert os.access(DEPLOY / script, os.X_OK)


@pytest.mark.parametrize("database", DATABASES)
def test_the_service_s_configuration_is_valid(database: str) -> None:
    config = parse_config((DEPLOY / "config" / f"{database}.toml").read_text())
    [sink] = config.sinks
    assert sink.type == database
    port = SERVICES[database]["ports"][0].rsplit(":", 1)[1]
    assert sink.url == f"http://{database}:{port}"
    assert config.broker.url == "mqtt://mosquitto:1883"
    asked = {str(config.broker.password_file), str(sink.token_file or config.broker.password_file)}
    assert asked <= {f"/run/secrets/{name}" for name in SERVICES["driftline"]["secrets"]}


@pytest.mark.service("victoria-metrics")
def test_victoria_metrics_understands_what_it_scrapes(tmp_path: Path) -> None:
    config = DEPLOY / "victoriametrics" / "scrape.yaml"
    asked = [
        "victoria-metrics",
        f"-promscrape.config={config}",
        "-promscrape.config.dryRun",
        "-promscrape.config.strictParse",
    ]
    found = subprocess.run(asked, check=False, capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert found.returncode == 0, found.stderr


def test_the_unit_runs_the_service_with_nothing_it_does_not_need() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "driftline.service")
    service = unit["Service"]
    assert service["ExecStart"].split()[0].endswith("/.venv/bin/driftline")
    assert service["ProtectSystem"] == "strict"
    for name in ("DynamicUser", "NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "RestrictNamespaces"):
        assert service[name] == "yes", name


@pytest.mark.optional_service("systemd-analyze")
def test_systemd_takes_the_unit_and_finds_it_little_exposed(tmp_path: Path) -> None:
    text = (DEPLOY / "driftline.service").read_text()
    unit = tmp_path / "driftline.service"
    # What is not installed here stands for what would be.
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE)
    unit.write_text(re.sub(r"^Documentation=.*$", "", text, flags=re.MULTILINE))
    for asked in (["verify"], ["security", "--offline=true", "--threshold=20"]):
        found = subprocess.run(
            ["systemd-analyze", *asked, str(unit)], check=False, capture_output=True, text=True, timeout=240
        )
        assert found.returncode == 0, found.stdout + found.stderr
        assert "Unknown" not in found.stderr


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    """The stack's own mosquitto: its script, configuration and rules, with the container's paths put below a folder."""
    port = free_port_of_loopback()
    places = {"/etc/driftline": "config", "/run/mosquitto": "run", "/run/secrets": "secrets", "/mosquitto/data": "data"}
    for place in places.values():
        (tmp_path / place).mkdir()
    for name in ("start", "mosquitto.conf", "acl"):
        text = (DEPLOY / "mosquitto" / name).read_text().replace("listener 1883", f"listener {port} 127.0.0.1")
        for inside, place in places.items():
            text = text.replace(inside, str(tmp_path / place))
        if name == "mosquitto.conf" and os.geteuid() == 0:
            text += "user root\n"
        (tmp_path / "config" / name).write_text(text)
    for user in ("driftline", "simulator", "devices"):
        (tmp_path / "secrets" / f"mqtt_{user}").write_text(f"of-{user}")
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(["/bin/sh", str(tmp_path / "config" / "start")], stdout=log, stderr=log)
    try:
        while b" running" not in (tmp_path / "log").read_bytes():
            assert running.poll() is None, (tmp_path / "log").read_text()
        yield port
    finally:
        running.terminate()
        running.wait(60)


def connected(port: int, user: str, password: str) -> tuple[mqtt.Client, bool]:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.username_pw_set(user, password)
    answers: list[bool] = []
    client.on_connect = lambda _c, _u, _f, reason, _p: answers.append(not reason.is_failure)
    client.connect("127.0.0.1", port)
    while not answers:
        client.loop(1.0)
    return client, answers[0]


def may_publish(port: int, user: str, topic: str) -> bool:
    client, accepted = connected(port, user, f"of-{user}")
    assert accepted
    reasons: list[Any] = []
    client.on_publish = lambda _c, _u, _m, reason, _p: reasons.append(reason)
    client.publish(topic, b"1", qos=1)
    while not reasons:
        client.loop(1.0)
    client.disconnect()
    return not reasons[0].is_failure


@pytest.mark.service("mosquitto", "mosquitto_passwd")
def test_the_broker_lets_each_user_do_its_own_and_no_more(broker: int) -> None:
    assert not connected(broker, "nobody", "x")[1]
    assert not connected(broker, "devices", "wrong")[1]
    assert may_publish(broker, "devices", "plant/hall-1/press-01")
    assert not may_publish(broker, "devices", "driftline/truth/plant/hall-1/press-01")
    assert may_publish(broker, "simulator", "driftline/truth/plant/hall-1/press-01")
    assert not may_publish(broker, "driftline", "plant/hall-1/press-01")


def test_the_dashboards_see_the_data_and_are_built_before_the_service_holds_the_database() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    build = services["dashboards"]
    (data,) = [word.partition("=")[2] for word in build["command"] if word.startswith("--data=")]
    volumes = dict(reversed(volume.split(":")[:2]) for volume in build["volumes"])
    kept = next(place for place in volumes if Path(data).is_relative_to(place))
    assert volumes[kept] == "state"
    assert f"state:{kept}" in services["driftline"]["volumes"]
    assert services["driftline"]["depends_on"]["dashboards"] == {"condition": "service_completed_successfully"}
