"""One route by itself: what it names readings, what its overrides decide, and which codec it chooses."""

from __future__ import annotations

from typing import Any

import pytest

from devices.codec import UNNAMED
from devices.codec import Role as ValueRole
from devices.codecs import codec_registry
from devices.kinds import Kind
from devices.profile import find_profile
from ingest.ingest_settings import MetricSettings, RouteSettings
from ingest.route_entry import NO_OVERRIDE, UNSCORED, Route, RouteError, component_of

LEVELS = ["plant", "hall-1", "pump"]


def route(**settings: Any) -> Route:
    made = RouteSettings.model_validate({"filter": "#", **settings})
    component = component_of(made, None)
    codec = codec_registry.create(component.type, component.parameters)
    return Route(made, ["default", "limits"], codec, component)


def of_profile(profile: str, message: int = 0, **settings: Any) -> Route:
    found = find_profile(profile)
    made = RouteSettings.model_validate({"profile": profile, **settings})
    component = component_of(made, found.messages[message])
    codec = codec_registry.create(component.type, component.parameters)
    return Route(made, ["default"], codec, component, profile=found, message=found.messages[message])


@pytest.mark.parametrize(
    ("settings", "levels", "device", "metric", "names"),
    [
        ({}, LEVELS, None, "flow", ("plant/hall-1/pump", "flow")), ({}, LEVELS, "p-7", "flow", ("p-7", "flow")),
        ({}, LEVELS, None, UNNAMED, ("plant/hall-1", "pump")), ({}, LEVELS, "p-7", UNNAMED, ("p-7", "pump")),
        ({}, ["a", "b"], None, UNNAMED, ("a", "b")), ({}, ["lonely"], None, UNNAMED, ("lonely", "value")),
        ({}, ["a", ""], None, UNNAMED, ("a", "value")),
        ({"metric": "m"}, LEVELS, None, "flow", ("plant/hall-1/pump", "m")),
        ({"metric": "{topic[1]}.{metric}"}, LEVELS, None, UNNAMED, ("plant/hall-1", "hall-1.pump")),
        ({"device": "{topic[2]}"}, LEVELS, None, "flow", ("pump", "flow")),
        ({"device": "{topic[2]}"}, LEVELS, "p-7", "flow", ("p-7", "flow")),
        ({"device": "x-{device}"}, LEVELS, "p-7", "flow", ("x-p-7", "flow")),
        ({"device": "x-{device}"}, LEVELS, None, "flow", ("plant/hall-1/pump", "flow")),
        ({"device": "{model}/{id}"}, LEVELS, "m\x1fi", "flow", ("m/i", "flow")),
        ({"device": "{model}/{id}/{topic[0]}"}, LEVELS, "m\x1fi", "flow", ("m/i/plant", "flow")),
    ],
)  # fmt: skip
def test_names_are_by_template_payload_and_topic(
    settings: dict[str, Any], levels: list[str], device: str | None, metric: str, names: tuple[str, str]
) -> None:
    assert route(**settings).names(levels, device, metric) == names


def test_a_property_in_a_template_comes_first_and_without_it_nothing_is_set() -> None:
    both = route(device="{topic[0]}/{property:serial}", metric="{property:what}.{metric}")
    assert both.names(LEVELS, "p-7", "flow", {"serial": "A1", "what": "w"}) == ("plant/A1", "w.flow")
    assert both.names(LEVELS, "p-7", "flow", {"what": "w"}) == ("p-7", "w.flow")
    assert both.names(LEVELS, None, "flow", {"serial": "A1"}) == ("plant/A1", "flow")
    assert (both.owner(LEVELS), both.owner(LEVELS, {"serial": "A1"})) == ("plant/hall-1/pump", "plant/A1")
    assert route(device="{topic[5]}").owner(LEVELS) == "plant/hall-1/pump", "the topic has no such level"


def test_of_several_values_on_a_topic_of_one_each_keeps_its_name() -> None:
    number = next(number for number, each in enumerate(find_profile("homie").messages) if each.metric)
    levels = ["homie", "5", "house", "boiler", "state"]
    made, own = of_profile("homie", number), of_profile("homie", number, metric="mine")
    named = made.names(levels, None, UNNAMED)[1]
    assert [made.names(levels, None, said)[1] for said in ("x", "value")] == [f"{named}.x", named]
    assert own.names(levels, None, "x")[1] == "mine"


