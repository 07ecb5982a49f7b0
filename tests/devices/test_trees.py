"""Trees of JSON at their bounds: the longest names, and lists that hold pairs or times."""

from __future__ import annotations

import pytest

from devices.codecs.codec_registry import create
from devices.codecs.shapes import are_pairs
from devices.vectors import decode_alone, named_readings


def read(payload: str, **parameters: object) -> tuple[list[tuple[str, str]], list[tuple[str, bool]]]:
    """Device and metric of each reading; of each refusal its reason, and whether it is of the whole message."""
    codec = create("json", parameters)
    decoded = decode_alone(codec, payload.encode())
    readings = [(each.device, each.metric) for each in named_readings(codec, decoded)]
    return readings, [(each.reason, each.whole) for each in decoded.rejected]


def test_a_metric_s_name_has_512_characters_at_most_and_the_readings_beside_it_are_kept() -> None:
    whole, longer = "k" * 512, "k" * 513
    assert read(f'{{"{whole}":1,"b":2}}') == ([("", whole), ("", "b")], [])
    assert read(f'{{"{longer}":1,"b":2}}') == ([("", "b")], [("too_many_series", False)])


def test_a_device_s_name_has_512_characters_at_most_or_its_message_is_refused() -> None:
    whole, longer = "d" * 512, "d" * 513
    assert read(f'{{"id":"{whole}","b":2}}', device="id") == ([(whole, "b")], [])
    assert read(f'{{"id":"{longer}","b":2}}', device="id") == ([], [("too_many_series", True)])


@pytest.mark.parametrize(
    ("children", "are"),
    [
        ([[1, 2]], True), ([[1, None], [2, "x"], [3.5, 1]], True), ([], False), ([[1, 2], "x"], False),
        ([[1, 2], [1]], False), ([[1, 2, 3]], False), ([["a", 2]], False), ([[1, [2]]], False), ([5], False),
    ],
)  # fmt: skip
def test_pairs_are_lists_of_two_of_which_the_first_is_a_number(children: list[object], are: bool) -> None:
    assert are_pairs(children) is are
