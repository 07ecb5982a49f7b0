"""The engine's routes: which one takes a message, what it names and ignores, and what its profile gives."""

from __future__ import annotations

import json

import pytest
from fed_engine import Feeder, ledger_closes, make_engine, names

from devices.messages import FLAG_RETAIN
from ingest.ingest_settings import DEFAULT_ROUTES, MetricSettings, RouteSettings


def test_templates_name_device_and_metric() -> None:
    engine = make_engine(RouteSettings(filter="+/+/up", device="{topic[1]}", metric="x-{metric}"))
    Feeder(engine)(("app/dev-7/up", {"temp": 1}))
    assert names(engine) == [("dev-7", "x-temp")]


def test_the_first_route_that_matches_wins_and_unmatched_topics_are_rejected() -> None:
    engine = make_engine(RouteSettings(filter="a/#", device="first"), RouteSettings(filter="a/b", device="second"))
    output = Feeder(engine)(("a/b", {"x": 1}), ("c", {"x": 1}))
    assert names(engine) == [("first", "x")]
    assert [(d.topic, d.reason) for d in output.dead_letters] == [("c", "no_route")]


def test_metric_overrides_choose_detectors_units_and_what_to_ignore() -> None:
    engine = make_engine(
        RouteSettings(
            filter="#",
            metrics=[
                MetricSettings(match="linkquality", ignore=True),
                MetricSettings(match="temp*", detectors=["limits"], unit="°C"),
            ],
        )
    )
    output = Feeder(engine)(("d", {"temperature": 60, "linkquality": 3}))
    assert names(engine) == [("d", "temperature")]
    assert output.series[0].unit == "°C"
    assert output.counts["dropped.ignored"] == 1
    assert output.points.score[0] == 12.0
    assert output.points.anomaly[0]
    assert output.points.upper[0] == 50.0


def test_a_filter_within_a_wider_one_is_not_subscribed_twice() -> None:
    engine = make_engine(
        RouteSettings(filter="driftline/truth/#"),
        RouteSettings(filter="+/x", qos=2),
        RouteSettings(filter="$SYS/#"),
        RouteSettings(filter="#"),
    )
    assert engine.router.filters == {"+/x": 2, "$SYS/#": 1, "#": 1}


@pytest.mark.parametrize(
    "routes",
    [
        DEFAULT_ROUTES,
        [RouteSettings(filter="plant/+/telemetry", device="{topic[1]}"), RouteSettings(filter="#")],
        [RouteSettings(filter="driftline/#"), RouteSettings(filter="other", detectors=["default"])],
    ],
)
def test_what_a_simulator_says_of_its_faults_is_no_metric_of_a_device_and_no_sign_of_life(
    routes: list[RouteSettings],
) -> None:
    engine = make_engine(*routes)
    label = [{"ts": "2026-03-01T12:00:00Z", "temperature": 1, "kind": "stuck"}]
    output = Feeder(engine)(
        ("driftline/truth/plant/hall-1/press-01", label, FLAG_RETAIN),
        ("driftline/simulator/inject", {"device": "press-01", "kind": "stuck", "seconds": 60}),
        ("driftline/notices", {"alarm": 7, "peak_score": 9.5}),
        ("driftline/alarms/press-01/score", b"9.5"),
        ("other", b"1"),
    )
    assert names(engine) == [("other", "value")]
    assert output.counts["dropped.ignored"] == 4
    assert output.dead_letters == []


@pytest.mark.parametrize(
    ("filter_", "read"),
    [
        ("driftline/truth/#", [("driftline/truth/plant/press-01", "stuck")]),
        ("$share/lines/driftline/truth/plant/+", [("driftline/truth/plant/press-01", "stuck")]),
        ("driftline/notices", [("driftline", "notices")]),
        ("driftline/alarms/#", []),
    ],
)
def test_a_route_whose_own_filter_begins_so_reads_what_the_product_publishes_but_never_its_alarms(
    filter_: str, read: list[tuple[str, str]]
) -> None:
    engine = make_engine(RouteSettings(filter=filter_), RouteSettings(filter="#"))
    Feeder(engine)(
        ("driftline/truth/plant/press-01", {"stuck": 1}),
        ("driftline/notices", b"7"),
        ("driftline/alarms/a/score", b"9"),
    )
    assert names(engine) == read


def test_a_route_takes_from_its_profile_what_it_does_not_set() -> None:
    engine = make_engine(RouteSettings(profile="tasmota", device="cellar-{topic[1]}"))
    sensor = {"Time": "2025-06-01T12:00:00", "AM2301": {"Temperature": 22.6, "Humidity": 32.4}, "TempUnit": "C"}
    output = Feeder(engine)(("tele/TH16/SENSOR", sensor), ("tele/TH16/LWT", b"Online"), ("elsewhere", b"1"))
    assert names(engine) == [("cellar-TH16", "AM2301.Temperature"), ("cellar-TH16", "AM2301.Humidity")]
    assert [r.unit for r in output.series] == ["°C", "%"]
    assert output.counts["dropped.availability"] == 1
    assert [d.reason for d in output.dead_letters] == ["no_route"]
    assert ledger_closes([output])


def test_a_route_needs_a_filter_or_a_known_profile() -> None:
    with pytest.raises(ValueError, match='expected a "filter" or a "profile"'):
        RouteSettings(name="x")
    with pytest.raises(ValueError, match='did you mean "tasmota"'):
        RouteSettings(profile="tasmotta")


def test_the_settings_in_a_state_make_the_same_engine_again() -> None:
    engine = make_engine(RouteSettings(profile="tasmota"), RouteSettings(filter="#", reorder_window="2s"))
    saved = json.loads(json.dumps(engine.settings))
    again = make_engine(*(RouteSettings.model_validate(route) for route in saved["routes"]))
    assert again.settings == engine.settings
    assert again.router.filters == engine.router.filters
