import json
from random import Random

import pytest
from firmware_sim.faults import Fault, FaultKind
from firmware_sim.payloads import array_messages, garble, single_messages
from firmware_sim.plans import Scheduled
from firmware_sim.simulated_fleet import Fleet
from firmware_sim.simulation_settings import SimulatorSettings

SECOND = 1_000_000_000
START = 1_700_000_000


def fleet(*faults: Fault) -> Fleet:
    built = Fleet(SimulatorSettings(devices=10), start_tick=START)
    built.follow(Scheduled(faults))
    return built


def test_a_reading_is_one_object_with_its_time_and_every_channel() -> None:
    for block in fleet().block(START, 2):
        messages = list(single_messages(block))
        assert len(messages) == 2 * len(block.devices)
        for _, (topic, payload) in messages:
            reading = json.loads(payload)
            assert topic in block.topics
            assert list(reading) == ["ts", *(channel.name for channel in block.channels)]
            assert reading["ts"].startswith("2023-11-14T22:13:2")
            assert reading["ts"].endswith("Z")


def test_the_time_of_a_message_is_the_time_it_holds() -> None:
    block = fleet().block(START, 1)[0]
    time, (_, payload) = list(single_messages(block))[1]
    assert json.loads(payload)["ts"] == f"2023-11-14T22:13:20.{time % SECOND // 1_000_000:03d}Z"


def test_a_backlog_holds_the_same_readings_in_arrays() -> None:
    for one, other in zip(fleet().block(START, 130), fleet().block(START, 130), strict=True):
        singles: dict[bytes, list[object]] = {}
        for _, (topic, payload) in single_messages(one):
            singles.setdefault(topic, []).append(json.loads(payload))
        arrays: dict[bytes, list[object]] = {}
        for count, (topic, payload) in array_messages(other, readings=60):
            assert count == len(json.loads(payload)) <= 60
            arrays.setdefault(topic, []).extend(json.loads(payload))
        assert arrays == singles


def test_a_silent_device_sends_nothing_and_a_missing_channel_is_left_out() -> None:
    end = (START + 100) * SECOND
    block = fleet(
        Fault("press-01", "*", FaultKind.DROPOUT, START * SECOND, end),
        Fault("press-02", "current", FaultKind.MISSING_CHANNEL, START * SECOND, end),
    ).block(START, 3)[0]
    messages = [message for _, message in single_messages(block)]
    assert {topic for topic, _ in messages} == {b"plant/hall-1/press-02"}
    assert all(set(json.loads(payload)) == {"ts", "temperature", "vibration"} for _, payload in messages)


@pytest.mark.parametrize("seed", range(30))
def test_a_garbled_payload_holds_no_good_reading_of_its_time(seed: int) -> None:
    good = b'{"ts":"2026-11-23T08:25:03.100Z","temperature":21.53}'
    bad = garble(good, Random(seed))
    try:
        reading = json.loads(bad)
    except ValueError:
        return
    assert reading["ts"][:4] in ("now", "1970", "2099")
