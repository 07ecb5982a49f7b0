from __future__ import annotations

import gzip
import http.client
import json
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from influxd import Influxd
from influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from serving import serving

from devices.batch import Batch, ScoredBatch
from devices.records import AlarmRecord, AlarmState, SeriesRecord, SeverityRise
from storage.external.influx import InfluxSink
from storage.external.lines import LineProtocol
from storage.external.outputs import decode_output, encode_output
from storage.external.victoria_sink import VictoriaSink
from storage.storage_settings import SinkSettings
from storage.store import DevicePresence, StepOutput, StreamResult

NOW = 1_700_000_000 * 10**9
NAMES = [SeriesRecord(0, "pump 1,a", "flow=x"), SeriesRecord(1, "fan\\", "speed")]


def output(n: int = 2, **more: object) -> StepOutput:
    value = np.arange(n, dtype=np.float64) + 0.5
    points = ScoredBatch(
        np.arange(n, dtype=np.int32) % 2,
        NOW + np.arange(n) * 10**6,
        value,
        value / 3,
        value + 1,
        value - 1,
        value + 2,
        np.arange(n) % 2 == 1,
        np.zeros(n, np.bool_),
    )
    return StepOutput(0, 1, points, **{"series": NAMES, **more})  # type: ignore[arg-type]


def test_points_become_lines() -> None:
    assert LineProtocol().block(output()).text == [
        f"driftline,device=pump\\ 1\\,a,metric=flow\\=x "
        f"value=0.5,score=0.17,expected=1.5,lower=-0.5,upper=2.5,anomaly=0i,quality=0i {NOW}",
        f"driftline,device=fan\\\\,metric=speed "
        f"value=1.5,score=0.5,expected=2.5,lower=0.5,upper=3.5,anomaly=1i,quality=0i {NOW + 10**6}",
    ]


def test_missing_fields_are_left_out() -> None:
    batch = Batch(np.zeros(1, np.int32), np.array([5]), np.array([1e-7]))
    points = ScoredBatch.unscored(batch, late=True)
    [line] = LineProtocol(NAMES).block(StepOutput(0, 1, points)).text
    assert line == "driftline,device=pump\\ 1\\,a,metric=flow\\=x value=1e-7,anomaly=0i,quality=2i 5"


def test_alarms_become_lines() -> None:
    cleared = AlarmRecord(7, 1, AlarmState.CLEARED, 4, 9, "critical", 3.5, 2.0, float("nan"), 'a "jump"')
    opened = replace(cleared, state=AlarmState.OPEN, cleared=None, parts={"default.rarity": 4.25})
    empty = ScoredBatch.unscored(Batch.empty(), late=False)
    assert LineProtocol(NAMES).block(StepOutput(0, 1, empty, alarms=[opened, cleared])).text == [
        "driftline_alarm,device=fan\\\\,metric=speed,severity=critical alarm=7i,state=1i,open=1i,opened=4i,"
        'peak_score=3.5,value=2.0,reason="a \\"jump\\"" 4',
        "driftline_alarm,device=fan\\\\,metric=speed,severity=critical alarm=7i,state=0i,open=0i,opened=4i,"
        'peak_score=3.5,value=2.0,reason="a \\"jump\\"" 9',
        "driftline_alarm_detector,device=fan\\\\,metric=speed,detector=default.rarity decades=4.25 4",
    ]


def test_an_alarm_that_rises_ends_under_its_old_severity_and_the_spool_keeps_that() -> None:
    risen = AlarmRecord(7, 1, AlarmState.OPEN, 4, None, "major", 3.5, 2.0, 1.0, "odd")
    made = StepOutput(
        0, 1, ScoredBatch.unscored(Batch.empty(), late=False), alarms=[risen], rises=[SeverityRise(1, 4, "minor")]
    )
    for each in (made, decode_output(encode_output(made))):
        _, line = LineProtocol(NAMES).block(each).text
        assert line == "driftline_alarm,device=fan\\\\,metric=speed,severity=minor state=0i,open=0i 1000004"


