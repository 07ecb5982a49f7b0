"""Load on a broker: how the rate goes over time, and what a real broker makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from firmware_sim.load import LoadPattern, LoadReport, LoadRun
from firmware_sim.progress import Progress
from firmware_sim.publisher import BrokerAddress
from firmware_sim.simulator_cli import main


def test_each_pattern_has_sent_what_it_should_at_each_time() -> None:
    due = {pattern: [pattern.due(at, 20.0, 100.0) for at in (0.0, 0.5, 5.0, 10.0, 20.0)] for pattern in LoadPattern}
    assert due[LoadPattern.SOAK] == [0.0, 50.0, 500.0, 1000.0, 2000.0]
    assert due[LoadPattern.RAMP] == [0.0, 0.625, 62.5, 250.0, 1000.0]
    assert due[LoadPattern.BURST] == [0.0, 500.0, 1000.0, 1000.0, 2000.0]


@pytest.mark.service("mosquitto")
@pytest.mark.parametrize("pattern", LoadPattern)
def test_every_message_of_a_load_is_acknowledged_and_its_latency_known(
    mosquitto: Any, subscribe: Any, pattern: LoadPattern
) -> None:
    subscriber = subscribe(mosquitto, "load/#")
    address = BrokerAddress.parse(f"mqtt://{mosquitto.host}:{mosquitto.port}")
    report = LoadRun(address, devices=20, rate=400, duration=1.5, pattern=pattern, say=lambda _: None).run()
    assert report.sent == report.acknowledged == len(report.latencies) > 100
    assert 0 <= report.latency(0.5) <= report.latency(0.99) <= report.latency(1.0)
    received = subscriber.wait_for(report.sent)
    assert len({topic for topic, _ in received}) == 20


def test_the_report_is_a_sentence() -> None:
    report = LoadReport(
        sent=1200, acknowledged=1000, seconds=2.0, cpu_seconds=0.25, latencies=[0.001] * 989 + [0.05] * 11
    )
    assert report.sentence() == (
        "sent 1,200, acknowledged 1,000 in 2.0 s (500/s); latency median 1.0 ms, 99 in 100 within 50.0 ms, "
        "longest 50.0 ms; own CPU 0.2 s"
    )


def test_a_load_that_cannot_be_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", "--devices", "0"]) == 2
    assert "devices 0: expected more than 0" in capsys.readouterr().err
    assert main(["load", "--url", "http://x"]) == 2
    assert "expected mqtt://host:port" in capsys.readouterr().err


def test_progress_is_told_every_ten_seconds() -> None:
    now = [0.0]
    said: list[str] = []
    progress = Progress(said.append, clock=lambda: now[0])
    for second in range(0, 25, 2):
        now[0] = float(second)
        progress.tell(f"{second} s")
    assert said == ["10 s", "20 s"]
