"""What of a configuration does not run on Spark, told before anything starts."""

from __future__ import annotations

from collections.abc import Iterator

from alerts.alarm_settings import Scope
from driftline.config import Config


def unfit_for_spark(config: Config) -> list[str]:
    """A line for each setting that a shard cannot do what it says: its place, and why."""
    return [*_of_one_machine(config), *_across_devices(config), *_of_kafka(config), *_of_messages(config)]


def _of_one_machine(config: Config) -> Iterator[str]:
    """What runs beside the engine of one machine."""
    lists = (
        ("streams", [each.name for each in config.streams], "the SQL of a stream reads all devices"),
        ("functions", [each.name for each in config.functions], "functions are called by the service alone"),
        ("workflows", [each.name for each in config.workflows], "workflows are run by the service alone"),
        ("notices", [each.name for each in config.notices], "notices are sent by the service alone"),
    )
    for place, names, why in lists:
        if names:
            yield f"{place}: {', '.join(names)}: {why}"
    if config.home_assistant.enabled:
        yield "home_assistant.enabled: alarms for Home Assistant are published by the service alone"


def _across_devices(config: Config) -> Iterator[str]:
    """What several devices share, which may be in several shards."""
    scope = config.alarm.budget_scope
    if config.alarm.threshold is None and scope in (Scope.SITE, Scope.ALL):
        yield (
            f'alarm.budget: "{config.alarm.budget}" is shared by devices of several shards; '
            'expected one "per sensor" or "per device"'
        )


def _of_kafka(config: Config) -> Iterator[str]:
    """How Spark's own client would have to connect."""
    if config.kafka.security != "plaintext":
        yield f'kafka.security: "{config.kafka.security}": the application connects without signing in or certificates'


def _of_messages(config: Config) -> Iterator[str]:
    """What a record of the log does not hold of its message."""
    for number, route in enumerate(config.routes):
        if route.asks_properties:
            yield f"routes[{number}]: it reads properties of MQTT 5, which a record of the log does not hold"
