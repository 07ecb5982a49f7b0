"""Every profile does what its vectors say."""

from __future__ import annotations

from pathlib import Path

import pytest

from devices.profile import Profile, find_profile, load_profile, load_profiles
from devices.vectors import Vector

PROFILES = load_profiles()
VECTORS = [(profile, vector) for profile in PROFILES.values() for vector in profile.vectors]


@pytest.mark.parametrize(("profile", "vector"), VECTORS, ids=[f"{p.name}: {v.name}" for p, v in VECTORS])
def test_vector(profile: Profile, vector: Vector) -> None:
    assert profile.takes(vector.topic)
    readings, rejected = profile.decode(vector.topic, vector.data)
    assert readings == list(vector.readings)
    assert [(r.reason, r.whole) for r in rejected] == [(e.reason, e.whole) for e in vector.rejected]
    for given, expected in zip(rejected, vector.rejected, strict=True):
        assert expected.detail in given.detail


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_every_stated_unit_has_a_metric_form(profile: Profile) -> None:
    for glob, unit in profile.units.items():
        assert profile.unit(glob.replace("*", "x")) == unit


def test_topics_without_readings_are_not_taken() -> None:
    assert not PROFILES["zigbee2mqtt"].takes("zigbee2mqtt/bridge/devices")
    assert not PROFILES["zigbee2mqtt"].takes("zigbee2mqtt/house/door/availability")
    assert not PROFILES["tasmota"].takes("tele/TH16/LWT")


def test_unit_of_a_metric() -> None:
    assert PROFILES["tasmota"].unit("AM2301.Temperature") == "°C"
    assert PROFILES["tasmota"].unit("Counter") == ""


def test_unknown_profile_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match='unknown profile "tasmotta"; did you mean "tasmota"'):
        find_profile("tasmotta")


def test_profile_errors_name_the_file_and_place(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(
        'name = "broken"\ndescription = "d"\nreference = "r"\nfilter = "a/#/b"\ndevice = "{topics}"\nvectors = []\n'
        '[codec]\ntype = "jsn"\n'
    )
    with pytest.raises(ValueError, match=r"(?s)broken\.toml.*filter.*device.*vectors"):
        load_profile(path)
