"""The load that the benchmarks send: whole frames, of the devices planned, with times that go on."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from benchmarks.load import METRICS, SPIKE_VALUE, Frames, LoadPlan, publish_frame
from ingest.frames import Stop, split_publishes


def messages(data: bytes) -> list[tuple[str, Any]]:
    spans, flags, ids = np.empty((4096, 4), np.int32), np.empty(4096, np.uint8), np.empty(4096, np.uint16)
    block = np.frombuffer(bytearray(data), np.uint8)
    rows, end, stop, _ = split_publishes(block, 0, len(data), False, 0, spans, flags, ids, False)
    assert (end, stop) == (len(data), Stop.INCOMPLETE)
    return [(data[a:b].decode(), json.loads(data[c:d])) for a, b, c, d in spans[:rows].tolist()]


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("readings", [1, 10])
def test_every_frame_is_a_device_message_with_its_readings(qos: int, readings: int) -> None:
    frames = Frames(LoadPlan(devices=7, cycle=21, qos=qos, readings=readings))
    frames.set_times(0, 1_700_000_000_000)
    sent = messages(bytes(frames.view(0, frames.count)))
    assert [topic for topic, _ in sent] == [f"bench/d{n % 7:06d}" for n in range(21)]
    for _, payload in sent:
        for reading in payload if isinstance(payload, list) else [payload]:
            assert set(reading) == {"timestamp", *METRICS}


def test_a_devices_times_go_on_from_cycle_to_cycle() -> None:
    frames = Frames(LoadPlan(devices=5, cycle=15, readings=2))
    times = []
    for cycle in range(3):
        frames.set_times(cycle, 1_700_000_000_000)
        times += [r["timestamp"] for t, p in messages(bytes(frames.view(0, 15))) if t == "bench/d000003" for r in p]
    assert times == list(range(1_700_000_000_000, 1_700_000_009_000, 500))


def test_a_spike_is_the_message_of_its_place_with_one_value_far_out() -> None:
    frames = Frames(LoadPlan(devices=5, cycle=15))
    frames.set_times(4, 1_700_000_000_000)
    [(topic, usual)] = messages(bytes(frames.view(7, 8)))
    [(spiked_topic, spiked)] = messages(frames.spiked(7))
    assert spiked_topic == topic
    assert spiked["timestamp"] == usual["timestamp"]
    assert spiked[METRICS[0]] == SPIKE_VALUE
    assert frames.time_of(frames.spiked(7)) == usual["timestamp"]


def test_devices_are_spread_over_groups_of_topics() -> None:
    frames = Frames(LoadPlan(devices=6, cycle=6, topic="bench/{group:03d}/d{device:06d}", groups=4))
    frames.set_times(0, 1_700_000_000_000)
    topics = [topic for topic, _ in messages(bytes(frames.view(0, 6)))]
    assert topics == [f"bench/{n % 4:03d}/d{n:06d}" for n in range(6)]


def test_long_frames_have_a_length_of_several_bytes() -> None:
    payload = b"[" + b" " * 20_000 + b"]"
    assert messages(publish_frame(b"a", payload, 1, 9)) == [("a", [])]
