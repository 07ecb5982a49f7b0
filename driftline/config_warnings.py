"""What is valid in a configuration and hardly meant: former names, unreachable routes, unused detectors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from devices.recognition import Profiles
from devices.topics import Template, TopicTooShortError, covers
from driftline.config import Config
from ingest.ingest_settings import DEFAULT_DETECTORS, RouteSettings
from ingest.topic_routes import topic_filters
from storage.journal.kafka_settings import PASSWORD_VARIABLE

_KEEP_REST = 'a last route takes all other topics: [[routes]] filter = "#"'


def config_warnings(config: Config) -> list[str]:
    """One line for each, with its place in the file."""
    return [
        *config.former_names,
        *_shadowed_routes(config.routes, Profiles(config.own_profiles)),
        *_unused_detectors(config),
        *_names_from_missing_levels(config.routes),
        *_budget_beside_threshold(config),
        *_missing_secrets(config, os.environ),
    ]


def no_longer_heard(before: Iterable[str], now: Iterable[str]) -> str:
    """A sentence where topics of the filters `before` are not received by those that are in force `now`; else ""."""
    kept = list(now)
    lost = [each for each in before if not any(covers(wider, each) for wider in kept)]
    return f"{', '.join(lost)} is no longer listened to: {_KEEP_REST}" if lost else ""


def heard_topics(config: Config) -> str:
    """Which topics are received, where not all are; else ""."""
    profiles = Profiles(config.own_profiles)
    filters = [name for route in config.routes for name in topic_filters(route, profiles)]
    if any(name == "#" for name in filters):
        return ""
    return f"only {', '.join(dict.fromkeys(filters))} is listened to: {_KEEP_REST}"


def _shadowed_routes(routes: list[RouteSettings], profiles: Profiles) -> Iterator[str]:
    for number, route in enumerate(routes):
        # A route with a profile leaves to the next what it does not recognise.
        earlier = [(i, each.filter) for i, each in enumerate(routes[:number]) if each.filter and not each.profile]
        filters = topic_filters(route, profiles)
        first = next((found for found in earlier if all(covers(found[1], each) for each in filters)), None)
        if first is not None:
            yield (
                f"routes[{number}]: no message reaches it: routes[{first[0]}] takes all of "
                f'"{", ".join(filters)}" with its filter "{first[1]}"; put the narrower route first'
            )


def _unused_detectors(config: Config) -> Iterator[str]:
    used = {name for route in config.routes for name in route.detectors}
    used |= {name for route in config.routes for metric in route.metrics for name in metric.detectors or ()}
    used |= {name for series in config.series for name in series.detectors or ()}
    for name in config.detectors:
        if name not in used and name not in DEFAULT_DETECTORS:
            yield f'detectors.{name}: no route uses it; name it in a route\'s detectors = ["{name}"]'


def _names_from_missing_levels(routes: list[RouteSettings]) -> Iterator[str]:
    for number, route in enumerate(routes):
        if not route.filter:
            continue
        levels = route.filter.split("/")
        levels = levels[2:] if levels[0] == "$share" else levels
        if levels[-1] == "#":
            continue
        for field, text in (("device", route.device), ("metric", route.metric)):
            try:
                Template(text or "{topic}").render(levels, "metric")
            except TopicTooShortError:
                yield (
                    f'routes[{number}].{field}: "{text}" names a level that topics of "{"/".join(levels)}" do not '
                    f"have: they have {len(levels)}, counted from 0; every message of the route would be rejected"
                )


def _missing_secrets(config: Config, environment: Mapping[str, str]) -> Iterator[str]:
    """Ready-made requests that could not be signed, and a user without a password at Kafka; files of functions are held
    against their secrets elsewhere."""
    if config.kafka.username and config.kafka.password_file is None and PASSWORD_VARIABLE not in environment:
        yield f"kafka.username: the environment has no {PASSWORD_VARIABLE}: set it, or kafka.password_file"
    for number, function in enumerate(config.functions):
        name = function.with_.get("secret") if function.action == "http" else ""
        if name and name not in environment:
            yield f"functions[{number}].with.secret: the environment has no {name}: set it where the service runs"


def _budget_beside_threshold(config: Config) -> Iterator[str]:
    if config.alarm.threshold is not None and "budget" in config.alarm.model_fields_set:
        yield f"alarm.budget: not used: alarm.threshold = {config.alarm.threshold:g} decides; take one of them out"


def changed_tables(before: Config, after: Config) -> list[str]:
    """A line for each table of a stream whose rows are others than before."""
    return [
        f'the table "{name}" of stream "{stream.name}" has changed: {stream.tables[name]}, '
        f"{len(table):,} row{'' if len(table) == 1 else 's'}"
        for stream in after.streams
        for name, table in after.stream_tables.get(stream.name, {}).items()
        if (old := before.stream_tables.get(stream.name, {}).get(name)) is not None and old != table
    ]
