"""More connections than the process may open files: the page, health and everything else go on."""

from __future__ import annotations

import contextlib
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_runs import KillableService, NumberedPublisher, assert_each_once

pytestmark = [pytest.mark.faults, pytest.mark.service("mosquitto"), pytest.mark.timeout(600)]

FILES = 1_024
CONNECTIONS = 1_100
HEAD = b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n"
KINDS = {
    "no request": b"",
    "half a head": HEAD,
    "half a body": b"POST /api/v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
    "kept alive": HEAD + b"\r\n",
    "live feed": b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process may open as many as the test needs."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], min(before[1], 4 * FILES)), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("many_files")
def test_more_connections_than_files_hold_up_nothing(
    service: KillableService, mosquitto: Any, wait_until: Any, report: Any
) -> None:
    service.configure(mosquitto.url)
    service.start()
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
    publisher = NumberedPublisher(mosquitto.url, messages=1_000_000, rate=500).start()
    address = service.address
    opened = most = 0
    for request in KINDS.values():
        with contextlib.ExitStack() as held:
            for _ in range(CONNECTIONS):
                each = held.enter_context(socket.create_connection(address, timeout=240))
                each.sendall(request)
            opened += CONNECTIONS
            most = max(most, len(list(Path(f"/proc/{service.pid}/fd").iterdir())))
            assert service.get("health") is not None, request
            delivered = publisher.delivered
            wait_until(lambda of=delivered: service.settled(of), what="messages meanwhile")
        wait_until(lambda: service.get("health") is not None, what="health")
    delivered = publisher.end_early()
    wait_until(lambda: service.settled(delivered), what="everything in its place")
    assert service.end() == 0, service.log
    assert "Too many open files" not in service.log
    assert "the HTTP server ended by itself" not in service.log
    assert_each_once(service.data / "points.duckdb", publisher, delivered)
    report("more connections than files", opened=opened, files=f"{most} of {FILES}", delivered=delivered, lost=0)
