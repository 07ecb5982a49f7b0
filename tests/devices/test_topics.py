"""Topic filters as MQTT 5.0 has them, and names from topics."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.topics import Pattern, Template, TopicTooShortError, covers, matches, validate_filter

LEVELS = ["sport", "tennis", "player1", "ranking"]


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("sport/#", "sports", False),
        ("#", "a/b", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/uptime", False),
        ("+/uptime", "$SYS/uptime", False),
        ("$SYS/#", "$SYS/uptime", True),
        ("$SYS/+", "$SYS/uptime", True),
        ("a/+", "a/$b", True),
        ("a", "A", False),
        ("$share/group/a/+", "a/b", True),
    ],
)
def test_matching_follows_the_specification(topic_filter: str, topic: str, expected: bool) -> None:
    validate_filter(topic_filter)
    assert matches(topic_filter, topic) is expected


@pytest.mark.parametrize(
    ("topic_filter", "said"),
    [
        ("", "empty"), ("sport/tennis#", "level 1"), ("sport/#/ranking", "level 1"), ("sport+", "level 0"),
        ("a/b+/c", "level 1"), ("a\0", "U\\+0000"), ("$share/a", "GROUP"), ("$share/+/a", "GROUP"),
        ("a" * 70_000, "longer"),
    ],
)  # fmt: skip
def test_bad_filters_are_refused_with_the_place(topic_filter: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        validate_filter(topic_filter)


def is_filter_by_the_rules(text: str) -> bool:
    """Section 4.7.1 of MQTT 5.0, sentence by sentence, for text of a few characters."""
    if not text:
        return False
    levels = text.split("/")
    wildcards = [level for level in levels if "#" in level or "+" in level]
    return all(level in ("#", "+") for level in wildcards) and "#" not in levels[:-1]


def test_every_small_filter_is_judged_as_the_rules_say() -> None:
    texts = ["".join(letters) for length in range(6) for letters in itertools.product("a/+#", repeat=length)]
    wrong = []
    for text in texts:
        try:
            validate_filter(text)
        except ValueError:
            accepted = False
        else:
            accepted = True
        if accepted != is_filter_by_the_rules(text):
            wrong.append(text)
    assert len(texts) == 1_365
    assert wrong == []


@given(st.lists(st.text("ab+/", max_size=3), min_size=1, max_size=4).map("/".join).filter(bool))
def test_a_topic_matches_itself_and_everything(topic: str) -> None:
    topic = topic.replace("+", "x")
    assert matches(topic, topic)
    assert matches("#", topic)
    assert matches("/".join("+" for _ in topic.split("/")), topic)


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{topic}", "sport/tennis/player1/ranking"),
        ("{topic[1]}", "tennis"),
        ("{topic[-1]}", "ranking"),
        ("{topic[0:-1]}", "sport/tennis/player1"),
        ("{topic[2:]}", "player1/ranking"),
        ("{topic[:2]}", "sport/tennis"),
        ("x-{topic[0]}.{metric}", "x-sport.speed"),
        ("{{{metric}}}", "{speed}"),
        ("plain", "plain"),
    ],
)
def test_templates(template: str, name: str) -> None:
    assert Template(template).render(LEVELS, "speed") == name


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("", "empty"), ("a{topics}", "character 1: unknown {topics}"), ("{topic[x]}", "unknown"),
        ("a}", "unpaired '}'"), ("{", "unpaired"),
    ],
)  # fmt: skip
def test_bad_templates_are_refused_with_place_and_expectation(template: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"expected \{topic\}") as caught:
        Template(template)
    assert said in str(caught.value)


@pytest.mark.parametrize("template", ["{topic[4]}", "{topic[-5]}", "{topic[4:]}"])
def test_a_topic_without_the_level_is_named(template: str) -> None:
    with pytest.raises(TopicTooShortError, match="'sport/tennis/player1/ranking' has 4 levels"):
        Template(template).render(LEVELS, "speed")


levels = st.lists(st.sampled_from(["a", "b", "+", "#", "$x"]), min_size=1, max_size=4)


@given(levels, levels, st.lists(st.sampled_from(["a", "b", "c", "$x"]), min_size=1, max_size=5))
def test_a_filter_that_covers_another_matches_all_its_topics(
    wide: list[str], narrow: list[str], topic: list[str]
) -> None:
    filters = []
    for chosen in (wide, narrow):
        text = "/".join(chosen[: chosen.index("#") + 1] if "#" in chosen else chosen)
        filters.append(text)
    if covers(*filters) and matches(filters[1], "/".join(topic)):
        assert matches(filters[0], "/".join(topic))


@pytest.mark.parametrize(("wide", "narrow"), [("#", "a/+/b"), ("a/#", "a"), ("+/b", "a/b"), ("a/+", "a/+")])
def test_wider_filters_cover_narrower_ones(wide: str, narrow: str) -> None:
    assert covers(wide, narrow)


@pytest.mark.parametrize(
    ("pattern", "literals"),
    [("**", 1), ("+", 1), ("*", 1), ("a", 3), ("a/b", 5), ("a/+", 3), ("a*", 2), ("shelly*/+/b", 4), ("*/a*b/c/**", 4)],
)
def test_a_pattern_is_as_certain_as_its_levels_are_literal(pattern: str, literals: int) -> None:
    assert Pattern(pattern).literals == literals


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("a/+", "a/b", True), ("a/+", "a/", True), ("a/+", "a/b/c", False), ("a/*", "a/b", True),
        ("a/x*", "a/y", False),
        ("a/x*z", "a/xyz", True), ("a/x*z", "a/x/z", False), ("a/**", "a/b/c", True), ("a/**", "a", False),
        ("**", "a\nb", True), ("**", "$SYS/a", False), ("+/a", "$SYS/a", False), ("*/a", "$SYS/a", False),
        ("$SYS/*", "$SYS/a", True), ("a.c", "abc", False), ("a/b", "a/b/", False),
    ],
)  # fmt: skip
def test_a_pattern_matches_level_by_level(pattern: str, topic: str, expected: bool) -> None:
    assert Pattern(pattern).matches(topic) is expected


@pytest.mark.parametrize(
    ("wide", "narrow"), [("+", "$SYS"), ("#", "$SYS/a"), ("a/+", "a/#"), ("a", "a/b"), ("a/b", "a"), ("a/+", "a")]
)
def test_filters_that_miss_a_topic_of_another_do_not_cover_it(wide: str, narrow: str) -> None:
    assert not covers(wide, narrow)


@pytest.mark.parametrize(("text", "is_good"), [("a" * 65_535, True), ("a" * 65_536, False), ("ä" * 32_768, False)])
def test_a_filter_has_as_many_bytes_as_mqtt_can_carry(text: str, is_good: bool) -> None:
    if is_good:
        validate_filter(text)
    else:
        with pytest.raises(ValueError, match="longer than the 65535 bytes that MQTT can carry"):
            validate_filter(text)


@pytest.mark.parametrize("text", ["$share/g/a", "$share/g//", "$share/g/#"])
def test_a_shared_filter_has_a_group_and_a_filter(text: str) -> None:
    validate_filter(text)


@pytest.mark.parametrize("text", ["$share", "$share/g", "$share/g/", "$share//a", "$share/g#/a", "$share/g/a#"])
def test_a_shared_filter_without_either_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"topic filter '\$share"):
        validate_filter(text)


def test_a_template_tells_its_fields_and_properties_once_and_leaves_gaps_out_where_one_may_be_missing() -> None:
    template = Template("{model}/{channel?}/{model}/{property:serial}")
    assert (template.fields, template.properties, template.shows_metric) == (("model", "channel?"), ("serial",), False)
    assert template.render(LEVELS, "m", {"model": "x"}, {"serial": "7"}) == "x/x/7"
    assert Template("{model}/{x}/a").render(LEVELS, "m", {"model": "m"}) == "m//a"
    assert Template("{metric}").shows_metric
