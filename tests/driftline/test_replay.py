from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from firmware_sim.publisher import BrokerUnreachableError
from paho.mqtt.enums import CallbackAPIVersion

from common.storage_errors import StorageCorruptError
from devices.messages import FLAG_DUPLICATE, FLAG_REDELIVERED, MessageChunk
from driftline.runtime.replaying import ReplaySettings, replay
from storage.journal.sqlite_journal import SqliteJournal
from tuning.recordings import RecordingError

SECOND = 1_000_000_000


class Listener:
    """Keeps all that is published, in order."""

    def __init__(self, host: str, port: int) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._arrived = threading.Condition()
        ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "listener")
        self._client.on_connect = lambda client, *_: client.subscribe("#", 2)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = self._keep
        self._client.connect(host, port)
        self._client.loop_start()
        assert ready.wait(60)

    def _keep(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        with self._arrived:
            self.messages.append((message.topic, bytes(message.payload)))
            self._arrived.notify_all()

    def wait_for(self, count: int) -> list[tuple[str, bytes]]:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.messages) >= count, 20), len(self.messages)
            return list(self.messages)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def listener(mosquitto: Any) -> Iterator[Listener]:
    opened = Listener(mosquitto.host, mosquitto.port)
    yield opened
    opened.close()


def recording(folder: Path, name: str, rows: list[str], header: str = "timestamp,value") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.csv"
    path.write_text(header + "\n" + "".join(f"{row}\n" for row in rows))
    return path


def minutes(count: int, start: int = 0) -> list[str]:
    return [f"2024-05-01 {12 + i // 60}:{i % 60:02}:00,{start + i}" for i in range(count)]


@pytest.mark.service("mosquitto")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_each_file_is_a_device_and_every_row_arrives_in_file_order(
    mosquitto: Any, listener: Listener, tmp_path: Path, qos: int
) -> None:
    oven_rows = minutes(500)
    oven_rows[7], oven_rows[8] = oven_rows[8], oven_rows[7]
    oven_rows[100] = oven_rows[99]
    files = [recording(tmp_path, "oven", oven_rows), recording(tmp_path, "pump", minutes(300, 1000))]
    counts = replay(files, mosquitto.url, ReplaySettings(qos=qos))
    assert [(c.topic, c.rows, c.published, c.acknowledged, c.skipped, c.missing) for c in counts] == [
        ("replay/oven", 500, 500, 500, 0, 0),
        ("replay/pump", 300, 300, 300, 0, 0),
    ]
    arrived = listener.wait_for(800)
    oven = [json.loads(payload) for topic, payload in arrived if topic == "replay/oven"]
    assert oven == [{"timestamp": time, "value": float(value)} for time, value in (row.split(",") for row in oven_rows)]


@pytest.mark.service("mosquitto")
def test_cells_and_rows_without_numbers_are_counted(mosquitto: Any, listener: Listener, tmp_path: Path) -> None:
    rows = ["2024-05-01,1,2,0", "2024-05-02,,3,0", "2024-05-03,NaN,,1", "2024-05-04,4,5,1"]
    path = recording(tmp_path, "oven", rows, "ts,a,b,label")
    (counts,) = replay([path], mosquitto.url, ReplaySettings(ignore=("label",)))
    assert (counts.rows, counts.published, counts.skipped, counts.missing) == (4, 3, 1, 1)
    assert [json.loads(payload) for _, payload in listener.wait_for(3)] == [
        {"timestamp": "2024-05-01", "a": 1.0, "b": 2.0},
        {"timestamp": "2024-05-02", "b": 3.0},
        {"timestamp": "2024-05-04", "a": 4.0, "b": 5.0},
    ]


@pytest.mark.service("mosquitto")
def test_files_of_one_name_are_told_apart_by_their_folders(mosquitto: Any, tmp_path: Path) -> None:
    files = [recording(tmp_path / folder, "0", minutes(3)) for folder in ("valve1", "valve2")]
    with pytest.raises(RecordingError, match="would be device '0'"):
        replay(files, mosquitto.url)
    counts = replay(files, mosquitto.url, ReplaySettings(device="{folder}-{stem}", prefix="lab"))
    assert [c.topic for c in counts] == ["lab/valve1-0", "lab/valve2-0"]


