"""What the compiled path of JSON reads itself, to the bit, and what it leaves to the general path: every bound of both.

A payload that is left over reads the same, only slower; so each table says which of the two happens.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta

import pytest

from devices.codecs.codec_registry import create
from devices.codecs.json_payload import JsonCodec
from devices.codecs.layouts import LONGEST_PAYLOAD, MOST_LAYOUTS
from devices.messages import MessageChunk, Payloads
from devices.numbers import LONGEST_STATE

SECOND = 1_000_000_000


def payloads_of(items: list[bytes]) -> Payloads:
    return MessageChunk.of([(b"t", item, i + 1, 0) for i, item in enumerate(items)]).payloads()


class Taught:
    """A codec that knows the layouts of some payloads."""

    def __init__(self, *payloads: bytes, **parameters: object) -> None:
        codec = create("json", parameters)
        assert isinstance(codec, JsonCodec)
        self.codec = codec
        for payload in payloads:
            self.codec.layouts.learn(payload)

    def left(self, items: list[bytes]) -> list[bytes]:
        """The payloads that the compiled path leaves to the general one."""
        return [items[i] for i in self.codec.layouts.read(payloads_of(items))[1].tolist()]

    def values(self, items: list[bytes]) -> list[float]:
        return self.codec.layouts.read(payloads_of(items))[0].value.tolist()

    def times(self, items: list[bytes]) -> list[int]:
        return self.codec.layouts.read(payloads_of(items))[0].time.tolist()

    def devices(self, items: list[bytes]) -> list[str]:
        return [self.codec.devices[code] for code in self.codec.layouts.read(payloads_of(items))[0].device.tolist()]


def numbers(texts: list[str]) -> list[bytes]:
    return [f'{{"a":{text}}}'.encode() for text in texts]


READ_NUMBERS = [
    "0", "-0", "-0.0", "0.0", "0e5", "7", "-7", "10", "99", "9007199254740991", "-9007199254740991", "0.5", "-0.5",
    "21.25", "123456789012345678.5", "1.234567890123456789", "0.000000000000000001", "1e0", "1e3", "1E3",
    "1e+3", "1e-3", "1e03", "1e003", "-2.5e-7", "1e22", "1e23", "1e-22", "1e-23", "9e60", "9e-60", "1.5e61", "1.5e-59",
    "9007199254740992e22", "9007199254740993e1", "9007199254740991.5", "4503599627370497.5", "9007199254740993.0",
    "4503599627370496.5", "0.1", "0.30000000000000004", "5e-45", "8.5e59", "123456789.123456789",
    "18.44674407370955161", "9.999999999999999999", "1.8014398509481985",
    "1.7976931348623157e40", "2.2250738585072014e-30",
]  # fmt: skip
LEFT_NUMBERS = [
    "9007199254740992", "9007199254740993", "-9007199254740993", "123456789012345678", "1234567890123456789",
    "1234567890123456789.5", "1.2345678901234567890", "12.34567890123456789012",
    "1e61", "1e-61", "1.5e62", "1e100", "1e0001", "1e999",
]  # fmt: skip
BROKEN_NUMBERS = ["01", "-01", "1.", ".5", "-", "-.5", "+1", "1e", "1e+", "1e-", "1.e5", "1,5", "0x1", "1 ", "--1", ""]


def test_numbers_that_the_compiled_path_reads_are_those_written_to_the_bit() -> None:
    taught = Taught(b'{"a":1}')
    items = numbers(READ_NUMBERS)
    assert taught.left(items) == []
    read = [struct.pack("<d", value) for value in taught.values(items)]
    assert read == [struct.pack("<d", float(int(t) if t.lstrip("-").isdigit() else t)) for t in READ_NUMBERS]


@pytest.mark.parametrize("texts", [LEFT_NUMBERS, BROKEN_NUMBERS], ids=["beyond its range", "no numbers"])
def test_numbers_beyond_what_is_exact_and_what_is_no_number_are_left(texts: list[str]) -> None:
    taught = Taught(b'{"a":1}')
    assert taught.left(numbers(texts)) == numbers(texts)


def test_every_power_of_ten_within_its_range_is_the_nearest_double() -> None:
    taught = Taught(b'{"a":1}')
    digits = ("1", "3", "7.1", "1234567890123456.5", "9.87654321098765432")
    texts = [f"{each}e{power}" for power in range(-42, 60) for each in digits]
    assert taught.left(numbers(texts)) == []
    assert taught.values(numbers(texts)) == [float(text) for text in texts]


def dates(texts: list[str]) -> list[bytes]:
    return [f'{{"ts":"{text}","a":1}}'.encode() for text in texts]


READ_DATES = [
    "1970-01-01T00:00:00Z", "1999-12-31T23:59:59Z", "2000-02-29T12:30:15Z", "2024-05-01 12:00:00Z",
    "2024-01-31T00:00:00Z", "2023-02-28T00:00:00Z", "2024-03-31T00:00:00Z", "2024-04-30T00:00:00Z",
    "2024-05-31T00:00:00Z", "2024-06-30T00:00:00Z", "2024-07-31T00:00:00Z", "2024-08-31T00:00:00Z",
    "2024-09-30T00:00:00Z", "2024-10-31T00:00:00Z", "2024-11-30T00:00:00Z", "2024-12-31T00:00:00Z",
    "2024-02-29T00:00:00Z", "2261-12-31T23:59:59Z", "2024-05-01T12:00:00+00:00", "2024-05-01T12:00:00+02:00",
    "2024-05-01T12:00:00-04:30", "2024-05-01T12:00:00+23:59", "2024-05-01T12:00:00-23:59", "2024-01-01T00:00:00+01:00",
]  # fmt: skip


def test_date_times_that_the_compiled_path_reads_are_the_calendar_s() -> None:
    taught = Taught(b'{"ts":"2024-05-01T12:00:00Z","a":1}')
    assert taught.left(dates(READ_DATES)) == []
    began = datetime(1970, 1, 1, tzinfo=UTC)
    expected = [(datetime.fromisoformat(text) - began) // timedelta(seconds=1) * SECOND for text in READ_DATES]
    assert taught.times(dates(READ_DATES)) == expected


def test_fractions_of_a_second_count_to_the_nanosecond() -> None:
    taught = Taught(b'{"ts":"2024-05-01T12:00:00Z","a":1}')
    fractions = ["5", "05", "000000001", "123456789", "999", "120", "1000"]
    expected = [500_000_000, 50_000_000, 1, 123_456_789, 999_000_000, 120_000_000, 100_000_000]
    for zone, seconds in (("Z", 0), ("", 0), ("+02:00", -7_200)):
        items = dates([f"1970-01-02T00:00:00.{fraction}{zone}" for fraction in fractions])
        assert taught.left(items) == []
        assert taught.times(items) == [(86_400 + seconds) * SECOND + each for each in expected]


@pytest.mark.parametrize(
    "text",
    [
        "1969-12-31T23:59:59Z", "2262-01-01T00:00:00Z", "2024-00-01T00:00:00Z", "2024-13-01T00:00:00Z",
        "2024-01-00T00:00:00Z", "2024-01-32T00:00:00Z", "2023-02-29T00:00:00Z", "2024-02-30T00:00:00Z",
        "2024-04-31T00:00:00Z", "2024-06-31T00:00:00Z", "2024-09-31T00:00:00Z", "2024-11-31T00:00:00Z",
        "2024-05-01T24:00:00Z", "2024-05-01T12:60:00Z", "2024-05-01T12:00:60Z", "2024-05-01T12:00:00+24:00",
        "2024-05-01T12:00:00+02:60", "2024-05-01T12:00:00+0200", "2024-05-01T12:00:00+02", "2024/05/01T12:00:00Z",
        "2024-05/01T12:00:00Z", "2024-05-01T12.00:00Z", "2024-05-01T12:00.00Z", "2024-05-01t12:00:00Z",
        "2024-05-01T12:00:00z", "2024-05-01T12:00:00.Z", "2024-05-01T12:00:00.1234567890Z", "2024-05-01T12:00:00,5Z",
        "2024-05-01T12:00:00ZZ", "2024-05-01T12:00", "2024-05-01T1a:00:00Z", "2024-05-01T12:/0:00Z",
        "2024-05-01T:0:00:00Z", "2024-05-01T12:00:00+1:000",
    ],
)  # fmt: skip
def test_date_times_of_another_form_and_days_that_are_not_are_left(text: str) -> None:
    taught = Taught(b'{"ts":"2024-05-01T12:00:00Z","a":1}')
    assert taught.left(dates([text])) == dates([text])


def test_a_date_time_without_a_zone_is_read_where_the_zone_is_utc_alone() -> None:
    items = dates(["2024-05-01T12:00:00", "2024-05-01T12:00:00.5"])
    assert Taught(b'{"ts":"2024-05-01T12:00:00Z","a":1}').times(items) == [
        1_714_564_800 * SECOND, 1_714_564_800 * SECOND + SECOND // 2,
    ]  # fmt: skip
    berlin = Taught(b'{"ts":"2024-05-01T12:00:00Z","a":1}', time_zone="Europe/Berlin")
    assert berlin.left(items) == items
    assert berlin.times(dates(["2024-05-01T12:00:00Z"])) == [1_714_564_800 * SECOND]


def epochs(texts: list[str]) -> list[bytes]:
    return [f'{{"ts":{text},"a":1}}'.encode() for text in texts]


@pytest.mark.parametrize(
    ("unit", "text", "time"),
    [
        ("auto", "1700000000", 1_700_000_000 * SECOND),
        ("auto", "1700000000.25", 1_700_000_000 * SECOND + SECOND // 4),
        ("auto", "9223372036", 9_223_372_036 * SECOND),
        ("auto", "99999999999", None),
        ("auto", "100000000000", 100_000_000_000 * 1_000_000),
        ("auto", "1700000000000", 1_700_000_000 * SECOND),
        ("auto", "1700000000000.5", 1_700_000_000 * SECOND + 500_000),
        ("auto", "19699999999999", None),
        ("auto", "19700000000000", None),
        ("auto", "21099999999999", None),
        ("auto", "21100000000000", None),
        ("auto", "99999999999999", None),
        ("auto", "100000000000000", 100_000_000_000 * 1_000_000),
        ("auto", "1700000000000000", 1_700_000_000 * SECOND),
        ("auto", "9007199254740992", 9_007_199_254_740_992_000),
        ("auto", "100000000000000000", 100_000_000_000_000_000),
        ("auto", "170000000000000000", 170_000_000_000_000_000),
        ("s", "5", 5 * SECOND),
        ("s", "-5", -5 * SECOND),
        ("s", "-1.5", -3 * SECOND // 2),
        ("s", "9223372036", 9_223_372_036 * SECOND),
        ("s", "9223372037", None),
        ("s", "9200000000.0", 9_200_000_000 * SECOND),
        ("s", "9200000001.5", None),
        ("s", "1.000001", 1_000_001_000),
        ("ms", "5", 5_000_000),
        ("ms", "5.25", 5_250_000),
        ("ms", "9223372036854", 9_223_372_036_854_000_000),
        ("ms", "9223372036855", None),
        ("us", "5.25", 5_000),
        ("us", "7", 7_000),
        ("ns", "7", 7),
        ("ns", "7.5", None),
        ("ns", "123456789012345678", 123_456_789_012_345_678),
    ],
)
def test_a_number_of_a_time_is_told_by_unit_or_size_to_the_last_that_fits(
    unit: str, text: str, time: int | None
) -> None:
    taught = Taught(b'{"ts":1700000000,"a":1}', time_unit=unit)
    items = epochs([text])
    assert (taught.times(items), taught.left(items)) == (([], items) if time is None else ([time], []))


@pytest.mark.parametrize("word", [b"true", b"false"])
def test_a_truth_value_is_read_letter_by_letter(word: bytes) -> None:
    taught = Taught(b'{"a":' + word + b"}")
    good = [b'{"a":true}', b'{"a":false}']
    assert (taught.left(good), taught.values(good)) == ([], [1.0, 0.0])
    near = [word_ for each in (b"true", b"false") for word_ in (each[:-1], each + b"e", each.title(), each.upper())]
    near += [each[:at] + b"x" + each[at + 1 :] for each in (b"true", b"false") for at in range(len(each))]
    items = [b'{"a":' + each + b"}" for each in near]
    assert taught.left(items) == items
    cut = [b'{"a":tru', b'{"a":true', b'{"a":fals', b'{"a":false']
    assert taught.left(cut) == cut


def texts(values: list[str]) -> list[bytes]:
    return [f'{{"mode":"{value}","a":1}}'.encode() for value in values]


def test_text_that_may_be_a_number_or_a_word_for_one_is_left_and_other_text_is_not() -> None:
    taught = Taught(b'{"mode":"heat","a":1}')
    read = ["heat", "a", "Z", "z9", "A-b", "onx", "of", "00:11:22:33:44:55", "9:", "1.2.3", "0..1", "heat  pump", "onn"]
    assert taught.left(texts(read)) == []
    doubtful = [
        "", " heat", "heat ", "on", "ON", "oFF", "unknown", "Inf", "n/a", "21.5", "7 C", "12a", "1.2.3,4", "1,2.3.4",
        ":9", "-a", "-1:2", "@a", "[a", "`a", "/9:1", "caf\u00e9", "a\\\\b", "\\u0061", "a\tb", "a\x7fb",
    ]  # fmt: skip
    assert taught.left(texts(doubtful)) == texts(doubtful)


def test_states_are_those_that_the_payloads_say() -> None:
    taught = Taught(b'{"mode":"heat","a":1}')
    decoded, left = taught.codec.layouts.read(payloads_of(texts(["heat", "cool~down", "heat"])))
    states = [taught.codec.words[int(value)] for value in decoded.value.tolist()[::2]]
    assert (states, left.tolist()) == (["heat", "cool~down", "heat"], [])


def test_a_device_s_name_is_of_one_to_512_characters() -> None:
    taught = Taught(b'{"device":"d","a":1,"b":2}', device="device")
    items = [f'{{"device":"{name}","a":1,"b":2}}'.encode() for name in ("", "p", "x" * 512, "x" * 513, "p")]
    assert taught.left(items) == [items[0], items[3]]
    assert taught.devices(items) == ["p", "p", "x" * 512, "x" * 512, "p", "p"]


def test_a_field_that_may_be_a_time_keeps_to_what_it_was_when_learned() -> None:
    value, time = Taught(b'{"t":21.5,"a":1}'), Taught(b'{"t":1700000000,"a":1}')
    items = [f'{{"t":{text},"a":1}}'.encode() for text in ("-5", "0", "99999999", "100000000", "1700000000.5")]
    assert (value.left(items), value.values(items)) == (items[3:], [-5.0, 1.0, 0.0, 1.0, 99_999_999.0, 1.0])
    assert (time.left(items), time.times(items)) == (
        items[:3],
        [100_000_000 * SECOND, 1_700_000_000 * SECOND + SECOND // 2],
    )


def test_of_several_layouts_each_payload_is_read_by_its_own_and_error_values_are_left() -> None:
    taught = Taught(b'{"a":1}', b'{"b":1,"c":[2,3]}', b'[{"d":1}]', error_values=(-127.0, 85.0))
    items = [
        b'{"b":7,"c":[8,9]}',
        b'{"a":5}',
        b'[{"d":6}]',
        b'{"a":-127}',
        b'{"b":1,"c":[2,85.0]}',
        b'{"a":4}',
        b'{"x":1}',
    ]
    assert taught.left(items) == [items[3], items[4], items[6]]
    decoded = taught.codec.layouts.read(payloads_of(items))[0]
    names = [str(taught.codec.metrics[code]) for code in decoded.metric.tolist()]
    assert list(zip(decoded.message.tolist(), names, decoded.value.tolist(), strict=True)) == [
        (0, "b", 7.0), (0, "c.0", 8.0), (0, "c.1", 9.0), (1, "a", 5.0), (2, "0.d", 6.0), (5, "a", 4.0),
    ]  # fmt: skip
    assert decoded.device.tolist() == [-1] * 6


def test_a_payload_that_is_cut_or_goes_on_is_of_no_layout() -> None:
    whole = b'{"a":1.5,"b":"x","c":true}'
    taught = Taught(whole)
    cut = [whole[:at] for at in range(1, len(whole))] + [whole + b" ", whole + b"}", whole + whole]
    assert (taught.left(cut), taught.left([whole])) == (cut, [])


@pytest.mark.parametrize("sign", ["", "-"])
def test_a_whole_number_that_is_rounded_is_told_of_in_every_payload(sign: str) -> None:
    """2^53 + 1 was told of once: the layout that it taught read it as 2^53, which is exact."""
    codec = create("json", {})
    for _ in range(3):
        (note,) = codec.decode(payloads_of([f'{{"a":{sign}9007199254740993}}'.encode()])).notes
        assert note.detail.startswith(f"a: {sign}9007199254740993 is stored as {sign}9007199254740992: whole numbers")


def test_the_layout_that_reads_the_fewest_payloads_gives_way_to_a_new_one_beyond_the_most() -> None:
    payloads = [f'{{"k{number}":1}}'.encode() for number in range(MOST_LAYOUTS + 1)]
    taught = Taught(*payloads[:MOST_LAYOUTS])
    assert taught.left(payloads) == payloads[MOST_LAYOUTS:]
    taught.left([*payloads[:5], *payloads[6:MOST_LAYOUTS]])
    taught.codec.layouts.learn(payloads[MOST_LAYOUTS])
    assert taught.left(payloads) == [payloads[5]]


@pytest.mark.parametrize(("beyond", "is_learned"), [(0, True), (1, False)])
def test_a_layout_is_learned_from_a_payload_up_to_the_longest(beyond: int, is_learned: bool) -> None:
    payload = b'{"a":1}'.ljust(LONGEST_PAYLOAD + beyond)
    assert Taught(payload).left([payload]) == ([] if is_learned else [payload])


def test_after_payloads_that_teach_nothing_ever_more_are_passed_over() -> None:
    taught = Taught()
    tried = []
    for number in range(40):
        taught.codec.layouts.learn(b'{"a":null}' if number < 12 else f'{{"k{number}":1}}'.encode())
        tried.append(taught.left([f'{{"k{number}":2}}'.encode()]) == [])
    assert [number for number, is_learned in enumerate(tried) if is_learned][:3] == [14, 15, 16]


def test_a_state_has_as_many_characters_as_the_longest_and_longer_text_is_none() -> None:
    taught = Taught(b'{"mode":"heat","a":1}')
    for _ in range(2):
        decoded, left = taught.codec.layouts.read(
            payloads_of(texts(["x" * size for size in (1, LONGEST_STATE, LONGEST_STATE + 1, 127, 128, 200)]))
        )
        is_text = [str(taught.codec.metrics[code]) == "mode" for code in decoded.metric.tolist()]
        states = [(m, taught.codec.words[int(v)]) for m, v, is_state in zip(
            decoded.message.tolist(), decoded.value.tolist(), is_text, strict=True) if is_state]  # fmt: skip
        assert (states, left.tolist()) == ([(0, "x"), (1, "x" * LONGEST_STATE)], [])
        assert decoded.message.tolist() == [0, 0, 1, 1, 2, 3, 4, 5]


def test_a_payload_of_nothing_but_a_text_that_is_no_state_is_left() -> None:
    taught = Taught(b'{"mode":"heat"}')
    items = [b'{"mode":"' + text + b'"}' for text in (b"cool", b"x" * 65, b"a1234567", b"a123456")]
    decoded, left = taught.codec.layouts.read(payloads_of(items))
    assert (decoded.message.tolist(), left.tolist()) == ([0, 3], [1, 2])
