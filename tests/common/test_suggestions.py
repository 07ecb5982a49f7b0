"""The one sentence for names that do not exist."""

import pytest

from common.suggestions import did_you_mean, nearest, unknown


@pytest.mark.parametrize(
    ("name", "expected"),
    [("emwa", "ewma"), ("EWMA", "ewma"), ("kpa", "kPa"), ("Forest", "half_space_forest"), ("xyz", None), ("k", None)],
)
def test_the_nearest_name_is_found_whatever_the_case(name: str, expected: str | None) -> None:
    assert nearest(name, ["ewma", "cusum", "kPa", "half_space_forest"]) == expected


def test_the_sentence_names_what_was_given_the_nearest_and_all() -> None:
    assert unknown("emwa", ["ewma", "cusum"]) == 'unknown "emwa"; did you mean "ewma"? (known: cusum, ewma)'
    assert unknown("emwa", ["ewma"], "detector") == 'unknown detector "emwa"; did you mean "ewma"? (known: ewma)'
    assert unknown("a", []) == 'unknown "a" (known: none)'
    assert did_you_mean("xyz", ["ewma"]) == ""


def test_of_many_names_the_first_are_listed() -> None:
    sentence = unknown("zzz", [f"{number:03}" for number in range(100)])
    assert sentence.endswith("038, 039 and 60 more)")