@pytest.mark.service("mosquitto")
def test_at_a_speed_files_run_side_by_side(mosquitto: Any, listener: Listener, tmp_path: Path) -> None:
    files = [recording(tmp_path, name, minutes(5)) for name in ("oven", "pump")]
    replay(files, mosquitto.url, ReplaySettings(speed=6000))
    topics = [topic for topic, _ in listener.wait_for(10)]
    assert topics == ["replay/oven", "replay/pump"] * 5


@pytest.mark.service("mosquitto")
def test_a_replay_that_is_stopped_says_how_far_it_came(mosquitto: Any, listener: Listener, tmp_path: Path) -> None:
    stop = threading.Event()
    path = recording(tmp_path, "oven", minutes(600))
    ended: list[int] = []

    def play() -> None:
        (counts,) = replay([path], mosquitto.url, ReplaySettings(speed=60), stop=stop)
        ended.append(counts.published)

    thread = threading.Thread(target=play)
    thread.start()
    listener.wait_for(1)
    stop.set()
    thread.join(60)
    assert len(ended) == 1
    assert 1 <= ended[0] < 600


@pytest.mark.service("mosquitto")
def test_a_row_that_cannot_be_read_ends_the_replay_after_those_before_it(
    mosquitto: Any, listener: Listener, tmp_path: Path
) -> None:
    path = recording(tmp_path, "oven", [*(f"{1_700_000_000 + i},{i}" for i in range(1500)), "yesterday,1"])
    with pytest.raises(RecordingError, match=r"line 1502: column 'timestamp': 'yesterday'"):
        replay([path], mosquitto.url)
    assert len(listener.wait_for(1500)) == 1500


@pytest.mark.service("mosquitto")
def test_a_journal_is_published_as_it_was_recorded(mosquitto: Any, listener: Listener, tmp_path: Path) -> None:
    messages = [(f"plant/{i % 3}".encode(), b"\x00\xff%d" % i, i * SECOND, 1) for i in range(1, 50)]
    internal = (b"$SYS/broker/uptime", b"5", 60 * SECOND, 0)
    again = (*messages[-1][:2], 61 * SECOND, 1 | FLAG_DUPLICATE | FLAG_REDELIVERED)
    with SqliteJournal(tmp_path / "journal.sqlite") as journal:
        journal.append(MessageChunk.of(messages[:30]))
        journal.append(MessageChunk.of([], ticked_at=40 * SECOND))
        journal.append(MessageChunk.of([*messages[30:], internal, again]))
    (counts,) = replay([tmp_path / "journal.sqlite"], mosquitto.url)
    assert (counts.rows, counts.published, counts.acknowledged, counts.skipped) == (51, 49, 49, 2)
    assert listener.wait_for(49) == [(topic.decode(), payload) for topic, payload, _, _ in messages]


def test_a_journal_is_replayed_alone(tmp_path: Path, free_port: int) -> None:
    with SqliteJournal(tmp_path / "journal.sqlite"):
        pass
    files = [recording(tmp_path, "oven", minutes(3)), tmp_path / "journal.sqlite"]
    with pytest.raises(RecordingError, match="alone"):
        replay(files, f"mqtt://127.0.0.1:{free_port}")


@pytest.mark.service("mosquitto")
def test_a_database_that_is_no_journal_is_refused(mosquitto: Any, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("CREATE TABLE t(x)")
    database.close()
    with pytest.raises(StorageCorruptError, match=r"other\.db"):
        replay([tmp_path / "other.db"], mosquitto.url)


def test_no_broker_is_said_before_anything_is_read(tmp_path: Path, free_port: int) -> None:
    path = recording(tmp_path, "oven", minutes(3))
    with pytest.raises(BrokerUnreachableError, match=f"no broker answers at mqtt://127.0.0.1:{free_port}"):
        replay([path], f"mqtt://127.0.0.1:{free_port}")


def test_a_wrong_device_template_is_named(tmp_path: Path, free_port: int) -> None:
    path = recording(tmp_path, "oven", minutes(3))
    with pytest.raises(RecordingError, match=r"expected {stem} and {folder}"):
        replay([path], f"mqtt://127.0.0.1:{free_port}", ReplaySettings(device="{name}"))


def test_numbers_in_a_second_time_column_do_not_overwrite_the_times(tmp_path: Path, free_port: int) -> None:
    path = recording(tmp_path, "oven", ["2024-05-01,12,1"], "time,timestamp,value")
    with pytest.raises(RecordingError, match="column 'timestamp' holds numbers"):
        replay([path], f"mqtt://127.0.0.1:{free_port}", ReplaySettings(time_column="time"))
