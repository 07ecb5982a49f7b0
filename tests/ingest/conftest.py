"""What tests of the MQTT session and of the receiver share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from receiver_bench import Bench
from session_drive import Drive

from ingest.session import MqttSession


@pytest.fixture
def drive() -> Iterator[Callable[[MqttSession], Drive]]:
    started: list[Drive] = []

    def start(session: MqttSession) -> Drive:
        started.append(Drive(session).start())
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture
def bench(mosquitto: Any, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(mosquitto, tmp_path)
    yield bench
    for end in reversed(bench.ends):
        end()
