from __future__ import annotations

import errno
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from demo_service import SECOND, DemoService, scored

from devices.records import AlarmRecord, AlarmState, SeriesRecord
from driftline.http.app import create_app
from driftline.http.events import LiveFeed
from driftline.http.http_settings import DEFAULT_PORT, HttpSettings
from driftline.http.server import HttpServer, PortTakenError

START = 1_772_366_400 * SECOND
SERIES = [SeriesRecord(0, "pump/1", "temperature"), SeriesRecord(1, "tank", "level")]
WaitFor = Callable[..., None]


def points(series: list[int], first: int = 0, anomaly: list[bool] | None = None) -> Any:
    times = [START + (first + i) * SECOND for i in range(len(series))]
    return scored(series, times, [float(first + i) for i in range(len(series))], anomaly)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[DemoService]:
    service = DemoService(tmp_path / "store.duckdb", clock=lambda: START)
    service.step(points([0, 1]), series=SERIES)
    yield service
    service.close()


@contextmanager
def serving(service: DemoService, settings: HttpSettings | None = None) -> Iterator[HttpServer]:
    settings = settings or HttpSettings(port=0)
    server = HttpServer(create_app(service, settings), settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Stream:
    """An open event stream, read one event at a time."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.iter_lines()

    def next(self) -> tuple[str, str | None, Any]:
        event: dict[str, str] = {}
        for line in self._lines:
            if not line and "data" in event:
                return event["event"], event.get("id"), json.loads(event["data"])
            if line:
                name, _, value = line.partition(": ")
                event[name] = value
        raise EOFError

    def ended(self) -> bool:
        return not any(line.startswith("data") for line in self._lines)


@contextmanager
def following(service: DemoService, server: HttpServer, wait_until: WaitFor, **request: Any) -> Iterator[Stream]:
    before = service.subscribed
    with httpx.stream("GET", f"{server.url}/api/v1/events", timeout=240, trust_env=False, **request) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        wait_until(lambda: service.subscribed > before, what="the subscription")
        yield Stream(response)


def test_points_and_alarms_arrive_live_as_columns(service: DemoService, wait_until: WaitFor) -> None:
    with serving(service) as server, following(service, server, wait_until) as stream:
        alarm = AlarmRecord(1, 0, AlarmState.OPEN, START, None, "warning", 6.0, 2.0, 1.0, "odd")
        service.step(points([0, 1], 2, [True, False]), alarms=[alarm])
        name, ident, columns = stream.next()
        assert (name, ident) == ("points", str(service.feed.number))
        assert columns["series"] == [0, 1]
        assert columns["time"] == [START + 2 * SECOND, START + 3 * SECOND]
        assert columns["anomaly"] == [True, False]
        assert sorted(columns) == sorted(
            ["series", "time", "value", "score", "expected", "lower", "upper", "anomaly", "late"]
        )
        name, ident, body = stream.next()
        assert (name, ident) == ("alarms", str(service.feed.number))
        assert (body["alarms"][0]["device"], body["alarms"][0]["reason"]) == ("pump/1", "odd")


@pytest.mark.parametrize("filters", [{"series": 1}, {"device": "tank"}])
def test_a_filter_lets_through_what_was_asked_for(service: DemoService, wait_until: WaitFor, filters: Any) -> None:
    with serving(service) as server, following(service, server, wait_until, params=filters) as stream:
        service.step(points([0, 0], 2))
        service.step(points([0, 1], 4))
        assert stream.next()[2]["series"] == [1]


def test_a_device_filter_takes_in_series_that_appear_later(service: DemoService, wait_until: WaitFor) -> None:
    params = {"device": "pump/1"}
    with serving(service) as server, following(service, server, wait_until, params=params) as stream:
        service.step(points([1, 2], 2), series=[SeriesRecord(2, "pump/1", "flow")])
        assert stream.next()[2]["series"] == [2]


def test_latest_gives_the_newest_of_each_series_and_every_anomaly(service: DemoService, wait_until: WaitFor) -> None:
    params = {"points": "latest"}
    with serving(service) as server, following(service, server, wait_until, params=params) as stream:
        service.step(points([0, 0, 0, 1, 0], 2, [False, True, False, False, False]))
        columns = stream.next()[2]
        assert columns["series"] == [0, 1, 0]
        assert columns["value"] == [3.0, 5.0, 6.0]


def test_a_client_that_reconnects_is_told_of_the_gap(service: DemoService, wait_until: WaitFor) -> None:
    with serving(service) as server:
        last = service.feed.number
        service.step(points([0], 2))
        service.step(points([0], 3))
        headers = {"Last-Event-ID": str(last)}
        with following(service, server, wait_until, headers=headers) as stream:
            assert stream.next() == ("gap", str(last + 2), {"reason": "reconnected", "missed": 2})
        with following(service, server, wait_until, headers={"Last-Event-ID": "17"}) as stream:
            assert stream.next()[2] == {"reason": "reconnected", "missed": None}
        with following(service, server, wait_until, headers={"Last-Event-ID": str(last + 2)}) as stream:
            service.step(points([0], 4))
            assert stream.next()[0] == "points"


def test_stopping_ends_the_streams_and_frees_the_port(service: DemoService, wait_until: WaitFor) -> None:
    with serving(service) as server:
        with following(service, server, wait_until) as stream:
            stopping = threading.Thread(target=server.stop)
            stopping.start()
            assert stream.ended()
            stopping.join(60)
            assert not stopping.is_alive()
        assert not service.feed.listening
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.url, trust_env=False)


def test_a_stream_that_is_left_stops_listening(service: DemoService, wait_until: WaitFor) -> None:
    with serving(service) as server:
        with following(service, server, wait_until):
            assert service.feed.listening
        wait_until(lambda: not service.feed.listening, what="the end of the subscription")


def test_more_clients_than_allowed_are_refused(service: DemoService, wait_until: WaitFor) -> None:
    settings = HttpSettings(port=0, max_live_clients=1)
    with serving(service, settings) as server, following(service, server, wait_until):
        reply = httpx.get(f"{server.url}/api/v1/events", trust_env=False)
        assert reply.status_code == 503
        assert reply.json()["error"]["code"] == "too_many_clients"


def test_a_port_that_was_not_configured_may_be_taken(service: DemoService) -> None:
    with serving(service, HttpSettings()) as first, serving(service, HttpSettings()) as second:
        ports = [int(server.url.rpartition(":")[2]) for server in (first, second)]
        assert DEFAULT_PORT <= ports[0] < ports[1]
        for server in (first, second):
            assert httpx.get(f"{server.url}/api/v1/counts", trust_env=False).status_code == 200


def test_a_configured_port_that_is_taken_is_an_error(service: DemoService) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = HttpSettings(port=port)
        with pytest.raises(PortTakenError, match=f"http.port: {port} on 127.0.0.1 is taken") as caught:
            HttpServer(create_app(service, settings), settings).start()
        assert caught.value.errno == errno.EADDRINUSE


def test_a_host_that_is_not_here_is_an_error(service: DemoService) -> None:
    settings = HttpSettings(host="192.0.2.1")
    with pytest.raises(PortTakenError, match=r"http.host: cannot listen on 192\.0\.2\.1"):
        HttpServer(create_app(service, settings), settings).start()


def test_stopping_what_was_not_started_does_nothing(service: DemoService) -> None:
    HttpServer(create_app(service), HttpSettings()).stop()


def test_a_slow_listener_loses_the_oldest_steps_and_is_told() -> None:
    feed = LiveFeed(max_steps=3, max_points=100)
    woken: list[int] = []
    with feed.subscribe(lambda: woken.append(1)) as listener:
        for i in range(5):
            feed.publish(points([0], i))
        taken = listener.take()
        assert [step.number for step in taken.steps] == [3, 4, 5]
        assert (taken.missed, taken.number) == (2, 5)
        assert len(woken) == 5
        assert listener.take().steps == []
        assert listener.take().missed == 0


def test_a_listener_is_bounded_in_points_but_gets_the_newest_step_whole() -> None:
    feed = LiveFeed(max_steps=100, max_points=10)
    with feed.subscribe(lambda: None) as listener:
        for size in (4, 4, 4, 50):
            feed.publish(points([0] * size))
        taken = listener.take()
        assert [len(step.points) for step in taken.steps] == [50]
        assert taken.missed == 3


def test_steps_are_counted_while_nobody_listens() -> None:
    feed = LiveFeed(first=100)
    feed.publish(points([0]))
    assert not feed.listening
    with feed.subscribe(lambda: None) as listener:
        assert (listener.first, listener.number) == (100, 101)
    assert feed.number == 101


@pytest.mark.parametrize("bounds", [{"max_steps": 0}, {"max_points": 0}])
def test_a_feed_without_room_is_refused(bounds: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        LiveFeed(**bounds)


def test_arrays_of_a_step_are_handed_on_without_a_copy() -> None:
    feed = LiveFeed()
    batch = points([0, 1])
    with feed.subscribe(lambda: None) as listener:
        feed.publish(batch)
        (step,) = listener.take().steps
    assert np.shares_memory(step.points.value, batch.value)
