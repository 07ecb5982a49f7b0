"""Streams as a person runs them: the audience example from one end to the other, and through kill -9."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "streams.md").read_text(encoding="utf-8")
SECOND = 1_000_000_000
PHONES = 500
SYSTEMS, QUADRANTS = ("Android", "iOS", "iOS", "Android", "Android"), ("A", "B", "C", "D")

WaitUntil = Callable[..., None]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


TUTORIAL = blocks("toml")[0]


class Listener:
    """What comes on a topic of the broker, as JSON."""

    def __init__(self, url: str, topic: str) -> None:
        self.heard: list[dict[str, Any]] = []
        self.subscribed = False
        host, port = url.removeprefix("mqtt://").rsplit(":", 1)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _client, _data, message: self.heard.append(json.loads(message.payload))
        self._client.on_subscribe = lambda *_: setattr(self, "subscribed", True)
        self._client.connect(host, int(port))
        self._client.subscribe(topic, 1)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Crowd:
    """Phones that publish once a second what they are and where they sit, at the time that they say."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("mqtt://").rsplit(":", 1)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.max_queued_messages_set(0)
        self._client.connect(host, int(port))
        self._client.loop_start()

    def publish(self, second: int, phones: int = PHONES) -> None:
        """One message of each phone, spread over the second that begins at `second` since 1970."""
        sent = []
        for phone in range(phones):
            said = {
                "ts": second * 1000 + phone * 1000 // phones,
                "os": SYSTEMS[phone % len(SYSTEMS)],
                "quadrant": QUADRANTS[phone % len(QUADRANTS)],
            }
            sent.append(self._client.publish(f"audience/phone-{phone:03}", json.dumps(said), qos=1))
        for one in sent:
            one.wait_for_publish(30)
            assert one.is_published()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def test_the_tutorial_is_what_the_audience_example_gives(service: Any, wait_until: WaitUntil) -> None:
    service.config.write_text(TUTORIAL)
    service.start()
    listener, crowd = Listener(service.broker_url, "rollups/#"), Crowd(service.broker_url)
    wait_until(lambda: listener.subscribed, what="the subscription")
    first = int(time.time()) - 10
    for second in range(first, first + 3):
        crowd.publish(second)
    crowd.publish(first + 3, phones=10)
    wait_until(lambda: len(listener.heard) >= 4, within=240, what="four results over MQTT")
    listener.close()
    crowd.close()
    names = ("unique_user_count", "android_count", "quadrant_a_count")
    heard = [tuple(each[name] for name in names) for each in listener.heard]
    assert heard == [(500, 300, 125), (500, 300, 125), (500, 300, 125), (10, 6, 3)]

    reply = service.get("streams/distinct_users")
    nothing = dict.fromkeys(("corrected", "late", "over_limit", "failed", "refused", "unpublished"), 0)
    assert reply["counts"] == {"received": 1510, "taken": 1510, "windows": 4, "rows": 4, "published": 4, **nothing}
    assert (reply["problem"], reply["declared"]) == ("", True)
    assert [row[reply["row_columns"].index("id")] for row in reply["newest"]] == [
        each["id"] for each in reversed(listener.heard)
    ]
    assert [each["name"] for each in service.get("streams")["streams"]] == ["distinct_users"]
    rows = service.query("select unique_user_count from distinct_users order by window_end")
    assert [row["unique_user_count"] for row in rows] == [500, 500, 500, 10]
    assert "500" in service.cli("streams", "show", "distinct_users", "--data", str(service.data))
    # What the stream published came back, and is nobody's reading.
    devices = {each["device"] for each in service.get("devices")["devices"]}
    assert not any(device.startswith("rollups") for device in devices)
    assert service.stop() == 0, service.log
    [listed] = json.loads(service.cli("streams", "list", "--data", str(service.data), "--format", "json"))
    assert (listed["stream"], listed["received"], listed["rows"]) == ("distinct_users", 1510, 4)


FULL_HOUSE = """
[[streams]]
name = "full_house"
from = "distinct_users"
window = { size = "1s" }
sql = "select max(unique_user_count) as users from window"
to = ["alarm"]
alarm = { when = "users >= 40", sentence = "{users} phones at once", value = "users", clear_after = "1h" }
"""


