"""SenML at its bounds: base fields, versions, times that count from now, and what a record may hold."""

from __future__ import annotations

import json

import pytest

from devices.batch import NO_TIME
from devices.codecs.codec_registry import create
from devices.codecs.senml import RELATIVE_BELOW
from devices.vectors import ARRIVAL, ExpectedReading, decode_alone, named_readings

SECOND = 1_000_000_000


def read(*records: object) -> tuple[list[ExpectedReading], list[tuple[str, bool]]]:
    """Readings, and of each refusal what is said and whether it is of the whole message."""
    codec = create("senml", {})
    decoded = decode_alone(codec, json.dumps(records).encode())
    return named_readings(codec, decoded), [(each.detail, each.whole) for each in decoded.rejected]


@pytest.mark.parametrize(
    ("told", "time"),
    [
        ({}, NO_TIME), ({"t": 0}, NO_TIME), ({"t": -5}, ARRIVAL - 5 * SECOND), ({"t": 2.5}, ARRIVAL + 2_500_000_000),
        ({"t": RELATIVE_BELOW - 1}, ARRIVAL + (RELATIVE_BELOW - 1) * SECOND),
        ({"t": RELATIVE_BELOW}, RELATIVE_BELOW * SECOND), ({"bt": 1_680_962_879}, 1_680_962_879 * SECOND),
        ({"bt": 1_680_962_879, "t": -9}, 1_680_962_870 * SECOND), ({"bt": 9, "t": -9}, NO_TIME),
    ],
)  # fmt: skip
def test_a_time_below_2_to_the_28_counts_from_now_and_the_base_time_is_added(told: dict[str, int], time: int) -> None:
    assert [each.time for each in read({"n": "a", "v": 1, **told})[0]] == [time]


def test_a_time_that_is_none_is_told_of_and_the_arrival_counts() -> None:
    codec = create("senml", {})
    decoded = decode_alone(codec, b'[{"n":"a","v":1,"t":1e11}]')
    assert (decoded.time.tolist(), [note.kind for note in decoded.notes]) == ([NO_TIME], ["time_unread"])


@pytest.mark.parametrize(
    ("record", "values"),
    [
        ({"n": "a", "v": 1.5}, [("a", 1.5)]), ({"v": 1.5}, [("", 1.5)]), ({"n": "a", "s": 2}, [("a.sum", 2.0)]),
        ({"s": 2}, [("sum", 2.0)]), ({"n": "a", "v": 1, "s": 2}, [("a", 1.0), ("a.sum", 2.0)]),
        ({"n": "a", "bv": 20}, [("a", 20.0)]), ({"n": "a", "bv": 20, "v": 1}, [("a", 21.0)]), ({"bv": 20}, []),
        ({"n": "a", "bv": 20, "vs": "x" * 999}, []), ({"n": "a", "bv": 20, "vd": "aGk"}, []), ({"n": "a"}, []),
        ({"n": "a", "bv": 20, "vb": True}, [("a", 1.0)]), ({"n": "a", "vb": False}, [("a", 0.0)]),
        ({"n": "a", "bs": 100, "s": 2}, [("a.sum", 102.0)]), ({"n": "a", "bs": 100, "v": 2}, [("a", 2.0)]),
        ({"n": "a", "vs": "heat"}, [("a", "heat")]), ({"vs": " heat "}, [("", "heat")]),
        ({"n": "a", "vs": "heat", "v": 3}, [("a", 3.0)]), ({"n": "a", "bver": 10, "v": 1}, [("a", 1.0)]),
        ({"n": "n" * 512, "v": 1}, [("n" * 512, 1.0)]),
    ],
)  # fmt: skip
def test_a_record_gives_its_values_with_the_base_of_their_kind(
    record: dict[str, object], values: list[tuple[str, object]]
) -> None:
    readings, refused = read(record)
    assert [(each.metric, each.value) for each in readings] == values
    assert [whole for _, whole in refused] == ([] if values else [True]), "what holds nothing at all is refused whole"


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"bver": 11, "v": 1}, "bver: 11; versions up to 10 are read"),
        ({"n": "n" * 513, "v": 1}, "expected text of at most 512 characters"),
        ({"n": 7, "v": 1}, "n: 7; expected text of at most 512 characters"),
        ({"bu": 7, "v": 1}, "bu: 7; expected text"), ({"v": True}, "v: True; expected a number"),
        ({"s": False}, "s: False; expected a number"), ({"vb": 1}, "vb: 1; expected true or false"),
        ({"bt": "soon", "v": 1}, "bt: 'soon'; expected a finite number"),
        ({"t": True, "v": 1}, "t: True; expected a finite number"), ("x", "'x': expected a map"),
    ],
)  # fmt: skip
def test_a_record_at_fault_is_refused_alone(record: object, said: str) -> None:
    readings, refused = read({"bn": "dev:1:", "n": "a", "v": 1}, record, {"n": "b", "v": 2})
    assert [(each.device, each.metric, each.value) for each in readings] == [("dev:1", "a", 1.0), ("dev:1", "b", 2.0)]
    [(detail, whole)] = refused
    assert detail.startswith("record 1: ")
    assert said in detail
    assert not whole


def test_base_fields_hold_for_the_records_that_follow() -> None:
    readings, _ = read(
        {"bn": "a/", "bu": "V", "n": "x", "v": 1}, {"n": "y", "v": 2, "u": "A"}, {"bn": "b", "bu": "", "v": 3}
    )
    assert [(each.device, each.metric, each.unit) for each in readings] == [
        ("a", "x", "V"),
        ("a", "y", "A"),
        ("b", "", ""),
    ]
