"""Plain text as readings: numbers, words, lists, and what is refused whole or in part."""

from __future__ import annotations

import pytest

from devices.codecs.codec_registry import create
from devices.vectors import decode_alone, named_readings


def read(payload: bytes, **parameters: object) -> tuple[list[tuple[str, float | str]], list[tuple[str, bool]]]:
    """Metric and value of each reading; reason of each refusal, and whether it is of the whole message."""
    codec = create("plain", parameters)
    decoded = decode_alone(codec, payload)
    readings = [(each.metric, each.value) for each in named_readings(codec, decoded)]
    return readings, [(each.reason, each.whole) for each in decoded.rejected]


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b"21.5", 21.5), (b"-3", -3.0), (b" 7 ", 7.0), (b"1e3", 1000.0), (b"21,5", 21.5), (b"0,25", 0.25),
        (b"21,40 C", 21.4), (b"1 234,5", 1234.5), (b"1,234.5", 1234.5), (b"1,234.5 kW", 1234.5), (b"on", 1.0),
        (b"heat", "heat"), (b"7\0", 7.0), ("−4".encode(), -4.0), ("1\u202f234".encode(), 1234.0),
    ],
)  # fmt: skip
def test_one_value_is_one_reading_without_a_name(payload: bytes, value: object) -> None:
    assert read(payload) == ([("", value)], [])


@pytest.mark.parametrize(
    ("payload", "values"),
    [
        (b"1,2,3", [1.0, 2.0, 3.0]), (b"21, 5", [21.0, 5.0]), (b"1;2,5", [1.0, 2.5]), (b"[1,2.5]", [1.0, 2.5]),
        (b"1;heat", [1.0, "heat"]), (b"[7]", [7.0]),
    ],
)  # fmt: skip
def test_several_values_are_numbered(payload: bytes, values: list[object]) -> None:
    assert read(payload) == ([(str(number), value) for number, value in enumerate(values)], [])


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"nan", "no_value"), (b"inf", "not_finite"), (b"1e999", "not_finite"), (b"unknown", "no_value"),
        (b"-127", "no_value"), (b"21,40", "malformed"), (b"", "cleared"), (b"  ", "cleared"), (b"\xff", "malformed"),
        (b"[]", "no_reading"), (b"[1", "text"), (b"1" * 65, "text"), (b"?", "text"),
    ],
)  # fmt: skip
def test_a_single_value_that_is_none_is_refused_with_its_whole_message(payload: bytes, reason: str) -> None:
    assert read(payload, error_values=(-127.0,)) == ([], [(reason, True)])


def test_of_a_list_the_members_that_are_no_values_are_refused_one_by_one() -> None:
    assert read(b"1;nan;3;-127", error_values=(-127.0,)) == (
        [("0", 1.0), ("2", 3.0)],
        [("no_value", False), ("no_value", False)],
    )


@pytest.mark.parametrize(("comma", "found"), [("decimal", [("", 21.4)]), ("list", [("0", 21.0), ("1", 40.0)])])
def test_a_doubtful_comma_is_what_the_setting_says(comma: str, found: list[tuple[str, float]]) -> None:
    assert read(b"21,40", comma=comma) == (found, [])


@pytest.mark.parametrize(("size", "reason"), [(65_536, "text"), (65_537, "too_large")])
def test_text_is_read_up_to_its_longest(size: int, reason: str) -> None:
    assert read(b"!" * size) == ([], [(reason, True)])
