"""Rows that codecs gather, at their bounds: names, rejections that are named or counted, numbers that are rounded."""

from __future__ import annotations

import pytest

from devices.codec import Role
from devices.codecs import readings
from devices.codecs.readings import MetricNames, Names, Rows, TooManyNamesError, finite
from devices.rejection_reasons import Reason


def test_names_have_the_number_of_their_first_sight_up_to_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names("device", 2)
    assert [names.code(name) for name in ("a", "b", "a")] == [0, 1, 0]
    with pytest.raises(TooManyNamesError, match="device 'c': 2 names are the limit"):
        names.code("c")
    monkeypatch.setattr(readings, "_MOST_NAME_BYTES", 1 << 20)
    long = Names("state", 9)
    long.code("x" * ((1 << 20) - 1))
    assert long.code("y") == 1
    with pytest.raises(TooManyNamesError, match="state 'z': 1 MiB of names are the limit"):
        long.code("z")


def test_a_metric_has_a_number_for_each_unit_and_role() -> None:
    names = MetricNames(4)
    assert [names.code("a"), names.code("a", "degC"), names.code("a", "°C")] == [0, 1, 1]
    assert (names.code("a", role=Role.TRUTH), names.has_roles) == (2, False)
    assert (names.code("a", role=Role.TEXT), names.has_roles) == (3, True)
    with pytest.raises(TooManyNamesError, match="metric 'b': 4 names are the limit"):
        names.code("b")
    assert names.code("a", "C") == 1


def test_twenty_rejections_of_a_message_are_named_and_the_others_are_counted_by_reason() -> None:
    rows = Rows()
    for number in range(20):
        rows.reject(7, Reason.NO_VALUE, f"{number}", whole=False)
    assert [each.detail for each in rows.decoded().rejected] == [f"{number}" for number in range(20)]
    rows.reject(7, Reason.NO_VALUE, "20", whole=False)
    rows.reject(7, Reason.NOT_FINITE, "21", whole=False)
    rows.reject(7, Reason.NO_VALUE, "22", whole=False)
    rows.reject(8, Reason.NO_VALUE, "of another message")
    found = [(each.message, each.reason, each.detail, each.whole, each.count) for each in rows.decoded().rejected[20:]]
    assert found == [
        (8, "no_value", "of another message", True, 1),
        (7, "no_value", "2 readings more", False, 2),
        (7, "not_finite", "1 readings more", False, 1),
    ]


def test_what_came_after_a_mark_is_forgotten_and_nothing_since_then_is_a_rejection() -> None:
    rows = Rows()
    rows.add(0, 1, 2.0)
    mark = rows.mark()
    rows.add(1, 1, 3.0)
    for _ in range(21):
        rows.reject(1, Reason.NO_VALUE, "x", whole=False)
    rows.reject_if_empty(1, mark, "nothing")
    assert len(rows.decoded().rejected) == 21
    rows.rewind(mark)
    assert (rows.decoded().value.tolist(), rows.decoded().rejected) == ([2.0], [])
    rows.reject_if_empty(1, mark, "nothing")
    assert [(each.message, each.reason, each.detail) for each in rows.decoded().rejected] == [
        (1, "no_reading", "nothing")
    ]


def test_a_value_that_is_none_is_refused_by_its_kind() -> None:
    rows = Rows()
    for number in (float("inf"), float("-inf"), float("nan"), -127.0):
        rows.refuse(0, "a.b", number, number)
    rows.refuse(0, "", float("nan"), "n/a", whole=True)
    assert [(each.reason, each.detail, each.whole) for each in rows.decoded().rejected] == [
        ("not_finite", "a.b: inf is no finite value", False),
        ("not_finite", "a.b: -inf is no finite value", False),
        ("no_value", "a.b: nan says that there is no value", False),
        ("no_value", "a.b: -127.0 says that there is no value", False),
        ("no_value", "'n/a' says that there is no value", True),
    ]
    codes = frozenset({-127.0})
    assert [finite(each, codes) for each in (1.0, -127.0, float("nan"), float("inf"))] == [True, False, False, False]


@pytest.mark.parametrize(
    ("value", "is_told"),
    [(2**53, False), (2**53 + 1, True), (-(2**53) - 1, True), (2**53 + 2, False), (2.0**60, False), (2**60, False)],
)
def test_a_whole_number_that_a_double_does_not_hold_is_told_of(value: float, is_told: bool) -> None:
    rows = Rows()
    rows.note_rounded(3, "count", value)
    told = [f"count: {value} is stored as {float(value):.0f}: whole numbers beyond 2^53 are rounded"]
    assert [note.detail for note in rows.decoded().notes] == (told if is_told else [])
