"""The load: devices with three metrics each, as frames encoded ahead, sent by a process of its own.

A cycle of frames is encoded once. Each time it is sent again only the digits of its times are written anew, so that
sending costs far less than anything that is measured.
"""

from __future__ import annotations

import multiprocessing
import socket
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.processes import cpu_seconds

METRICS = ("motor_temperature_celsius", "bearing_vibration_mm_per_s", "supply_pressure_millibar")
SPIKE_VALUE = 1_000_000.0

_TIME_KEY = b'"timestamp":'
_DIGITS = 13
_CHUNK = 400
_HOUR = 3_600_000


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What is sent. `step` is the time in milliseconds from one message of a device to its next.

    `topic` is a format of `device` and of `group`, the device's number modulo `groups`.
    """

    devices: int = 1_000
    readings: int = 1
    qos: int = 0
    step: int = 1_000
    cycle: int = 100_000
    topic: str = "bench/d{device:06d}"
    groups: int = 1
    seed: int = 7

    @property
    def points(self) -> int:
        """Points of one message."""
        return self.readings * len(METRICS)

    def topic_of(self, device: int) -> bytes:
        """The topic of a device."""
        return self.topic.format(device=device, group=device % self.groups).encode()


class Frames:
    """One cycle of PUBLISH frames in one block of bytes, whose times can be set."""

    def __init__(self, plan: LoadPlan) -> None:
        self.plan = plan
        self.count = max(plan.devices, plan.cycle // plan.devices * plan.devices)
        random = np.random.default_rng(plan.seed)
        total = self.count * plan.readings
        values = [
            np.round(level + spread * random.standard_normal(total), digits).tolist()
            for level, spread, digits in ((61.5, 0.8, 2), (2.35, 0.12, 3), (1013.2, 1.5, 1))
        ]
        payload_of = [
            '{"timestamp":0000000000000,"%s":%s,"%s":%s,"%s":%s}' % row  # noqa: UP031 (much the fastest here)
            for row in zip(*(c for n, v in zip(METRICS, values, strict=True) for c in ([n] * total, v)), strict=True)
        ]
        frames, starts, position = [], [], 0
        for message in range(self.count):
            topic = plan.topic_of(message % plan.devices)
            own = payload_of[message * plan.readings : (message + 1) * plan.readings]
            payload = (own[0] if plan.readings == 1 else "[" + ",".join(own) + "]").encode()
            frame = publish_frame(topic, payload, plan.qos, message % 65_535 + 1)
            starts.append(position)
            position += len(frame)
            frames.append(frame)
        self.data = bytearray(b"".join(frames))
        self.starts = np.array([*starts, position], np.int64)
        self.payload_bytes = len(payload)
        block = np.frombuffer(self.data, np.uint8)
        self._block = block
        mark = np.frombuffer(_TIME_KEY, np.uint8)
        found = np.flatnonzero(block[: len(block) - len(mark)] == mark[0])
        for offset in range(1, len(mark)):
            found = found[block[found + offset] == mark[offset]]
        self._digits_at = (found + len(mark)).astype(np.int64)

    def set_times(self, cycle: int, start: int) -> None:
        """Write the times of this cycle, going on where the cycle before it ended. `start` is ms since the epoch."""
        plan = self.plan
        passes = self.count // plan.devices
        nth = np.arange(self.count * plan.readings)
        message, reading = nth // plan.readings, nth % plan.readings
        left = start + (cycle * passes + message // plan.devices) * plan.step + reading * plan.step // plan.readings
        for digit in range(_DIGITS - 1, -1, -1):
            left, number = np.divmod(left, 10)
            self._block[self._digits_at + digit] = number + ord("0")

    def view(self, first: int, last: int) -> memoryview:
        """The bytes of messages `first` to `last` - 1 of the cycle."""
        return memoryview(self.data)[int(self.starts[first]) : int(self.starts[last])]

    def time_of(self, frame: bytes) -> int:
        """The time of a frame of one reading, ms since the epoch."""
        at = frame.index(_TIME_KEY) + len(_TIME_KEY)
        return int(frame[at : at + _DIGITS])

    def spiked(self, message: int) -> bytes:
        """The frame of one message of the cycle, with its first metric far out. QoS 0, one reading a message."""
        frame = bytes(self.view(message, message + 1))
        time_of = self.time_of(frame)
        topic = self.plan.topic_of(message % self.plan.devices)
        values = f'"{METRICS[0]}":{SPIKE_VALUE},"{METRICS[1]}":2.35,"{METRICS[2]}":1013.2'
        return publish_frame(topic, f'{{"timestamp":{time_of},{values}}}'.encode(), 0, 0)


def publish_frame(topic: bytes, payload: bytes, qos: int, packet_id: int) -> bytes:
    """A PUBLISH frame (MQTT 3.1.1, section 3.3)."""
    identifier = packet_id.to_bytes(2) if qos else b""
    length = 2 + len(topic) + len(identifier) + len(payload)
    header = bytearray((0x30 | qos << 1,))
    while length >= 0x80:
        header.append(length & 0x7F | 0x80)
        length >>= 7
    header.append(length)
    return bytes(header) + len(topic).to_bytes(2) + topic + identifier + payload


def connect(port: int, name: str) -> socket.socket:
    """An MQTT 3.1.1 connection, accepted, with a clean session and no keep-alive."""
    client_id = name.encode()
    body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(client_id).to_bytes(2) + client_id
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(b"\x10" + bytes([len(body)]) + body)
    if connection.recv(4, socket.MSG_WAITALL) != b"\x20\x02\x00\x00":
        raise OSError(f"the broker on port {port} refuses {name}")
    return connection


class Publisher:
    """The sending process, and how to ask it. One request at a time; `begin` and `finish` leave time between them."""

    def __init__(self, port: int, plan: LoadPlan, *, start: int | None = None) -> None:
        self.plan = plan
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        first = round(time.time() * 1000) - 48 * _HOUR if start is None else start
        self._process = context.Process(target=_publish, args=(theirs, port, plan, first), daemon=True)
        self._process.start()
        self.payload_bytes = int(self._pipe.recv())

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid or 0

    def cpu(self) -> float:
        """Its CPU seconds so far."""
        return cpu_seconds(self.pid)

    def begin(self, messages: int, *, rate: float = 0.0, spike_every: float = 0.0) -> None:
        """Send so many messages, at `rate` a second (0: as fast as the broker takes them)."""
        self._pipe.send((messages, rate, spike_every))

    def finish(self) -> dict[str, Any]:
        """Wait until all is sent: `seconds` it took, and `spikes`: (device number, when it was sent, its time) of each,
        both in ns since the epoch."""
        answer: dict[str, Any] = self._pipe.recv()
        return answer

    def send(self, messages: int, *, rate: float = 0.0) -> dict[str, Any]:
        """Send so many messages and wait until they are sent."""
        self.begin(messages, rate=rate)
        return self.finish()

    def stop(self) -> None:
        """End the process."""
        self._pipe.send(None)
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _publish(pipe: Connection, port: int, plan: LoadPlan, start: int) -> None:
    frames = Frames(plan)
    connection = connect(port, "bench-publisher")
    threading.Thread(target=_discard, args=(connection,), daemon=True).start()
    pipe.send(frames.payload_bytes)
    sender = _Sender(frames, connection, start)
    while (asked := pipe.recv()) is not None:
        pipe.send(sender.send(*asked))
    connection.close()


def _discard(connection: socket.socket) -> None:
    """Acknowledgements are read, so that the broker can write them, and not looked at."""
    buffer = bytearray(1 << 20)
    try:
        while connection.recv_into(buffer):
            time.sleep(0.01)
    except OSError:
        return


class _Sender:
    def __init__(self, frames: Frames, connection: socket.socket, start: int) -> None:
        self._frames = frames
        self._connection = connection
        self._start = start
        self._at = 0
        self._spiked: NDArray[np.bool_] = np.zeros(frames.plan.devices, np.bool_)

    def send(self, messages: int, rate: float, spike_every: float) -> dict[str, Any]:
        frames = self._frames
        began = time.perf_counter()
        spikes: list[tuple[int, int, int]] = []
        next_spike = spike_every
        sent = 0
        while sent < messages:
            due = messages
            if rate:
                due = min(messages, int((time.perf_counter() - began) * rate))
                if due <= sent:
                    time.sleep(max(0.0, (sent + 1) / rate - (time.perf_counter() - began), 0.002))
                    continue
            cycle, at = divmod(self._at, frames.count)
            if at == 0:
                frames.set_times(cycle, self._start)
            count = min(_CHUNK, due - sent, frames.count - at)
            device = at % frames.plan.devices
            if spike_every and time.perf_counter() - began >= next_spike and not self._spiked[device]:
                next_spike += spike_every
                self._spiked[device] = True
                spike = frames.spiked(at)
                spikes.append((device, time.time_ns(), frames.time_of(spike) * 1_000_000))
                self._connection.sendall(spike)
                self._at += 1
                sent += 1
                continue
            self._connection.sendall(frames.view(at, at + count))
            self._at += count
            sent += count
        return {"seconds": time.perf_counter() - began, "spikes": spikes}
