"""The service as a person runs it: start, stop, start again, two at once, a changed configuration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion


def publish(url: str, messages: list[tuple[str, str]]) -> None:
    """Publish at QoS 1 and wait for every acknowledgement."""
    host, port = url.removeprefix("mqtt://").rsplit(":", 1)
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect(host, int(port))
    client.loop_start()
    for sent in [client.publish(topic, payload, qos=1) for topic, payload in messages]:
        sent.wait_for_publish(20)
        assert sent.is_published()
    client.disconnect()
    client.loop_stop()


def children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in listed.stdout.split()]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_demo_shows_a_fault_as_an_anomaly_and_leaves_no_process_behind(service: Any, wait_until: Any) -> None:
    service.start("--demo")
    wait_until(
        lambda: service.get("counts")["open_alarms"] or service.get("counts")["alarms"], within=240, what="an alarm"
    )
    wait_until(lambda: len(service.get("devices")["devices"]) >= 50, what="fifty devices")
    processes = children(service.pid)
    assert processes
    assert service.stop() == 0, service.log
    wait_until(lambda: not any(map(alive, processes)), what="the end of every child process")
    ledger = {row["name"]: row["value"] for row in service.query("SELECT name, value FROM counts")}
    elsewhere = sum(count for name, count in ledger.items() if name.startswith(("rejected.", "dropped.")))
    kept = sum(ledger.get(name, 0) for name in ("stored", "late", "duplicates", "waiting"))
    assert ledger["received"] == kept + elsewhere
    assert service.query("SELECT count(*) AS n FROM points")[0]["n"] == ledger["stored"] + ledger["late"]


def test_children_end_when_the_service_is_killed(service: Any, wait_until: Any) -> None:
    service.start("--demo")
    processes = children(service.pid)
    assert processes
    service.stop(9)
    wait_until(lambda: not any(map(alive, processes)), what="the end of every child process")


def test_a_second_start_goes_on_with_data_and_learned_state(service: Any) -> None:
    service.start()
    publish(service.broker_url, [("room/temp", json.dumps({"v": 20 + i % 3})) for i in range(200)])
    service.settle(200)
    series = service.get("series")["series"][0]["series"]
    before = service.get("devices")
    assert service.stop() == 0
    service.start()
    publish(service.broker_url, [("room/temp", json.dumps({"v": 21}))])
    counts = service.settle(201)
    assert counts["stored"] == 201
    assert [d["device"] for d in service.get("devices")["devices"]] == [d["device"] for d in before["devices"]]
    assert service.query("SELECT count(score) AS scored FROM points")[0]["scored"] > 100
    newest = service.query("SELECT score IS NOT NULL AS scored FROM points ORDER BY time DESC LIMIT 1")
    assert newest[0]["scored"], "the detector began to learn anew"
    assert series == 0


def test_two_services_in_different_folders_run_side_by_side(service: Any, tmp_path: Path, wait_until: Any) -> None:
    service.start()
    folder = tmp_path / "other"
    folder.mkdir()
    other = type(service)(folder, wait_until)
    try:
        other.start()
        publish(other.broker_url, [("a/b", "1")])
        assert other.settle(1)["stored"] == 1
        assert service.get("counts")["messages"] == 0
        assert other.stop() == 0
    finally:
        if other.alive:
            other.stop(9)


def test_two_services_in_one_folder_are_refused(service: Any) -> None:
    service.start()
    command = [sys.executable, "-m", "driftline", "up", "--data", str(service.data), "--port", "0"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert second.returncode == 1
    assert f"process {service.pid}" in second.stderr
    assert "Traceback" not in second.stderr
    assert service.alive


def test_a_changed_configuration_is_picked_up_and_an_invalid_one_refused(service: Any, wait_until: Any) -> None:
    service.start()
    publish(service.broker_url, [("m/temp", "1"), ("m/link", "2")])
    service.settle(2)
    service.config.write_text('[[routes]]\nfilter = "m/#"\nmetrics = [{ match = "link", ignore = true }]\n')
    wait_until(lambda: "is in force" in service.log, what="the new configuration")
    wait_until(lambda: service.get("health")["stages"][0]["status"] == "green", what="the broker's answer")
    publish(service.broker_url, [("m/link", "3"), ("elsewhere", "4")])
    counts = service.settle(3)
    assert counts["dropped"] == {"ignored": 1}
    assert "take effect at the next start" not in service.log, "the port of the command line is no change of the file"
    assert counts["messages"] == 3, "a topic filter that was dropped is still subscribed"
    service.config.write_text('[[routes]]\nfiltr = "m/#"\n')
    wait_until(lambda: "stays as it was" in service.log, what="the refusal")
    assert 'did you mean "filter"' in service.log
    publish(service.broker_url, [("m/temp", "5")])
    assert service.settle(4)["stored"] == 3


def test_what_was_refused_is_taken_once_its_route_is_mended(service: Any, wait_until: Any) -> None:
    service.config.write_text('[[routes]]\nfilter = "m/#"\ncodec = "influx_line"\n')
    service.start()
    publish(service.broker_url, [("m/a", "21.5"), ("m/b", "{"), ("m/a", "22.5")])
    counts = service.settle(3)
    assert counts["rejected"] == {"malformed": 3}
    arrivals = {letter["payload"]: letter["arrival"] for letter in service.get("dead-letters")["dead_letters"]}
    service.config.write_text('[[routes]]\nfilter = "m/#"\ncodec = "json"\n')
    wait_until(lambda: "is in force" in service.log, what="the new configuration")
    reply = httpx.post(f"{service.url}/api/v1/dead-letters/retry", json={"reason": "malformed"}, timeout=240).json()
    assert (reply["tried"], reply["taken"], reply["refused"]) == (3, 2, {"malformed": 1}), reply
    assert reply["sentence"] == "2 of 3 messages taken now; refused again: 1 malformed"
    assert [letter["payload"] for letter in service.get("dead-letters")["dead_letters"]] == ["{"]
    sql = "select value, epoch_ns(time) as time from points where metric = 'a' order by time"
    rows = httpx.post(f"{service.url}/api/v1/query", json={"sql": sql}, timeout=240).json()["rows"]
    assert rows == [[21.5, arrivals["21.5"]], [22.5, arrivals["22.5"]]]
    counts = service.settle(6)
    assert counts["received"] == counts["stored"] + counts["late"] + sum(counts["rejected"].values())


def test_a_configuration_error_says_all_and_exits_with_2(service: Any) -> None:
    service.config.write_text('[[routes]]\nfilter = "a/#/b"\ndetectors = ["emwa"]\n[store]\nkeep = "soon"\n')
    command = [sys.executable, "-m", "driftline", "up", "--data", str(service.data), "--config", str(service.config)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, env={**os.environ, "COLUMNS": "300"}
    )
    assert done.returncode == 2
    for place in ("routes[0].filter", "routes[0].detectors[0]", "store.keep"):
        assert place in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.service("mosquitto")
def test_a_broker_that_is_away_is_waited_for_and_said_once(service: Any, mosquitto: Any, wait_until: Any) -> None:
    mosquitto.stop()
    service.config.write_text(f'[broker]\nurl = "{mosquitto.url}"\n')
    service.start_without_broker()
    wait_until(lambda: "broker away" in service.log, what="a word about the broker")
    mosquitto.start()
    wait_until(lambda: service.get("health")["status"] == "green", what="the connection")
    publish(mosquitto.url, [("a/b", "1")])
    assert service.settle(1)["stored"] == 1
    assert service.log.count("broker away") == 1
    assert "Traceback" not in service.log