def test_kill_9_loses_no_row_and_gives_none_twice(service: Any, wait_until: WaitUntil) -> None:
    service.config.write_text(TUTORIAL + FULL_HOUSE)
    first = int(time.time()) - 60
    seconds = 12
    service.start()
    for number in range(seconds):
        crowd = Crowd(service.broker_url)
        crowd.publish(first + number, phones=40)
        crowd.close()
        if number in (3, 7):
            service.stop(signal.SIGKILL)
            service.start()
    wait_until(
        lambda: service.get("streams/distinct_users")["counts"]["windows"] >= seconds, within=240, what="every window"
    )
    [alarm] = service.get("alarms")["alarms"]
    told = tuple(alarm[key] for key in ("device", "metric", "state", "severity", "value", "reason"))
    assert told == ("full_house", "stream:full_house", "open", "major", 40.0, "40 phones at once")
    assert service.stop() == 0, service.log
    rows = service.query(
        "select epoch(window_start)::BIGINT as second, unique_user_count as users, id from distinct_users order by 1"
    )
    assert [(row["second"] - first, row["users"]) for row in rows] == [(number, 40) for number in range(seconds)]
    assert len({row["id"] for row in rows}) == seconds
    listed, _ = json.loads(service.cli("streams", "list", "--data", str(service.data), "--format", "json"))
    told = tuple(listed[key] for key in ("stream", "received", "late", "rows"))
    assert told == ("distinct_users", 40 * seconds, 0, seconds)


ABOVE_LIMIT = """
[[streams]]
name = "above_limit"
from = "readings"
window = { size = "1s" }
sql = '''select device, max(temperature) as highest, any_value(high) as high
         from window join limits using (device) group by device'''
[streams.tables]
limits = "limits.csv"
"""


def test_a_table_that_changes_is_in_force_from_there_on_through_kill_9(service: Any, wait_until: WaitUntil) -> None:
    limits = service.folder / "limits.csv"

    def set_limit(high: int) -> None:
        limits.write_text(f"device,high\noven,{high}\n")

    def heat(second: int, windows: int) -> None:
        """Two windows of which the first is complete, and as many rows as that makes."""
        host, port = service.broker_url.removeprefix("mqtt://").rsplit(":", 1)
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        client.connect(host, int(port))
        client.loop_start()
        for each in (second, second + 3):
            body = json.dumps({"ts": each * 1000, "temperature": 90})
            client.publish("oven", body, qos=1).wait_for_publish(30)
        client.disconnect()
        client.loop_stop()
        wait_until(
            lambda: service.get("streams/above_limit")["counts"]["windows"] >= windows, within=240, what="a window"
        )

    first = int(time.time()) - 100
    set_limit(80)
    service.config.write_text(ABOVE_LIMIT)
    service.start()
    heat(first, 2)
    set_limit(85)
    said = 'the table "limits" of stream "above_limit" has changed: limits.csv, 1 row, in force from journal position'
    wait_until(lambda: said in " ".join(service.log.split()), within=240, what="the changed table")
    heat(first + 20, 4)
    limits.write_text("device,high\noven\n")
    wait_until(lambda: "line 2: 1 values, expected 2" in " ".join(service.log.split()), what="the error")
    service.stop(signal.SIGKILL)
    set_limit(95)
    service.start()
    heat(first + 40, 6)
    assert service.stop() == 0, service.log
    rows = service.query("select highest, high from above_limit order by window_start")
    assert [(row["highest"], row["high"]) for row in rows] == [(90, limit) for limit in (80, 80, 85, 85, 95, 95)]


def test_the_recording_of_the_tutorial_gives_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from driftline.cli.command_line import main  # noqa: PLC0415  it is heavy

    monkeypatch.chdir(tmp_path)
    (tmp_path / "driftline.toml").write_text(TUTORIAL)
    (tmp_path / "crowd.jsonl").write_text(blocks("json")[0])
    assert main(["streams", "test", "crowd.jsonl"]) == 0
    shown = blocks("console")[0].removeprefix("$ driftline streams test crowd.jsonl\n")
    printed = capsys.readouterr().out
    assert [line.split() for line in printed.splitlines()] == [line.split() for line in shown.splitlines()]
