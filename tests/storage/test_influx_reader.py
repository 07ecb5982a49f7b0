from __future__ import annotations

import json
import math
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from serving import serving

from devices.records import AlarmRecord, AlarmState, SeriesRecord
from storage.external.influx_reader import FluxReader, InfluxQlReader
from storage.storage_settings import SinkSettings

KNOWN = [SeriesRecord(0, "pump 1", "flow", "m³/h"), SeriesRecord(1, "fan", "speed")]

FLUX_POINTS = """\
#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339Nano,string,string,string,long,double,double,long
,result,table,_start,_stop,_time,_measurement,device,metric,anomaly,expected,value,quality
,_result,0,1970-01-01T00:00:00Z,2026-01-01T00:00:00Z,2024-02-29T12:00:00.000000002Z,driftline,pump 1,flow,1,2.5,3.5,0
,_result,0,1970-01-01T00:00:00Z,2026-01-01T00:00:00Z,2024-02-29T12:00:00.000000001Z,driftline,pump 1,flow,0,,1.5,1

#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339Nano,string,string,string,long,double,long
,result,table,_start,_stop,_time,_measurement,device,metric,anomaly,value,quality
,_result,1,1970-01-01T00:00:00Z,2026-01-01T00:00:00Z,2024-02-29T12:00:01Z,driftline,fan,speed,0,7,2
"""
FLUX_ALARMS = """\
#datatype,string,long,dateTime:RFC3339,string,string,string,string,long,long,long,double,double,string
,result,table,_time,_measurement,device,metric,severity,alarm,state,opened,peak_score,value,reason
,_result,0,2024-02-29T12:00:00Z,driftline_alarm,fan,speed,minor,4,1,1709208000000000000,3.5,9,"too, fast"
,_result,0,2024-02-29T12:01:00Z,driftline_alarm,fan,speed,minor,4,0,1709208000000000000,4.5,9,"too, fast"
"""
FLUX_PARTS = """\
#datatype,string,long,dateTime:RFC3339,string,string,string,string,double
,result,table,_time,_measurement,detector,device,metric,decades
,_result,0,2024-02-29T12:00:00Z,driftline_alarm_detector,default.z,fan,speed,3.5
"""
START = 1709208000 * 10**9


class Server(ThreadingHTTPServer):
    """Answers Flux and InfluxQL with recorded replies, by the measurement asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.status = 200


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["query"]
        body = FLUX_PARTS if '"driftline_alarm_detector"' in query else FLUX_POINTS
        self.answer(query, FLUX_ALARMS if '"driftline_alarm"' in query else body)

    def do_GET(self) -> None:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["q"][0]
        times = {"columns": ["time", "anomaly", "device", "expected", "metric", "value"]}
        rows = [[START + 2, 1, "pump 1", 2.5, "flow", 3.5], [START + 1, 0, "pump 1", None, "flow", 1.5]]
        found: dict[str, object] = {"name": "driftline", **times, "values": rows}
        if "GROUP BY" in query:
            found = {
                "name": "driftline",
                "tags": {"device": "pump 1", "metric": "flow"},
                "columns": ["time", "value", "quality"],
                "values": [[START + 2, 3.5, 0]],
            }
        result = {"error": "database not found"} if "alarm" in query else {"series": [found]}
        self.answer(query, json.dumps({"results": [{"statement_id": 0, **result}]}))

    def answer(self, query: str, text: str) -> None:
        self.server.asked.append(query)
        body = text.encode() if self.server.status == 200 else b'{"message":"no such luck"}'
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as running:
        yield running


@pytest.fixture
def settings(server: Server) -> SinkSettings:
    return SinkSettings(name="s", url=f"http://127.0.0.1:{server.server_port}", bucket='b"x')


def test_flux_replies_become_points_with_their_nanoseconds(server: Server, settings: SinkSettings) -> None:
    reader = FluxReader(settings, known=KNOWN, token="t")
    latest = reader.latest()
    assert latest.series.tolist() == [0, 0, 1]
    points = reader.points(0, START, START + 9)
    assert points.time.tolist()[:2] == [START + 1, START + 2]
    assert points.value.tolist()[:2] == [1.5, 3.5]
    assert points.anomaly.tolist()[:2] == [False, True]
    assert math.isnan(points.expected[0])
    assert points.expected[1] == 2.5
    query = server.asked[-1]
    assert 'from(bucket: "b\\"x") |> range(start: time(v: 1709208000000000000), stop: time(v: ' in query
    assert 'r.device == "pump 1" and r.metric == "flow"' in query


def test_flux_replies_become_alarms(settings: SinkSettings) -> None:
    cleared = START + 60 * 10**9
    parts = {"default.z": 3.5}
    expected = AlarmRecord(4, 1, AlarmState.CLEARED, START, cleared, "minor", 4.5, 9.0, math.nan, "too, fast", parts)
    assert [repr(alarm) for alarm in FluxReader(settings, known=KNOWN).alarms()] == [repr(expected)]


def test_influxql_replies_become_points(server: Server, settings: SinkSettings) -> None:
    reader = InfluxQlReader(settings, known=KNOWN)
    assert reader.series() == KNOWN[:1]
    assert reader.latest().time.tolist() == [START + 2]
    points = reader.points(0, None, START + 9)
    assert points.time.tolist() == [START + 1, START + 2]
    assert points.value.tolist() == [1.5, 3.5]
    assert "\"device\" = 'pump 1' AND \"metric\" = 'flow'" in server.asked[-1]
    assert f"time < {START + 9}" in server.asked[-1]
    with pytest.raises(OSError, match="database not found"):
        reader.alarms()


@pytest.mark.parametrize("kind", [FluxReader, InfluxQlReader])
def test_trouble_is_an_error_that_names_the_server(
    kind: type[FluxReader | InfluxQlReader], server: Server, settings: SinkSettings
) -> None:
    server.status = 503
    with pytest.raises(OSError, match=rf"127\.0\.0\.1:{server.server_port}/.*: 503 .*no such luck"):
        kind(settings).latest()
