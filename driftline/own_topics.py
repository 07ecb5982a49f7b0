"""What the service itself publishes, and comes back where a route's filter takes it: it is no reading."""

from __future__ import annotations

from devices.recognition import Profiles
from devices.topics import covers
from driftline.config import Config
from functions.definitions import published_topics
from ingest.ingest_settings import RouteSettings
from ingest.topic_routes import OWN_TOPICS, left_out, topic_filters


def told_topics(config: Config) -> list[str]:
    """Filters of the topics that streams, functions and notices publish on, beside `OWN_TOPICS`."""
    told = [stream.topic for stream in config.streams if stream.topic] + published_topics(config.functions)
    notices = [notice.topic for notice in config.notices if notice.kind == "mqtt"]
    told += [topic for topic in notices if not any(covers(own, topic) for own in OWN_TOPICS)]
    return list(dict.fromkeys(told))


def routes_in_force(config: Config) -> list[RouteSettings]:
    """The routes of a configuration, which ignore what its streams, functions and notices publish."""
    told = told_topics(config)
    return [route.model_copy(update={"ignore": [*route.ignore, *told]}) if told else route for route in config.routes]


def own_topics_read(config: Config) -> list[str]:
    """A line on what of the service's own topics no route reads though one takes it, and on each route that reads
    some."""
    profiles = Profiles(config.own_profiles)
    filters = [each for route in config.routes for each in topic_filters(route, profiles)]
    unread = [own for own in OWN_TOPICS if any(covers(each, own) for each in filters)]
    lines = []
    for number, route in enumerate(config.routes):
        if read := [own for own in OWN_TOPICS if own not in left_out(route)]:
            lines.append(f"routes[{number}] reads {route.filter} as readings, which Driftline itself publishes")
            unread = [own for own in unread if own != read[0] or route.filter != own]
    if unread:
        lines.append(f"what Driftline itself publishes is no reading: {', '.join([*unread, *told_topics(config)])}")
    return lines
