import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from common.durations import Duration, format_duration, parse_duration, spoken_duration


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("30s", 30 * 10**9),
        ("1h30m", 5400 * 10**9),
        ("1h 30m", 5400 * 10**9),
        ("1.5d", 129_600 * 10**9),
        ("250ms", 250 * 10**6),
        ("2w1d", 15 * 86_400 * 10**9),
        ("3m5ms", 180 * 10**9 + 5 * 10**6),
        ("0s", 0),
        ("0.1us", 100),
    ],
)
def test_reads_durations(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "30", "s", "-1s", "1 hour", "30m1h", "1s1s", "1e3s", "1,5s", "300y", "٣s"])
def test_refuses_what_is_no_duration_and_names_it(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration: expected a duration such as") as caught:
        parse_duration(text)
    assert f'"{text}"' in str(caught.value)


@pytest.mark.parametrize(("text", "word"), [("0.5ns", "finer than a nanosecond"), ("300000d", "too long")])
def test_refuses_what_cannot_be_counted(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        parse_duration(text)


@given(st.integers(0, 2**63 - 1))
def test_written_durations_read_back(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(5400 * 10**9, "1h30m"), (30 * 86_400 * 10**9, "30d"), (14 * 86_400 * 10**9, "2w"), (0, "0s")],
)
def test_writes_durations_as_people_do(nanoseconds: int, text: str) -> None:
    assert format_duration(nanoseconds) == text


def test_refuses_to_write_a_negative_duration() -> None:
    with pytest.raises(ValueError, match="-5 is not a duration"):
        format_duration(-5)


@pytest.mark.parametrize(
    ("seconds", "spoken"), [(40, "40 s"), (180, "3 min"), (16_200, "4.5 h"), (86_400, "1 day"), (129_600, "1.5 days")]
)
def test_speaks_durations(seconds: int, spoken: str) -> None:
    assert spoken_duration(seconds * 10**9) == spoken


def test_settings_field_checks_at_construction() -> None:
    class Settings(BaseModel):
        keep: Duration = "30d"

    assert Settings(keep="12h").keep == "12h"
    with pytest.raises(ValidationError, match='"soon" is not a duration'):
        Settings(keep="soon")
