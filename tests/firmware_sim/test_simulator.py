from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from firmware_sim.injection import Injection, ask
from firmware_sim.publisher import BrokerAddress, BrokerUnreachableError
from firmware_sim.simulation_settings import SimulatorSettings
from firmware_sim.simulator import Simulator
from firmware_sim.simulator_cli import main
from pydantic import ValidationError

from devices.fault_labels import read_labels

SECOND = 1_000_000_000

Readings = dict[str, list[datetime]]


def times_by_device(messages: list[tuple[str, bytes]]) -> Readings:
    times: Readings = defaultdict(list)
    for topic, payload in messages:
        content = json.loads(payload)
        for reading in content if isinstance(content, list) else [content]:
            times[topic].append(datetime.fromisoformat(reading["ts"]))
    return times


def run(broker: Any, **settings: object) -> Simulator:
    simulator = Simulator(SimulatorSettings(**{"url": broker.url, "devices": 10, **settings}), say=lambda _: None)
    simulator.run()
    return simulator


@pytest.mark.parametrize("connections", ["one", "each"])
@pytest.mark.parametrize("history", ["0s", "10m"])
def test_a_duration_ends_where_no_broker_answers(
    connections: str, history: str, tmp_path: Path, free_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"mqtt://127.0.0.1:{free_port}"
    options = [f"--url={url}", "--duration=200ms", "--devices=3", f"--connections={connections}"]
    assert main([*options, f"--history={history}", f"--state={tmp_path}"]) == 3
    said = capsys.readouterr().err.splitlines()
    assert said[1:] == [
        f"broker {url} did not come back in time",
        "simulator stopped: 0 readings in 0 messages, 0 faults, 0 messages malformed",
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.service("mosquitto")
@pytest.mark.parametrize("connections", ["one", "each"])
def test_a_duration_ends_while_the_broker_is_away(mosquitto: Any, connections: Any) -> None:
    settings = SimulatorSettings(
        url=mosquitto.url, devices=3, interval="50ms", faults="none", duration="1s", connections=connections
    )
    said: list[str] = []

    def hear(line: str) -> None:
        said.append(line)
        if line.startswith("simulating "):
            mosquitto.stop()

    simulator = Simulator(settings, say=hear)
    with pytest.raises(BrokerUnreachableError, match="in time"):
        simulator.run()
    assert "trying again until it is back" in said[1]


@pytest.mark.service("mosquitto")
def test_the_history_comes_first_then_every_device_reports_live_without_a_gap(mosquitto: Any, subscribe: Any) -> None:
    subscriber = subscribe(mosquitto, "plant/#")
    counts = run(mosquitto, history="10m", faults="none", duration="1500ms").counts
    assert counts.messages == counts.acknowledged
    messages = subscriber.wait_for(counts.messages)
    assert all(payload.startswith(b"[") for _, payload in messages[:100])
    assert messages[-1][1].startswith(b"{")
    times = times_by_device(messages)
    assert len(times) == 10
    assert sum(len(moments) for moments in times.values()) == counts.readings
    for moments in times.values():
        steps = {(after - before).total_seconds() for before, after in pairwise(moments)}
        assert steps == {1.0}
        assert len(moments) >= 600


@pytest.mark.service("mosquitto")
def test_a_second_run_sends_the_gap_alone(mosquitto: Any, subscribe: Any, tmp_path: Path) -> None:
    subscriber = subscribe(mosquitto, "plant/#")
    settings = {"history": "5m", "faults": "none", "state": tmp_path, "interval": "200ms", "duration": "1s"}
    first = run(mosquitto, **settings).counts
    second = run(mosquitto, **settings).counts
    assert second.readings < first.readings / 10
    for moments in times_by_device(subscriber.wait_for(first.messages + second.messages)).values():
        steps = {(after - before).total_seconds() for before, after in pairwise(moments)}
        assert steps == {0.2}


@pytest.mark.service("mosquitto")
def test_labels_are_published_and_written_as_the_faults_begin(mosquitto: Any, subscribe: Any, tmp_path: Path) -> None:
    schedule = tmp_path / "faults.csv"
    schedule.write_text("device,metric,kind,start,end\npress-01,temperature,spike,+0s,+1s\ntank-01,*,dropout,+0s,+9s\n")
    truth, plant = subscribe(mosquitto, "driftline/truth/#"), subscribe(mosquitto, "plant/utilities/tank-01")
    labels = tmp_path / "labels.csv"
    counts = run(mosquitto, history="30s", faults=str(schedule), labels=labels, duration="1s").counts
    published = [(topic, json.loads(payload)) for topic, payload in truth.wait_for(2)]
    topics = [topic for topic, _ in published]
    assert topics == ["driftline/truth/plant/hall-1/press-01", "driftline/truth/plant/utilities/tank-01"]
    with labels.open() as file:
        spike, dropout = csv.DictReader(file)
    assert published[0][1] == [
        {
            "ts": spike["start"],
            "temperature": 1,
            "device": "press-01",
            "kind": "spike",
            "end": spike["end"],
            "severity": "major",
            "root": spike["root"],
        },
        {"ts": spike["end"], "temperature": 0},
    ]
    begun, over = published[1][1]
    assert (begun["ts"], begun["all"], begun["kind"]) == (dropout["start"], 1, "dropout")
    assert over == {"ts": dropout["end"], "all": 0}
    assert counts.faults == 2
    silent_from = datetime.fromisoformat(dropout["start"])
    assert max(times_by_device(plant.wait_for(1))["plant/utilities/tank-01"]) < silent_from


@pytest.mark.service("mosquitto")
def test_a_history_told_at_a_speed_comes_one_reading_a_message(mosquitto: Any, subscribe: Any) -> None:
    subscriber = subscribe(mosquitto, "plant/#")
    settings = SimulatorSettings(url=mosquitto.url, devices=10, history="10m", speed=1200, faults="none")
    simulator = Simulator(settings, say=lambda _: None)
    simulator.start()
    messages = subscriber.wait_for(10 * 600 + 10)  # the history, and then live
    simulator.stop()
    assert all(payload.startswith(b"{") for _, payload in messages)
    for moments in times_by_device(messages).values():
        assert {(after - before).total_seconds() for before, after in pairwise(moments)} == {1.0}


@pytest.mark.service("mosquitto")
def test_broken_messages_come_on_request(mosquitto: Any, subscribe: Any) -> None:
    subscriber = subscribe(mosquitto, "plant/#")
    counts = run(mosquitto, interval="50ms", malformed=0.3, faults="none", duration="1s").counts
    assert 0 < counts.malformed < counts.messages
    broken = 0
    for _, payload in subscriber.wait_for(counts.messages):
        try:
            broken += json.loads(payload)["ts"][:4] in ("now", "1970", "2099")
        except ValueError:
            broken += 1
    assert broken == counts.malformed


@pytest.mark.service("mosquitto")
def test_a_clock_that_leaps_makes_a_backlog_of_the_time_between(mosquitto: Any, subscribe: Any) -> None:
    clock = LeapingClock()
    settings = SimulatorSettings(url=mosquitto.url, devices=10, faults="none")
    simulator = Simulator(settings, clock=clock, say=lambda _: None)
    subscriber = subscribe(mosquitto, "plant/#")
    simulator.start()
    assert simulator.live.wait(60)
    clock.now += 1000 * SECOND
    messages = subscriber.wait_for(100)
    simulator.stop()
    arrays = [json.loads(payload) for _, payload in messages if payload.startswith(b"[")]
    assert sum(len(readings) for readings in arrays) > 5000


class LeapingClock:
    """Stands still but for the leaps a test makes."""

    def __init__(self) -> None:
        self.now = 1_700_000_000 * SECOND + 999_999_999

    def __call__(self) -> int:
        return self.now


def start_process(url: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "firmware_sim", "--url", url, "--devices", "10", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.service("mosquitto")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_with_code_zero(mosquitto: Any, subscribe: Any, number: int) -> None:
    subscriber = subscribe(mosquitto, "plant/#")
    with start_process(mosquitto.url) as process:
        subscriber.wait_for(1)
        process.send_signal(number)
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert "simulator stopped" in process.stderr.read()


def test_a_signal_ends_a_process_that_waits_for_its_broker(free_port: int) -> None:
    with start_process(f"mqtt://127.0.0.1:{free_port}") as process:
        assert process.stderr is not None
        assert "is away" in process.stderr.readline()
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.service("mosquitto")
def test_a_child_ends_when_its_parent_has_died(mosquitto: Any, subscribe: Any) -> None:
    subscriber = subscribe(mosquitto, "plant/#")
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with parent, start_process(mosquitto.url, "--parent-pid", str(parent.pid)) as child:
        subscriber.wait_for(1)
        parent.kill()
        parent.wait(60)
        assert child.wait(60) == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--devices", "none"], "--devices: "),
        (["--interval", "1 parsec"], "--interval: "),
        (["--url", "http://x"], "http://x"),
        (["--interval", "1ms"], "interval 1ms: expected at least 10ms"),
        (["--speed", "60"], "speed 60: expected a history"),
        (["--faults", os.devnull], "no column 'device'"),
    ],
)
def test_unusable_options_are_named_and_end_with_code_two(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert main(arguments) == 2
    assert complaint in capsys.readouterr().err


def test_settings_know_no_other_names() -> None:
    with pytest.raises(ValidationError, match="device_count"):
        SimulatorSettings(device_count=3)  # type: ignore[call-arg]


@pytest.mark.service("mosquitto")
def test_every_device_may_have_a_connection_of_its_own(mosquitto: Any, subscribe: Any) -> None:
    subscriber = subscribe(mosquitto, "plant/#")
    counts = run(mosquitto, history="20s", devices=30, faults="none", duration="2s", connections="each").counts
    assert counts.messages == counts.acknowledged > 60
    messages = subscriber.wait_for(counts.messages)
    assert len({topic for topic, _ in messages}) == 30
    for moments in times_by_device(messages).values():
        assert {(after - before).total_seconds() for before, after in pairwise(moments)} == {1.0}


@pytest.mark.service("mosquitto")
def test_a_fault_that_is_asked_for_begins_on_the_running_fleet(mosquitto: Any, subscribe: Any, tmp_path: Path) -> None:
    truth = subscribe(mosquitto, "driftline/truth/#")
    labels = tmp_path / "labels.csv"
    settings = SimulatorSettings(url=mosquitto.url, devices=10, faults="none", labels=labels)
    simulator = Simulator(settings, say=lambda _: None)
    simulator.start()
    try:
        address = BrokerAddress.parse(mosquitto.url)
        answer = None
        for _ in range(10):
            answer = answer or ask(address, Injection("press-01", "stuck", seconds=30.0))
        assert answer is not None
        assert answer.startswith("press-01 temperature: stuck until ")
        assert truth.wait_for(1)[0][0] == "driftline/truth/plant/hall-1/press-01"
        wrong = ask(address, Injection("press-01", "stuck", "colour"))
        assert wrong == 'press-01: unknown metric "colour" (known: current, temperature, vibration) for stuck'
    finally:
        simulator.stop()
    assert {(one.device, one.metric, one.kind) for one in read_labels(labels)} == {("press-01", "temperature", "stuck")}
