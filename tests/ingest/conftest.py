"""What tests of the MQTT session share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
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
