"""Functions as a person runs them: called for readings and devices and by hand, and through kill -9."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "functions.md").read_text(encoding="utf-8")
WaitUntil = Callable[..., None]

CONFIG = """
[[functions]]
name = "take"
file = "{folder}/take.py"
trigger = {{ type = "readings", topics = ["plant/#"] }}
batch = 10

[[functions]]
name = "arrivals"
action = "row"
with = {{ table = "arrivals", values = {{ device = "{{device}}", change = "{{change}}" }} }}
trigger = {{ type = "device", changes = ["new"] }}

[[functions]]
name = "tag"
action = "label"
with = {{ labels = {{ came = "{{change}}" }} }}
trigger = {{ type = "device", changes = ["new"] }}

[[functions]]
name = "ask"
file = "{folder}/ask.py"
retries = 0
"""
TAKE = """
import time

def handler(event, context):
    with open("{folder}/taken", "a") as file:
        for record in event["records"]:
            file.write(f"{{record['fields']['n']:.0f}}\\n")
            file.flush()
            time.sleep(0.002)
"""
ASK = """
def handler(event, context):
    print("asked for", event)
    if event == "trouble":
        raise RuntimeError("no such table")
    return context.act("query", sql="select count(*) as n from arrivals")
"""


def publish(url: str, numbers: range) -> None:
    host, port = url.removeprefix("mqtt://").rsplit(":", 1)
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect(host, int(port))
    client.loop_start()
    for sent in [client.publish(f"plant/p{n % 3}", json.dumps({"n": n}), qos=1) for n in numbers]:
        sent.wait_for_publish(30)
        assert sent.is_published()
    client.disconnect()
    client.loop_stop()


def configure(service: Any) -> None:
    service.config.write_text(CONFIG.format(folder=service.folder))
    (service.folder / "take.py").write_text(TAKE.format(folder=service.folder))
    (service.folder / "ask.py").write_text(ASK)


def counts(service: Any, name: str) -> dict[str, int]:
    return dict(service.get(f"functions/{name}")["counts"])


def test_kill_9_loses_no_event_and_what_a_person_sees_adds_up(service: Any, wait_until: WaitUntil) -> None:
    configure(service)
    service.start()
    total = 200
    for number in range(0, total, 100):
        publish(service.broker_url, range(number, number + 100))
        if number == 0:  # in the middle of a batch
            wait_until(lambda: counts(service, "take")["events"] > 0, within=240, what="events that wait")
            service.stop(signal.SIGKILL)
            service.start()
    wait_until(lambda: counts(service, "take")["done"] == total, within=240, what="every reading")
    found = counts(service, "take")
    assert (found["events"], found["failed"], found["dropped"], found["waiting"]) == (total, 0, 0, 0)
    taken = [int(line) for line in (service.folder / "taken").read_text().split()]
    assert list(dict.fromkeys(taken)) == list(range(total)), "each at least once, in order"
    assert len(taken) <= total + 10, "again is only the batch that a kill came in between"

    assert_answers(service, wait_until)
    wait_until(lambda: counts(service, "tag")["done"] == 3, within=240, what="a label for each device")
    data = ("--data", str(service.data), "--config", str(service.config))
    (service.folder / "event.json").write_text('{"x": 2}')
    assert json.loads(service.cli("functions", "invoke", "ask", "--event", "event.json", *data)) == [{"n": 3}]
    assert "1 event of ask tried again" in service.cli("functions", "retry", "ask", *data)
    assert service.stop() == 0, service.log
    assert "RuntimeError: no such table (ask.py, line 5)" in service.cli("functions", "logs", "ask", *data)
    rows = service.query("select device, change from arrivals order by device")
    assert rows == [{"device": f"plant/p{n}", "change": "new"} for n in range(3)]
    labels = service.query("select device, labels::varchar as labels from devices order by device")
    assert labels == [{"device": f"plant/p{n}", "labels": '{"came":"new"}'} for n in range(3)]
    listed = {row["function"]: row for row in json.loads(service.cli("functions", "list", "--format", "json", *data))}
    assert (listed["take"]["done"], listed["arrivals"]["done"]) == (total, 3)


def assert_answers(service: Any, wait_until: WaitUntil) -> None:
    """What is called over HTTP, and what is seen of it."""
    reply = httpx.post(f"{service.url}/api/v1/functions/ask", json={"x": 1}, timeout=240)
    assert (reply.status_code, reply.json()["result"]) == (200, [{"n": 3}])
    assert reply.json()["logs"] == ["info: asked for {'x': 1}"]
    reply = httpx.post(f"{service.url}/api/v1/functions/ask", json="trouble", timeout=240)
    assert reply.status_code == 502
    message = reply.json()["error"]["message"]
    assert re.fullmatch(r"ask: RuntimeError: no such table \(ask\.py, line 5\) \(request [0-9a-f]{16}\)", message)
    reply = httpx.post(f"{service.url}/api/v1/functions/ask?wait=false", json="trouble", timeout=240)
    assert (reply.status_code, reply.json()["queued"]) == (202, True)
    wait_until(lambda: counts(service, "ask")["failed"] == 1, within=240, what="the event set aside")
    [aside] = service.get("functions/ask")["failed"]
    assert (aside["event"], aside["error"]) == ("trouble", "RuntimeError: no such table (ask.py, line 5)")
    stages = {stage["stage"]: stage["message"] for stage in service.get("health")["stages"]}
    assert stages["function ask"] == "RuntimeError: no such table (ask.py, line 5); 1 event set aside"
    metrics = httpx.get(f"{service.url}/metrics").text
    assert 'driftline_function_events_total{function="take",outcome="done"} 200.0' in metrics
    assert 'driftline_function_failed{function="ask"} 1.0' in metrics


def test_the_guide_s_first_function_loads_and_takes_the_guide_s_event(
    tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    from driftline.cli.command_line import main  # noqa: PLC0415  it is heavy

    monkeypatch.chdir(tmp_path)
    (python, toml) = (re.findall(rf"```{kind}\n(.*?)```", GUIDE, re.DOTALL)[0] for kind in ("python", "toml"))
    (tmp_path / "on_alarm.py").write_text(python)
    (tmp_path / "driftline.toml").write_text(toml)
    event = re.findall(r'(\{"type": "alarm".*?\})\n', GUIDE, re.DOTALL)[0]
    (tmp_path / "alarm.json").write_text(event)
    assert main(["check"]) == 0
    assert main(["functions", "invoke", "on_alarm", "--event", "alarm.json"]) == 1
    said = capsys.readouterr().err
    assert "info: pump-1: temp is 91 °C" in said
    assert "publish: no service runs that could do it: start `driftline up` first (on_alarm.py, line 3)" in said
