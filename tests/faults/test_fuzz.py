"""What no well-meaning device sends: fuzzed topics and payloads, and MQTT frames cut off at every byte."""

from __future__ import annotations

import contextlib
import json
import random as randoms
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_runs import KillableService
from firmware_sim.publisher import BrokerAddress, Publisher
from undisturbed_runs import assert_undisturbed, entries_of

from alerts.alarm_settings import AlarmSettings
from devices.messages import MessageChunk
from devices.rejection_reasons import NO_DATA
from ingest.broker_settings import BrokerSettings
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from ingest.receive import Receiver
from ingest.receiver_state import ReceiverState
from ingest.session import MqttSession
from storage.embedded.database import EmbeddedStore
from storage.journal.sqlite_journal import SqliteJournal
from storage.store import JournalEntry, StepOutput

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

SECOND = 10**9
START = 1_750_000_000 * SECOND
DROPPED = {"dropped.ignored", "dropped.state", *(f"dropped.{reason.value}" for reason in NO_DATA)}
DETECTORS = {"default": ComponentSettings(type="zscore", warmup=20)}
LEVELS = (
    "plant",
    "d1",
    "größe",
    "°C",
    "\U0001f600",
    " ",
    "",
    "a" * 300,
    "{device}",
    "..",
    "'; DROP TABLE",
    "%s",
    "\u202e",
)


def fuzzed_topic(random: randoms.Random) -> bytes:
    """A topic that a broker takes, however odd."""
    levels = [random.choice(LEVELS) for _ in range(random.randrange(1, 6))]
    return "/".join([f"d{random.randrange(50)}", *levels]).encode()


