"""Every profile does what its vectors say, through the router, with no configuration and when a route names it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from routed import Broker, Routed, send_vector

from devices.batch import NO_TIME
from devices.profile import COMMON, Profile, find_profile, load_profile, load_profiles
from devices.recognition import profile_index, recognise
from devices.vectors import ExpectedPresence, ExpectedReading, Vector
from ingest.ingest_settings import DEFAULT_ROUTES, RouteSettings

PROFILES = load_profiles()
VECTORS = [(profile, vector) for profile in PROFILES.values() for vector in profile.vectors]


def readings_of(routed: Routed) -> list[ExpectedReading]:
    records = routed.router.registry.records
    units = {(record.device, record.metric): record.unit for record in records}
    found = [
        ExpectedReading(device=device, metric=metric, time=time, value=value, unit=units[device, metric])
        for (device, metric, value), time in zip(routed.points, routed.times, strict=True)
    ]
    return found + [ExpectedReading(device=device, metric=metric, value=text) for device, metric, text in routed.states]


def check(vector: Vector, routed: Routed) -> None:
    assert readings_of(routed) == [
        reading.model_copy(update={"time": NO_TIME}) if isinstance(reading.value, str) else reading
        for reading in vector.readings
    ]
    given = [(r.reason, r.whole, r.detail) for r in routed.readings.rejections]
    given += [(reason, False, text) for _, reason, text in routed.readings.no_data_details if reason != "availability"]
    assert [(reason, whole) for reason, whole, _ in given] == [(e.reason, e.whole) for e in vector.rejected]
    for (_, _, detail), expected in zip(given, vector.rejected, strict=True):
        assert expected.detail in detail
    presence = [ExpectedPresence(device=device, online=online) for device, online in routed.presence]
    assert presence == list(vector.presence)


@pytest.mark.parametrize(("profile", "vector"), VECTORS, ids=[f"{p.name}: {v.name}" for p, v in VECTORS])
def test_vector_by_a_route_that_names_the_profile(profile: Profile, vector: Vector) -> None:
    check(vector, send_vector(vector, [RouteSettings(profile=profile.name), *DEFAULT_ROUTES]))


UNASKED = [(profile, vector) for profile, vector in VECTORS if not vector.topic.startswith("$")]


@pytest.mark.parametrize(("profile", "vector"), UNASKED, ids=[f"{p.name}: {v.name}" for p, v in UNASKED])
def test_vector_with_no_configuration(profile: Profile, vector: Vector) -> None:
    check(vector, send_vector(vector))


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_every_stated_unit_has_a_metric_form(profile: Profile) -> None:
    for glob in profile.units:
        assert profile.unit(glob.replace("*", "x").replace("?", "0"))


def test_what_is_recognised_is_the_most_certain() -> None:
    def name(topic: str, payload: bytes = b"1") -> str:
        found = recognise(topic, payload)
        return "" if found is None else found[0].name

    assert name("zigbee2mqtt/house/door", b"{}") == "zigbee2mqtt"
    assert name("tele/TH16/LWT", b"Online") == "tasmota"
    assert name("wled/desk/status", b"online") == "wled"
    assert name("site/pump/set") == "common"
    assert name("plant/7/temperature") == ""


def test_the_first_payload_of_a_topic_decides_and_a_restart_decides_the_same() -> None:
    first = Broker()
    first.send(("pv1/online", b"true"))
    second = Broker()
    second.router.load(first.router.state())
    assert second.send(("pv1/online", b"maybe")).presence == []
    assert [route.profile.name for route in second.router.routes if route.profile] == ["shelly"]


def test_a_route_overrides_what_its_profile_says() -> None:
    routes = [RouteSettings(profile="tasmota", time_zone="Europe/Berlin")]
    message = ("tele/cellar/SENSOR", b'{"Time":"2026-10-31T13:00:00","SI7021":{"Temperature":11.5}}')
    assert Broker(routes).send(message).times == [1_793_448_000_000_000_000]


def test_unknown_profile_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match='unknown profile "tasmotta"; did you mean "tasmota"'):
        find_profile("tasmotta")


def test_profile_errors_name_the_file_and_place(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(
        'name = "broken"\ndescription = "d"\nreference = "r"\nsubscribe = ["a/#/b"]\nvectors = []\n'
        '[[messages]]\ntopics = ["a"]\ndevice = "{topics}"\ncodec = { type = "jsn" }\n'
    )
    with pytest.raises(ValueError, match=r"(?s)broken\.toml.*subscribe.*device.*codec.*vectors"):
        load_profile(path)


def all_tried(topic: str, payload: bytes) -> tuple[str, int] | None:
    """The profile of a message by trying every pattern there is."""
    best: tuple[int, str, int] | None = None
    for profile in sorted(load_profiles().values(), key=lambda each: each.name == COMMON):
        fitting = ((message.certainty(topic, payload), number) for number, message in enumerate(profile.messages))
        certainty, number = next(((sure, number) for sure, number in fitting if sure), (0, 0))
        if certainty and (best is None or certainty > best[0]):
            best = (certainty, profile.name, number)
    return best and best[1:]


def test_looking_patterns_up_by_a_level_finds_what_trying_all_finds() -> None:
    random = Random(12)
    patterns = [text for profile in load_profiles().values() for message in profile.messages for text in message.topics]
    payloads = [
        b"",
        b"1",
        b"online",
        b'{"v":1}',
        b'{"method":"NotifyStatus"}',
        b"[0;32m[I][x:1]: y",
        b'[{"n":"t","v":1}]',
    ]
    words = ["plant", "x", "status", "state", "tele", "$SYS", "", "a:b", "sensor"]
    found = 0
    for _ in range(4_000):
        levels: list[str] = []
        for level in random.choice(patterns).split("/"):
            filled = [random.choice(words)] if level == "+" else random.choices(words, k=random.randrange(1, 4))
            levels += filled if level in ("+", "**") else [level.replace("*", random.choice(words))]
        if random.random() < 0.3:
            levels[random.randrange(len(levels))] = random.choice(words)
        topic, payload = "/".join(levels), random.choice(payloads)
        profile = recognise(topic, payload)
        assert (profile and (profile[0].name, profile[1])) == all_tried(topic, payload), (topic, payload)
        said = any(m.payload and m.certainty(topic) for each in load_profiles().values() for m in each.messages)
        assert profile_index().depends_on_payload(topic) == said, topic
        found += profile is not None
    assert found > 1_000