def test_device_states_become_lines_behind_the_points() -> None:
    states = [DevicePresence("pump 1", 7, True, 2), DevicePresence("fan", 8, False, 0)]
    *points, one, other = LineProtocol().block(output(devices=states)).text
    assert points == LineProtocol().block(output()).text
    assert one == "driftline_device,device=pump\\ 1 online=1i,open_alarms=2i 7"
    assert other == "driftline_device,device=fan online=0i,open_alarms=0i 8"


ROLLUP = StreamResult(
    "crowd", NOW - 10**9, NOW, '["A"]', "final", 0, 17,
    (("site", "VARCHAR"), ("os", "VARCHAR"), ("n", "BIGINT"), ("mean", "DOUBLE"), ("ok", "BOOLEAN"),
     ("at", "TIMESTAMP")),
    [("hall 1", "iOS", 3, 0.5, True, "2026-01-01T00:00:00Z"), ("hall 1", "iOS", 4, None, False, None),
     ("hall 1", None, 2**40, 1.0, None, None), ("hall 2", "", None, None, None, None)],
    sinks=("influx", "other"),
)  # fmt: skip


def test_rows_of_streams_become_lines_with_their_texts_as_labels() -> None:
    block = LineProtocol().block(output(0, stream_results=[ROLLUP, replace(ROLLUP, sinks=("other",))]), "influx")
    assert block.text == [
        f"driftline_stream_crowd,site=hall\\ 1,os=iOS n=3.0,mean=0.5,ok=1.0 {NOW}",
        f"driftline_stream_crowd,site=hall\\ 1,os=iOS,driftline_row=1 n=4.0,ok=0.0 {NOW}",
        f"driftline_stream_crowd,site=hall\\ 1 n=1099511627776.0,mean=1.0 {NOW}",
    ]
    assert LineProtocol().block(output(0, stream_results=[ROLLUP])).text == []


def test_lines_can_be_cut_anywhere() -> None:
    block = LineProtocol().block(output(10, devices=[DevicePresence("fan", 8, False, 0)]))
    for cut in range(12):
        assert block[:cut].text + block[cut:].text == block.text
        assert bytes(block[:cut].data) + bytes(block[cut:].data) == bytes(block.data)


def test_series_without_a_name_are_refused() -> None:
    with pytest.raises(ValueError, match="series 1 has no name"):
        LineProtocol(NAMES[:1]).block(output(series=[]))
    with pytest.raises(ValueError, match="series 0 has no name"):
        LineProtocol(NAMES[1:]).block(output(series=[]))