OVERRIDES = [
    MetricSettings(match="temp*", detectors=["limits"], kind=Kind.BATTERY),
    MetricSettings(match="t*", detectors=[], direction="below"),
    MetricSettings(match="b*", lowest_allowed=1.0, warn_ahead="1h"),
]


def test_the_first_override_that_matches_decides_and_what_is_not_scored_goes_by_an_override_alone() -> None:
    made = route(metrics=[each.model_dump(exclude_unset=True) for each in OVERRIDES], upper_limit=9.0)
    numbers = [made.override_of(name) for name in ("temperature", "turns", "battery", "flow")]
    assert numbers == [0, 1, 2, NO_OVERRIDE]
    unscored = [made.override_of(name, scored=False) for name in ("temperature", "turns", "battery", "flow")]
    assert unscored == [UNSCORED, 1 + UNSCORED, 2 + UNSCORED, NO_OVERRIDE + UNSCORED]
    matches = [None if (found := made.override_at(number)) is None else found.match for number in numbers + unscored]
    assert matches == ["temp*", "t*", "b*", None] * 2
    assert [made.detectors_at(number) for number in numbers] == [["limits"], [], ["default"], ["default"]]
    assert [made.detectors_at(number) for number in unscored] == [["limits"], [], [], []]
    facts = [made.facts_at(number) for number in numbers]
    assert [(each.upper_limit, each.direction) for each in facts] == [(9, None), (9, "below"), (9, None), (9, None)]
    assert (made.knows, made.warns) == (True, True)
    assert (route().knows, route().warns) == (False, False)
    assert (route(metrics=[{"match": "a"}, {"match": "b", "upper_limit": 1}]).knows, route(upper_limit=1).knows) == (
        True,
        True,
    )


def test_what_a_metric_is_follows_from_override_profile_values_and_name() -> None:
    made = route(metrics=[each.model_dump(exclude_unset=True) for each in OVERRIDES])
    assert made.kind("temperature", "°C") == Kind.BATTERY
    assert made.kind("temperature", "", ValueRole.TEXT) == Kind.BATTERY
    assert made.kind("mode", "", ValueRole.TEXT) == Kind.TEXT
    assert made.kind("x", "", ValueRole.TRUTH) == Kind.STATE
    assert (made.kind("x", ""), made.kind("energy", "kWh")) == (Kind.MEASUREMENT, Kind.COUNTER)
    assert (made.usual_unit("Temperature"), of_profile("tasmota").usual_unit("AM2301.Humidity")) == ("", "%")


def test_a_codec_is_the_route_s_else_the_profile_s_with_what_bears_on_it() -> None:
    def chosen(profile: str | None = None, asked: str | None = None, **settings: Any) -> tuple[str, dict[str, Any]]:
        made = RouteSettings.model_validate({"filter": "#", **settings})
        message = None if profile is None else find_profile(profile).messages[0]
        component = component_of(made, message, asked)
        return component.type, component.parameters

    assert chosen() == ("auto", {})
    assert chosen(codec="json", time_zone="+02:00") == ("json", {"time_zone": "+02:00"})
    assert chosen(codec="senml", time_zone="+02:00") == ("senml", {}), "which has no such setting"
    assert chosen(codec="json", device="{id}") == ("json", {"device": "id"})
    assert chosen(codec="json", device="{a}/{b}") == ("json", {"device": "{a}\x1f{b}"})
    assert chosen(codec="json", device="x-{device}") == ("json", {})
    assert chosen(asked="cbor", codec="json") == ("cbor", {})
    assert chosen("tasmota")[0] == find_profile("tasmota").messages[0].codec.type
    with pytest.raises(RouteError, match=r'device: "\{id\}" names fields, which codec "senml" does not have'):
        chosen(codec="senml", device="{id}")
    with pytest.raises(RouteError, match=r"""route "#": detector "slow" is not among \['default', 'limits'\]"""):
        route(detectors=["slow"])
    with pytest.raises(RouteError, match='detector "fast"'):
        route(metrics=[{"match": "a", "detectors": ["fast"]}])
