from __future__ import annotations

import orjson
import pytest

from devices.codec import MetricName
from devices.series_registry import SeriesRegistry, TooManySeriesError


def test_the_limit_that_is_near_is_named_before_it_is_reached() -> None:
    registry = SeriesRegistry(max_series=100, max_series_per_device=10)
    for metric in range(8):
        registry.find_or_add("pump", f"m{metric}")
    assert registry.near_limit(0.8) is None
    registry.find_or_add("pump", "m8")
    assert registry.near_limit(0.8) == 'device "pump" has 9 of limits.max_series_per_device = 10 series'
    for device in range(80):
        registry.find_or_add(f"fan {device}", "speed")
    assert registry.near_limit(0.8) == "89 of limits.max_series = 100 series"


def test_series_beyond_a_limit_are_refused_by_name() -> None:
    registry = SeriesRegistry(max_series=3, max_series_per_device=2)
    for metric in ("a", "b"):
        registry.find_or_add("pump", metric)
    with pytest.raises(TooManySeriesError, match='metric "c": device "pump" has reached'):
        registry.find_or_add("pump", "c")
    registry.find_or_add("fan", "a")
    with pytest.raises(TooManySeriesError, match=r'series "fan" "b": limits\.max_series = 3 is reached'):
        registry.find_or_add("fan", "b")
    assert registry.find_or_add("pump", "a") == (0, None)


def test_a_record_holds_plain_text_whatever_facts_the_name_in_a_payload_carried() -> None:
    _, record = SeriesRegistry(max_series=9, max_series_per_device=9).find_or_add(
        "pump", MetricName("flow", unit="l/min"), "l/min"
    )
    assert record is not None
    assert orjson.dumps({record.metric: 1.0, record.device: 2}) == b'{"flow":1.0,"pump":2}'


def test_names_are_shown_up_to_eighty_characters_where_a_limit_refuses_them() -> None:
    device, metric = "d" * 90, "m" * 90
    with pytest.raises(TooManySeriesError) as caught:
        SeriesRegistry(max_series=0, max_series_per_device=9).find_or_add(device, metric)
    assert str(caught.value) == f'series "{device[:80]}" "{metric[:80]}": limits.max_series = 0 is reached'
    registry = SeriesRegistry(max_series=9, max_series_per_device=1)
    registry.find_or_add(device, "a")
    with pytest.raises(TooManySeriesError) as caught:
        registry.find_or_add(device, metric)
    said = f'metric "{metric[:80]}": device "{device[:80]}" has reached limits.max_series_per_device = 1'
    assert str(caught.value) == said
