"""Receivers write the messages of a broker to Kafka: each once, in order of its device, whatever is killed."""

from __future__ import annotations

import itertools
import math
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fault_runs import KillableService
from kafka_bench import Running, Sent, configured, is_at_end, read_all, reading, rows_of, values, write, written
from kafka_server import KafkaServer
from receiver_bench import Publisher
from undisturbed_runs import assert_undisturbed, differences_of_tables, entries_of, settings_of, tables_of, undisturbed

from devices.messages import MessageChunk
from driftline.cli.command_line import main
from driftline.cluster.device_keys import DeviceKeys
from driftline.cluster.kafka_intake import KafkaIntake
from driftline.config import Config, parse_config
from storage.journal.kafka_journal import KafkaJournal
from storage.journal.kafka_writer import KafkaWriter
from storage.store import JournalEntry

pytestmark = [pytest.mark.service("kafka", "mosquitto"), pytest.mark.timeout(900)]


@pytest.fixture
def ends() -> Iterator[list[Callable[[], object]]]:
    found: list[Callable[[], object]] = []
    yield found
    for end in reversed(found):
        end()


@pytest.fixture
def publisher(mosquitto: Any, ends: list[Callable[[], object]]) -> Publisher:
    made = Publisher(mosquitto.port)
    ends.append(made.close)
    return made


def test_two_receivers_share_the_messages_and_keep_each_device_in_order(
    kafka: KafkaServer, mosquitto: Any, publisher: Publisher, ends: list[Callable[[], object]], wait_until: Any
) -> None:
    config = parse_config(configured(mosquitto, kafka, "shared"))
    receivers = [Running(config, name) for name in ("one", "two")]
    ends += [each.stop for each in receivers]
    wait_until(lambda: all(each.subscribed for each in receivers), what="both subscriptions")
    sent = {f"plant/d{n}/state": publisher.send(40, topic=f"plant/d{n}/state") for n in range(5)}
    wait_until(lambda: sum(each.receiver.counts().written for each in receivers) == 200, what="the messages")
    for each in receivers:
        each.stop()

    records = kafka.records("shared")
    assert values(records) == Counter(payload for payloads in sent.values() for payload in payloads)
    assert {record.key for record in records} == {b"d0", b"d1", b"d2", b"d3", b"d4"}
    for topic, payloads in sent.items():
        own = [record for record in records if record.headers["topic"] == topic.encode()]
        assert len({record.partition for record in own}) == 1
        assert sorted(record.value for record in own) == sorted(payloads)
    assert all(record.headers["flags"] == b"1" for record in records)
    assert all(int(record.headers["arrived"]) > 1_700_000_000 * 10**9 for record in records)
    assert {record.headers["receiver"] for record in records} == {b"driftline-receive-one", b"driftline-receive-two"}
    counts = [each.receiver.counts() for each in receivers]
    assert all(one.written > 0 and one.waiting == 0 and one.refused == 0 for one in counts)
    assert receivers[0].told("receiving ") == [
        f'receiving $share/driftline/plant/# from {mosquitto.url} as "driftline-receive-one"'
    ]