class Server(ThreadingHTTPServer):
    """Answers writes as InfluxDB does: all or nothing refused with 400 where a line has the value 3.5."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 204
        self.most_lines = 1_000_000
        self.cannot: set[str] = set()
        self.taken: list[str] = []
        self.asked: list[tuple[str, str | None]] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        lines = (gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body).decode().splitlines()
        self.server.asked.append((self.path, self.headers["Authorization"]))
        refused = any("value=3.5," in line for line in lines)
        status = self.server.status if self.server.status != 204 else 400 if refused else 204
        if status == 204 and self.path.split("?")[0] in self.server.cannot:
            status = 405
        if len(lines) > self.server.most_lines:
            status = 413
        if status == 204:
            self.server.taken += lines
        answer = b"" if status == 204 else json.dumps({"code": "invalid", "message": "no such luck"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as running:
        yield running


def sink_on(server: Server, **more: object) -> InfluxSink:
    settings = SinkSettings(name="s", url=f"http://127.0.0.1:{server.server_port}", bucket="b", org="o", **more)
    return InfluxSink(settings, token="secret")


@pytest.mark.parametrize("compressed", [True, False])
def test_writes_are_confirmed_and_lines_at_fault_are_kept(server: Server, compressed: bool) -> None:
    with sink_on(server, gzip=compressed) as sink:
        rejected = sink.write(output(10))
        assert [line.line.split("value=")[1][:3] for line in rejected] == ["3.5"]
        assert "400 Bad Request" in rejected[0].reason
        assert "no such luck" in rejected[0].reason
    assert sorted(server.taken) == sorted(
        line for line in LineProtocol().block(output(10)).text if "value=3.5," not in line
    )
    path, authorization = server.asked[0]
    assert path.startswith("/api/v2/write?")
    assert {"org=o", "bucket=b", "precision=ns"} <= set(path.partition("?")[2].split("&"))
    assert authorization == "Token secret"


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_a_server_in_trouble_is_an_error_to_try_again(server: Server, status: int) -> None:
    with sink_on(server) as sink:
        server.status = status
        with pytest.raises(OSError, match=f"writing 2 lines: {status}"):
            sink.write(output())
        server.status = 204
        assert sink.write(output()) == []
    assert len(server.taken) == 2


def test_a_write_that_is_too_large_for_the_server_is_split_until_it_fits(server: Server) -> None:
    server.most_lines = 3
    with sink_on(server) as sink:
        refused = sink.write(output(20))
    # The value 3.5 is what this server refuses; all others are there, each once.
    assert [line.line.split("value=")[1][:3] for line in refused] == ["3.5"]
    assert len(server.taken) == len(set(server.taken)) == 19


def test_a_server_that_is_away_is_an_error_to_try_again(server: Server) -> None:
    with Server() as closed:
        port = closed.server_port
    with (
        InfluxSink(SinkSettings(name="s", url=f"http://127.0.0.1:{port}", timeout="1s")) as sink,
        pytest.raises(OSError, match=f"127.0.0.1:{port}: writing 2 lines"),
    ):
        sink.write(output())


def test_series_beyond_the_limit_are_refused_by_name(server: Server) -> None:
    with sink_on(server, max_series=1) as sink:
        refused = sink.write(output(3, alarms=[]))
    assert [line.reason for line in refused] == ["beyond the limit of series: max_series = 1"]
    assert refused[0].line.startswith("driftline,device=fan")
    assert [line.split(" value")[0] for line in server.taken] == ["driftline,device=pump\\ 1\\,a,metric=flow\\=x"] * 2


AGAIN = [*NAMES, SeriesRecord(2, "fan\\", "speed")]
"""A device that was deleted sends again: its series is a new one."""


def test_a_device_that_is_deleted_is_deleted_there_before_what_it_sends_again(server: Server) -> None:
    points = replace(output(2).points, series=np.array([1, 2], np.int32))
    gone = decode_output(encode_output(StepOutput(1, 2, points, series=AGAIN, deleted=[1])))
    with sink_on(server) as sink:
        assert sink.write(gone) == []
    deletion, *lines = server.taken
    assert json.loads(deletion)["predicate"] == 'device="fan\\\\"'
    assert [line.split(" ")[1].split(",")[0] for line in lines] == ["value=1.5"]
    assert [path.split("?")[0] for path, _ in server.asked] == ["/api/v2/delete", "/api/v2/write"]


def test_a_database_that_deletes_nothing_is_named_and_takes_the_rest(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.cannot.add("/api/v2/delete")
    with sink_on(server) as sink:
        assert sink.write(StepOutput(1, 2, output(1).points, series=NAMES, deleted=[1])) == []
        assert len(server.taken) == 1
        server.status = 503
        with pytest.raises(OSError, match="503"):
            sink.write(StepOutput(1, 2, output(1).points, series=NAMES, deleted=[1]))
    (line,) = caplog.messages
    assert line.startswith('sink s: device "fan\\" is to be deleted there by hand: http://127.0.0.1:')
    assert "405" in line


@pytest.mark.service("victoria-metrics")
def test_victoria_metrics_holds_what_was_written(server: Server, tmp_path: Path) -> None:
    with Server() as closed:
        port = closed.server_port
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [
            "victoria-metrics",
            f"-storageDataPath={tmp_path}",
            f"-httpListenAddr=127.0.0.1:{port}",
            "-retentionPeriod=100y",
            "-dedup.minScrapeInterval=1ms",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert eventually(lambda: fetch(f"{url}/health") == "OK")
        with VictoriaSink(SinkSettings(name="s", url=url)) as sink:
            assert sink.write(output(10)) == []
            assert sink.write(output(10)) == []
            assert sink.write(output(0, stream_results=[replace(ROLLUP, sinks=("s",))])) == []
        assert eventually(lambda: fetch(f"{url}/internal/force_flush") == "")
        export = f'{url}/api/v1/export?match={{__name__="driftline_value",metric="speed"}}&reduce_mem_usage=0'
        [row] = [json.loads(line) for line in fetch(export.replace('"', "%22")).splitlines()]
        assert row["metric"] == {"__name__": "driftline_value", "device": "fan\\", "metric": "speed"}
        assert dict(zip(row["timestamps"], row["values"], strict=False)) == {
            NOW // 10**6 + i: i + 0.5 for i in range(1, 10, 2)
        }
        rows = fetch(f"{url}/api/v1/export?match=driftline_stream_crowd_n").splitlines()
        assert sorted((each["metric"]["site"], each["values"]) for each in map(json.loads, rows)) == [
            ("hall 1", [3]),
            ("hall 1", [4]),
            ("hall 1", [2**40]),
        ]
        with VictoriaSink(SinkSettings(name="s", url=url)) as sink:
            later = replace(output(1).points, series=np.array([2], np.int32), time=np.array([NOW + 60 * 10**9]))
            assert sink.write(StepOutput(1, 2, later, series=AGAIN, deleted=[1])) == []
        assert eventually(lambda: fetch(f"{url}/internal/force_flush") == "")
        found = map(json.loads, fetch(f"{url}/api/v1/export?match=driftline_value").splitlines())
        assert sorted((row["metric"]["device"], len(row["values"])) for row in found) == [("fan\\", 1), ("pump 1,a", 5)]
    finally:
        process.terminate()
        process.wait(timeout=240)


def fetch(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode()
    except (OSError, http.client.HTTPException):
        return "away"


def eventually(condition: object) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return True
        threading.Event().wait(0.05)
    return False


@pytest.mark.optional_service("influxd")
def test_a_real_influxdb_refuses_a_line_alone_and_keeps_the_others(
    tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    with Influxd(tmp_path / "influxd", wait_until) as server:
        server.statement("CREATE DATABASE plant")
        settings = SinkSettings(name="s", url=server.url, org="-", bucket="plant")
        first, second = (
            AlarmRecord(number, 0, AlarmState.OPEN, NOW + number, None, "minor", 3.5, 9.0, 4.0, "too high")
            for number in (1, 2)
        )
        plain = [SeriesRecord(0, "pump", "flow"), SeriesRecord(1, "fan", "speed")]
        with InfluxSink(settings) as sink:
            assert sink.write(output(10, series=plain)) == []
            with InfluxDBClient(server.url, token="-", org="-") as client:
                line = f'driftline_alarm,device=x alarm="a text" {NOW}'
                client.write_api(write_options=SYNCHRONOUS).write("plant", record=line)
            refused = sink.write(output(10, series=plain, alarms=[first, second]))
        assert [rejected.line.split(" ", 1)[1].split(",")[0] for rejected in refused] == ["alarm=1i", "alarm=2i"]
        assert all("field type conflict" in rejected.reason for rejected in refused)
        [[_, count]] = json.loads(server.statement("SELECT count(value) FROM plant.autogen.driftline"))["results"][0][
            "series"
        ][0]["values"]
        assert count == 10