def fuzzed_payload(random: randoms.Random) -> bytes:
    """A payload that is wrong in some way, or right by chance."""
    body = {"ts": START // 10**6 + random.randrange(10**6), "v": random.random(), "s": {"x": [1, 2]}}
    good = json.dumps(body).encode()
    kind = random.randrange(6)
    if kind == 0:
        return random.randbytes(random.randrange(200))
    if kind == 1:
        return good[: random.randrange(len(good))]
    if kind == 2:
        at = random.randrange(len(good))
        return good[:at] + random.randbytes(random.randrange(1, 4)) + good[at + 1 :]
    if kind == 3:
        return random.choice((b"", b"NaN", b"1e999", b"-", b"null", b"[[[[", b"true", b"0x10", b"\x00" * 99))
    if kind == 4:
        return b'{"a":' * random.randrange(200) + b"1"
    return good


def fuzzed(random: randoms.Random) -> tuple[bytes, bytes]:
    """A topic, which no broker may have let pass, and a payload."""
    known = b"plant/d%d" % random.randrange(50)
    topic = random.choice((known, random.randbytes(random.randrange(20)), fuzzed_topic(random)))
    return topic, fuzzed_payload(random)


def test_fuzzed_payloads_and_topics_each_end_in_a_counted_place(
    tmp_path: Path, extent: Any, report: Callable[..., None]
) -> None:
    random = randoms.Random(extent.seed)
    made = Engine((RouteSettings(filter="#"),), DETECTORS, AlarmSettings(), LimitSettings())
    messages, alone = extent.of(10_000, 100_000), extent.of(2_000, 10_000)
    offset = position = 0
    arrival = START + 10**6 * SECOND
    totals: dict[str, int] = {}
    with EmbeddedStore(tmp_path / "fuzzed.duckdb") as store:
        while offset < messages:
            rows = [(*fuzzed(random), arrival + i, 1) for i in range(1 if offset < alone else 500)]
            output: StepOutput = made.step(JournalEntry(position, offset, MessageChunk.of(rows)))
            assert output.counts["received"] >= len(rows), rows
            in_letters = sum(sum(letter.rejected.values()) for letter in output.dead_letters)
            dropped = {name: count for name, count in output.counts.items() if name.startswith("dropped.")}
            assert dropped.keys() <= DROPPED
            assert output.counts["received"] == len(output.points) + in_letters + sum(dropped.values()), rows
            if offset >= alone or position % 100 == 0:
                store.commit(output)
            offset, position, arrival = offset + len(rows), position + 1, arrival + 1000
            for name, count in output.counts.items():
                totals[name] = totals.get(name, 0) + count
    rejected = sum(count for name, count in totals.items() if name.startswith("rejected."))
    assert np.isfinite(list(totals.values())).all()
    report("fuzzed payloads and topics", messages=offset, received=totals["received"], rejected=rejected, crashes=0)


@pytest.mark.service("mosquitto")
def test_fuzzed_messages_through_a_broker_each_end_in_a_counted_place(
    service: KillableService, mosquitto: Any, wait_until: Any, tmp_path: Path, extent: Any, report: Callable[..., None]
) -> None:
    """Beside them, clients that send no MQTT at all, and topics for which the broker ends their connection."""
    random = randoms.Random(extent.seed)
    messages = extent.of(5_000, 100_000)
    # Some of its times are of last year, beside present ones: nothing is to leave for its age meanwhile.
    service.configure(mosquitto.url, '[store]\nkeep = "9999d"\n')
    service.start()
    address = BrokerAddress.parse(mosquitto.url)
    with Publisher(address, client_id="fuzz", in_flight=500, say=lambda _: None) as publisher:
        publisher.open()
        for start in range(0, messages, 500):
            publisher.send([(fuzzed_topic(random), fuzzed_payload(random)) for _ in range(min(500, messages - start))])
            with contextlib.suppress(OSError), socket.create_connection((mosquitto.host, mosquitto.port)) as hostile:
                hostile.sendall(random.randbytes(random.randrange(1, 300)))
        assert publisher.drain(60)
        delivered = publisher.acknowledged
        assert delivered == messages
        wait_until(lambda: service.settled(delivered), what="everything in its place")
        counts = service.get("counts")
    assert counts["messages"] == delivered, "nothing was delivered twice here, and nothing less than once"
    assert counts["received"] >= delivered
    rejected = sum(counts["rejected"].values())
    assert rejected > delivered // 4
    assert service.end() == 0, service.log
    assert "Traceback" not in service.log, service.log
    assert_undisturbed(service, entries_of(service.data / "journal.db"), tmp_path / "undisturbed.duckdb")
    report(
        "fuzzed payloads and topics through a broker",
        messages=delivered,
        received=counts["received"],
        rejected=rejected,
        reasons=len(counts["rejected"]),
        crashes=0,
    )


def publish_frame(quality: int, packet_id: int, payload: bytes, *, version_5: bool) -> bytes:
    identifier = packet_id.to_bytes(2) if quality else b""
    body = b"\x00\x01t" + identifier + (b"\x00" if version_5 else b"") + payload
    return bytes([0x30 | quality << 1, len(body)]) + body


def session_frames(*, version_5: bool) -> list[tuple[bytes, int]]:
    """What a broker sends on one connection, frame by frame, each with how many messages have come by its end."""
    properties = b"\x00" if version_5 else b""
    frames = [(bytes([0x20, 2 + version_5]) + b"\x00\x00" + properties, 0)]
    frames.append((bytes([0x90, 3 + version_5]) + b"\x00\x01" + properties + b"\x02", 0))
    for number, quality in enumerate((0, 1, 2, 1), start=1):
        frames.append((publish_frame(quality, number, b"%d" % number, version_5=version_5), number))
    frames.append((b"\x62\x02\x00\x03", 4))
    frames.append((b"\xd0\x00", 4))
    return frames


class CuttingPeer:
    """Takes one connection, sends the given bytes on it, and closes it; who comes again is refused."""

    def __init__(self, stream: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._listener.getsockname()[1]}"
        self._stream = stream
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> CuttingPeer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._thread.join(60)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            self._listener.close()
            with connection:
                connection.settimeout(60)
                connection.recv(4096)  # CONNECT
                connection.sendall(self._stream)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_frames_cut_off_at_every_byte_leave_what_was_whole(
    protocol: str, tmp_path: Path, wait_until: Any, report: Callable[..., None]
) -> None:
    """The connection ends after each number of bytes: the messages whose frames were whole are in the journal."""
    frames = session_frames(version_5=protocol == "5")
    stream = b"".join(frame for frame, _ in frames)
    expected = [0]
    for frame, messages in frames:
        expected += [expected[-1]] * (len(frame) - 1) + [messages]
    assert len(expected) == len(stream) + 1
    whole = 0
    with SqliteJournal(tmp_path / "journal.db") as journal:
        for end, messages in enumerate(expected):
            before = journal.next_offset
            with CuttingPeer(stream[:end]) as peer:
                broker = BrokerSettings(url=peer.url, client_id="driftline", protocol=protocol)
                session = MqttSession(broker, {"t": 2}, group_bytes=65_536, max_payload=1_000)
                receiver = Receiver(session, journal, lambda: 1)
                receiver.start()
                wait_until(lambda of=receiver: of.statistics().state == ReceiverState.NO_BROKER, what="the cut")
                assert receiver.stop()
            assert receiver.statistics().messages == messages == journal.next_offset - before
            whole += messages
        payloads = [e.chunk.payload(i) for e in journal.read(0) for i in range(len(e.chunk))]
    assert set(payloads) == {b"1", b"2", b"3", b"4"}
    report(f"MQTT {protocol} cut off at every byte", cuts=len(expected), messages=whole, crashes=0)