def test_what_kafka_has_and_the_broker_sends_again_is_not_written_twice(
    kafka: KafkaServer,
    mosquitto: Any,
    publisher: Publisher,
    ends: list[Callable[[], object]],
    wait_until: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first receiver writes and falls silent before it acknowledges, as one that is killed there."""
    config = parse_config(configured(mosquitto, kafka, "again"))
    first = Running(config, "one")
    wait_until(lambda: first.subscribed, what="the subscription")
    with monkeypatch.context() as silent:
        silent.setattr("ingest.session.send_acknowledgements", lambda _client, _group: None)
        sent = publisher.send(50, topic="plant/a/state")
        wait_until(lambda: first.receiver.counts().written == 50, what="the messages")
        first.stop()
    second = Running(config, "one")
    ends.append(second.stop)
    wait_until(lambda: second.receiver.counts().written >= 50, what="what was not acknowledged")
    sent += publisher.send(1, topic="plant/a/state")
    wait_until(lambda: second.receiver.counts().written == 51, what="the next message")
    assert values(kafka.records("again")) == Counter(sent)


def test_a_receiver_that_is_killed_loses_and_doubles_nothing(
    kafka: KafkaServer,
    mosquitto: Any,
    publisher: Publisher,
    ends: list[Callable[[], object]],
    wait_until: Any,
    tmp_path: Path,
) -> None:
    file = tmp_path / "driftline.toml"
    file.write_text(configured(mosquitto, kafka, "killed"))
    command = [sys.executable, "-m", "driftline", "receive", "--to", "kafka", "--name", "one", "-c", str(file)]
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    ends.append(first.kill)
    second = Running(parse_config(file.read_text()), "two")
    ends.append(second.stop)
    wait_until(lambda: second.subscribed, what="the subscription")
    wait_until(lambda: mosquitto.log.count("driftline-receive-one") > 0, what="the other receiver")
    sent = publisher.send(100, topic="plant/a/state")
    wait_until(lambda: kafka.count("killed") >= 50, what="the first messages")
    sending = threading.Thread(target=lambda: sent.extend(publisher.send(1500, topic="plant/b/state")))
    sending.start()
    wait_until(lambda: kafka.count("killed") >= 300, what="more messages")
    first.send_signal(signal.SIGKILL)
    first.wait(240)
    third = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    ends.append(third.kill)
    sending.join(240)
    assert not sending.is_alive()
    wait_until(lambda: kafka.count("killed") >= 1600, what="all messages")
    wait_until(lambda: mosquitto.log.count("as driftline-receive-one") > 1, what="the receiver that took its place")
    third.send_signal(signal.SIGTERM)
    out, said = third.communicate(timeout=240)
    assert third.returncode == 0
    assert out.startswith("kafka: received ") and "waiting 0" in out
    assert 'as "driftline-receive-one"' in said
    assert values(kafka.records("killed")) == Counter(sent)


def test_while_kafka_is_away_messages_stay_at_the_broker(
    kafka: KafkaServer,
    mosquitto: Any,
    publisher: Publisher,
    ends: list[Callable[[], object]],
    wait_until: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "driftline.toml"
    file.write_text(f'data = "{tmp_path / "var"}"\n{configured(mosquitto, kafka, "away")}')
    config = parse_config(file.read_text())
    receiver = Running(config, "one")
    ends.append(receiver.stop)
    wait_until(lambda: receiver.subscribed, what="the subscription")
    sent = publisher.send(20, topic="plant/a/state")
    wait_until(lambda: receiver.receiver.counts().written == 20, what="the first messages")
    journal, intake = reading_intake(config, tmp_path, ends)
    wait_until(lambda: intake.statistics().messages == 20, what="the first messages in the journal")
    kafka.stop(signal.SIGKILL)
    try:
        sent += publisher.send(100, topic="plant/a/state")
        wait_until(lambda: receiver.told("Kafka away: "), what="the word that Kafka is away")
        counts = receiver.receiver.counts()
        assert counts.written == 20
        assert 0 < counts.waiting <= 100
        (told,) = receiver.told("Kafka away: ")
        assert f'Kafka at {kafka.server}, topic "away"' in told
        assert told.endswith("messages wait in memory, the rest at the broker")
        wait_until(lambda: intake.statistics().state == "Kafka away", what="the reader's word")
        position = intake.given.append_actions(b"[]", timeout=120)
        assert main(["doctor", "--config", str(file)]) == 1
        assert f'Kafka at {kafka.server}, topic "away": ' in capsys.readouterr().out
    finally:
        kafka.start()
    wait_until(lambda: receiver.receiver.counts().written == 120, what="the rest")
    wait_until(lambda: receiver.told("receiving and writing again"), what="the word that it goes on")
    wait_until(lambda: main(["doctor", "--config", str(file)]) == 0, what="nothing wrong")
    assert f'Kafka at {kafka.server}, topic "away": 4 partitions' in capsys.readouterr().out
    assert values(kafka.records("away")) == Counter(sent)
    wait_until(lambda: intake.statistics().messages == 120, what="the rest in the journal")
    assert intake.stop(240)
    entries = list(journal.read(0))
    assert Counter(payload for entry in entries for _, payload, _, _ in rows_of(entry.chunk)) == Counter(sent)
    assert entries[position].chunk.actions == b"[]"
    assert any(entry.chunk.after_reception_gap for entry in entries[position:])


def reading_intake(config: Config, folder: Path, ends: list[Callable[[], object]]) -> tuple[KafkaJournal, KafkaIntake]:
    journal = KafkaJournal(folder / "journal.db").open()
    intake = KafkaIntake(
        config.kafka, config.broker, journal, time.time_ns, filters={}, group_bytes=4096, on_append=lambda *_: None
    )
    intake.start()
    ends += [journal.close, intake.stop]
    return journal, intake


def test_what_is_too_large_for_the_topic_is_left_out_with_a_reason(
    kafka: KafkaServer,
    mosquitto: Any,
    publisher: Publisher,
    ends: list[Callable[[], object]],
    wait_until: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415  an extra
    from confluent_kafka.cimpl import NewTopic  # noqa: PLC0415

    small = NewTopic("small", num_partitions=1, config={"max.message.bytes": "3000"})
    admin = AdminClient({"bootstrap.servers": kafka.server})
    admin.create_topics([small])["small"].result(240)
    receiver = Running(parse_config(configured(mosquitto, kafka, "small")), "one")
    ends.append(receiver.stop)
    wait_until(lambda: receiver.subscribed, what="the subscription")
    random = Random(5)
    payloads = [random.randbytes(size) for size in (1000, 9000, 1000, 1000, 1000)]
    for payload in payloads:
        publisher.client.publish("plant/a/state", payload, qos=1)
    wait_until(lambda: receiver.receiver.counts().written == 5, what="the messages")
    assert receiver.receiver.counts().refused == 1
    assert values(kafka.records("small")) == Counter(payloads[:1] + payloads[2:])
    assert (
        'topic "plant/a/state": a message of 9000 bytes is larger than '
        f'Kafka at {kafka.server}, topic "small" takes (max.message.bytes): it is left out'
    ) in caplog.messages


def test_partitions_are_merged_by_arrival_and_read_on_behind_what_was_read(
    kafka: KafkaServer, wait_until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from confluent_kafka import Producer  # noqa: PLC0415  an extra

    first = [(b"plant/%d" % (n % 7), b"%d" % n, 1_700_000_000_000_000_000 + n * 1000, n % 2) for n in range(2000)]
    settings = written(kafka, "merged", first, wait_until)
    foreign = Producer({"bootstrap.servers": kafka.server})
    foreign.produce("merged", value=b"21.5", key=b"x", partition=1)
    assert foreign.flush(240) == 0
    reader = reading(settings, {}, wait_until, group_bytes=500)
    found, offsets = read_all(reader, len(first), wait_until)
    wait_until(lambda: is_at_end(reader), what="the end")
    reader.close()
    assert found == first
    assert sum(offsets.values()) == len(first)
    assert reader.refused == 1
    assert any('no receiver wrote this record: header "topic" is missing; it is left out' in m for m in caplog.messages)

    later = [(b"plant/%d" % (n % 7), b"later", 1_700_000_001_000_000_000 + n, 0) for n in range(10)]
    written(kafka, "merged", later, wait_until)
    again = reading(settings, offsets, wait_until, group_bytes=1 << 18)
    assert read_all(again, len(later), wait_until)[0] == later
    again.close()


def test_arrivals_of_receivers_whose_clocks_differ_are_put_in_line(kafka: KafkaServer, wait_until: Any) -> None:
    start = 1_700_000_000_000_000_000
    behind = 3_600_000_000_000
    arrivals = [start, start + 50, start + 50, start - 1_000_000, start + 60, start - behind]
    messages = [(b"plant/a", b"%d" % n, arrival, 0) for n, arrival in enumerate(arrivals)]
    settings = kafka.settings("clocks", 1)
    writer = KafkaWriter(settings, lambda _: [b"a"], receiver="test", max_payload=100, receive_maximum=10).open()
    for message in messages:
        write(writer, [message], wait_until)
    writer.close()
    reader = reading(settings, {}, wait_until, group_bytes=1 << 18)
    found, _ = read_all(reader, len(messages), wait_until)
    reader.close()
    assert [payload for _, payload, _, _ in found] == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert [arrival - start for _, _, arrival, _ in found] == [0, 50, 51, 52, 60, -behind]


SERVICE = """
[journal]
type = "kafka"
group_bytes = 4096

[detectors.high]
type = "threshold"
upper = 60.0
"""
MESSAGES, DEVICES = 3_000, 5


def readings(first: int, count: int, start: int) -> list[Sent]:
    """Readings of five devices, 2 ms apart from `start` (ns) on; every other device has no clock."""
    found = []
    for number in range(first, first + count):
        arrival = start + (number - first) * 2_000_000
        n, device = divmod(number, DEVICES)
        value = 20 + math.sin(n / 20) + (number * 2654435761 % 1000) / 2000 + (60 if n % 300 > 290 else 0)
        told = f'"ts":{arrival // 1_000_000},' if device % 2 else ""
        found.append((b"plant/d%d/state" % device, f'{{{told}"v":{value:.3f}}}'.encode(), arrival, 0))
    return found


def cut_otherwise(journal: list[JournalEntry], messages: list[Sent]) -> list[JournalEntry]:
    """The messages in chunks of 97, and the journal's ticks between them, each behind the message before it."""
    chunks: list[MessageChunk] = []
    at = 0
    for is_tick, run in itertools.groupby((entry.chunk for entry in journal), key=lambda chunk: not len(chunk)):
        taken = list(run)
        if is_tick:
            chunks += taken
            continue
        end = at + sum(len(chunk) for chunk in taken)
        chunks += [MessageChunk.of(messages[start : min(start + 97, end)]) for start in range(at, end, 97)]
        at = end
    offsets = itertools.accumulate((len(chunk) for chunk in chunks), initial=0)
    return [
        JournalEntry(place, offset, chunk) for place, (offset, chunk) in enumerate(zip(offsets, chunks, strict=False))
    ]


def test_the_service_on_the_topic_stores_what_one_machine_stores_though_it_is_killed(
    kafka: KafkaServer, mosquitto: Any, ends: list[Callable[[], object]], wait_until: Any, tmp_path: Path
) -> None:
    """Scores, alarms and counts are those of one run over the same messages, otherwise cut, bit for bit."""
    service = KillableService(tmp_path / "service", wait_until)
    ends.append(lambda: service.alive and service.end(signal.SIGKILL))
    text = configured(mosquitto, kafka, "scored", SERVICE) + 'detectors = ["default", "high"]\n'
    service.configure(mosquitto.url, text[text.index("[kafka]") :])
    config = parse_config(service.config.read_text())
    keys = DeviceKeys(config)
    writer = KafkaWriter(config.kafka, keys, receiver="test", max_payload=1_048_576, receive_maximum=2000).open()
    ends.append(writer.close)
    half = MESSAGES // 2
    messages = readings(0, half, time.time_ns() - 10_000_000_000)
    write(writer, messages, wait_until)
    service.spawn(killed_at="behind a commit")
    service.await_kill("behind a commit", within=300)
    messages += readings(half, half, time.time_ns())
    write(writer, messages[half:], wait_until)
    service.start()
    wait_until(lambda: service.settled(MESSAGES), within=300, what="everything in its place")
    assert service.end() == 0, service.log

    journal = entries_of(service.data / "journal.db")
    rows = [row for entry in journal for row in rows_of(entry.chunk)]
    # A busy server may hand a partition over too late for the order of all, and a late arrival is put in line.
    assert sorted((topic, payload) for topic, payload, _, _ in rows) == sorted(
        (topic, payload) for topic, payload, _, _ in messages
    )
    assert_undisturbed(service, journal, tmp_path / "undisturbed.duckdb")
    one_machine = tmp_path / "one-machine.duckdb"
    undisturbed(cut_otherwise(journal, rows), {0: [settings_of(config)]}, one_machine)
    assert differences_of_tables(service.data / "points.duckdb", one_machine) == []
    stored = tables_of(one_machine)
    assert len(stored["points"]) == MESSAGES
    assert len(stored["alarms"]) > 0
