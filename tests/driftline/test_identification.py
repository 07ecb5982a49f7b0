"""Families of devices told from their messages."""

from __future__ import annotations

from driftline.runtime.identification import identify

MESSAGES = [
    ("zigbee2mqtt/hall/lamp", b'{"state":"ON"}'),
    ("zigbee2mqtt/bridge/devices", b"[]"),
    ("tele/TH16/SENSOR", b'{"Time":"2026-01-01T00:00:00"}'),
    ("tele/TH16/LWT", b"Online"),
    ("plant/7/temperature", b"21.5"),
]


def test_families_are_named_with_their_devices_and_evidence() -> None:
    found = identify(MESSAGES)
    assert sorted(found.families) == ["tasmota", "zigbee2mqtt"]
    assert found.families["zigbee2mqtt"].devices == {"hall/lamp"}
    assert found.families["tasmota"].devices == {"TH16"}
    assert found.families["tasmota"].pattern == "tele/**/SENSOR"
    assert found.others == {"plant/7/temperature": "21.5"}


def test_routes_are_written_for_what_was_found() -> None:
    assert identify(MESSAGES).routes == (
        '[[routes]]\nprofile = "tasmota"\n\n[[routes]]\nprofile = "zigbee2mqtt"\n\n[[routes]]\nfilter = "#"\n'
    )
