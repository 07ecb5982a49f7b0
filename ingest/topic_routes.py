"""Route: which route takes a topic: by topic filters, and by the profile that topic and payload are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from alerts.home_assistant import TOPICS
from common.excerpts import shortened
from common.growth import grown
from devices.codec import Codec
from devices.codecs import codec_registry as codecs
from devices.device_book import DeviceBook
from devices.message_properties import MessageProperties
from devices.messages import MessageChunk
from devices.profile import Profile
from devices.recognition import Profiles
from devices.rejection_reasons import Reason
from devices.topics import covers, matches
from ingest.ingest_settings import ComponentSettings, RouteSettings
from ingest.refusals import Refusal, RefusalMemory
from ingest.route_entry import Route, component_of
from ingest.topic_table import TopicTable

LONGEST_TOPIC, MOST_LEVELS = 1_024, 32
"""Longest topic and name that is remembered, since memory must hold them all."""

NEVER_READ = f"{TOPICS}/#"
"""What the service publishes of its alarms: taken for readings it would be scored, and published again."""
OWN_TOPICS = (NEVER_READ, "driftline/notices/#", "driftline/simulator/#", "driftline/truth/#")
"""What the product itself publishes, which no device measures. All but the first are read by a route that asks for
them: its filter begins so."""

_NOTHING: Mapping[str, str] = MappingProxyType({})
IGNORED = -2
"""In place of a series or route number: dropped by the configuration, and counted."""


class TopicRouter:
    """All routes, and the topics that they take. The first route whose filter matches a topic takes it.

    A route that sets nothing but its filter leaves it to the topic and payload: where they are of a profile, the
    profile says how they are read. `routes` grows by the profiles' kinds of messages as they are met; `first_routes`
    has one for each route of the configuration. `book` tells which devices were merged into others.
    """

    def __init__(
        self,
        routes: Sequence[RouteSettings],
        detector_names: Sequence[str],
        *,
        max_topics: int,
        book: DeviceBook | None = None,
        profiles: Profiles | None = None,
    ) -> None:
        self.profiles = Profiles() if profiles is None else profiles
        self.book = DeviceBook() if book is None else book
        self.settings = list(routes)
        self.codecs: list[Codec] = []
        self.routes: list[Route] = []
        self._detector_names = list(detector_names)
        self._codec_numbers: dict[str, int] = {}
        self._numbers: dict[tuple[int, str, int, str], int] = {}
        self._places: list[int] = []
        self._recognised: dict[str, str] = {}
        self._max_topics = max_topics
        self._topics = TopicTable()
        self._refused_topics: RefusalMemory[bytes] = RefusalMemory()
        self._levels: list[list[str]] = []
        self._chosen: list[Route] = []
        self._properties: list[Mapping[str, str]] = []
        self._told_apart: dict[tuple[int, str, tuple[tuple[str, str], ...]], int] = {}
        self._asks_properties = any(settings.asks_properties for settings in self.settings)
        self._is_asking = np.zeros(64, np.bool_)
        self._is_mixed = np.zeros(64, np.bool_)
        self._kinds_at: dict[int, list[int]] = {}
        self._of_kind: dict[tuple[int, int], int] = {}
        self._route_of = np.empty(64, np.int32)
        self.first_routes: list[Route] = []
        for place, settings in enumerate(self.settings):
            profile = self.profiles.find(settings.profile) if settings.profile else None
            numbers = [self._number(place, profile, each) for each in range(len(profile.messages) if profile else 1)]
            self.first_routes.append(self.routes[numbers[0]])

    @property
    def codec_of_route(self) -> NDArray[np.int32]:
        """Number of each route's codec, (routes,) int32."""
        return np.array([self.codecs.index(route.codec) for route in self.routes], np.int32)

    @property
    def reorder_windows(self) -> NDArray[np.int64]:
        """Reorder window of each route, (routes,) int64 ns."""
        return np.array([route.reorder_window for route in self.routes], np.int64)

    @property
    def filters(self) -> dict[str, int]:
        """What to subscribe to: topic filter to quality of service.

        A filter within a wider one of the same quality is left out: a broker may send a message once for each
        subscription that it matches.
        """
        wanted: dict[str, int] = {}
        for settings in self.settings:
            for each in topic_filters(settings, self.profiles):
                wanted[each] = max(settings.qos, wanted.get(each, 0))
        return {
            narrow: qos
            for narrow, qos in wanted.items()
            if not any(wide != narrow and wanted[wide] >= qos and covers(wide, narrow) for wide in wanted)
        }

    def topics(self, chunk: MessageChunk) -> tuple[NDArray[np.int32], Mapping[int, Refusal]]:
        """Topic number of each message, (n,) int32, -1 where refused, and why, by message.

        Where the route of a topic asks for properties, the topic has a number of its own for each set of them.
        """
        data, spans = chunk.data, chunk.spans
        found, unknown = self._topics.find(data, spans)
        refused: dict[int, Refusal] = {}
        if unknown:
            added: dict[bytes, int | Refusal] = {}
            for message in np.flatnonzero(found < 0).tolist():
                topic = data[spans[message, 0] : spans[message, 1]]
                if (known := self._refused_topics.get(topic)) is not None:
                    refused[message] = known
                    continue
                if topic not in added:
                    payload = data[spans[message, 2] : spans[message, 3]]
                    added[topic] = self._add_topic(topic, payload)
                outcome = added[topic]
                if isinstance(outcome, Refusal):
                    refused[message] = outcome
                else:
                    found[message] = outcome
        if self._kinds_at:
            for message in np.flatnonzero(self._is_mixed[found] & (found >= 0)).tolist():
                found[message] = self._by_kind(int(found[message]), chunk.payload(message))
        if self._asks_properties:
            self._tell_apart(chunk, found, refused)
        return found, refused

    def _by_kind(self, topic: int, payload: bytes) -> int:
        """The number for a topic and the kind of message that a payload is, where its profile has several for it."""
        chosen, full = self._chosen[topic], "/".join(self._levels[topic])
        assert chosen.profile is not None
        messages = chosen.profile.messages
        if payload.lstrip()[:1] == b"{" and payload.rstrip(b"\0 \t\r\n")[-1:] != b"}":
            return topic  # Cut off: what is missing might have told.
        fitting = (kind for kind in self._kinds_at[topic] if messages[kind].certainty(full, payload))
        kind = next(fitting, None)
        if kind is None or messages[kind] is chosen.message:
            return topic
        number = self._of_kind.get((topic, kind))
        if number is None:
            if len(self._topics) >= self._max_topics:
                return topic
            route = self._number(self._places[int(self._route_of[topic])], chosen.profile, kind)
            # No topic has the character that stands between it and the kind here.
            number = self._of_kind[topic, kind] = self._topics.add(f"{full}\0{kind}".encode("utf-8", "surrogatepass"))
            self._note(number, self._levels[topic], route, self.routes[route])
            self._flag(number, asking=bool(self._is_asking[topic]), mixed=False)
        return number

    def _tell_apart(self, chunk: MessageChunk, found: NDArray[np.int32], refused: dict[int, Refusal]) -> None:
        """Put the number for topic and properties in the place of that of the topic, where its route asks for them."""
        for message in np.flatnonzero(self._is_asking[found] & (found >= 0)).tolist():
            outcome = self._with_properties(int(found[message]), chunk.properties(message))
            if isinstance(outcome, Refusal):
                refused[message] = outcome
                found[message] = -1
            else:
                found[message] = outcome

    def _with_properties(self, topic: int, given: MessageProperties) -> int | Refusal:
        settings = self._chosen[topic].settings
        named = {name: given.user[name] for name in settings.named_properties if name in given.user}
        for name, value in named.items():
            if not value.strip() or len(value) > LONGEST_TOPIC or any(ord(c) < 0x20 or c == "\x7f" for c in value):
                detail = f"expected text of at most {LONGEST_TOPIC} characters, without control characters"
                return Refusal(Reason.BAD_TOPIC, f'user property "{name[:80]}": {value[:80]!r}: {detail}')
        codecs_ = settings.properties.codecs if settings.properties is not None else {}
        content_type = given.media_type if given.media_type in codecs_ else ""
        if not named and not content_type:
            return topic
        key = (topic, content_type, tuple(named.items()))
        number = self._told_apart.get(key)
        if number is None:
            if len(self._topics) >= self._max_topics:
                detail = f"{self._max_topics} topics, and properties on them, are known already"
                return Refusal(Reason.TOO_MANY_SERIES, f'topic "{"/".join(self._levels[topic])[:200]}": {detail}')
            route = int(self._route_of[topic])
            if content_type and route >= 0:
                profile, kind = self._chosen[topic].profile, self._chosen[topic].message
                message = profile.messages.index(kind) if profile is not None and kind is not None else 0
                route = self._number(self._places[route], profile, message, content_type)
            # No topic has the character that stands between it and its properties here.
            raw = "/".join(self._levels[topic]) + f"\0{key[1:]!r}"
            number = self._told_apart[key] = self._topics.add(raw.encode("utf-8", "surrogatepass"))
            self._note(number, self._levels[topic], route, self._chosen[topic], named)
        return number

    def _note(
        self, number: int, levels: list[str], route: int, chosen: Route, properties: Mapping[str, str] = _NOTHING
    ) -> None:
        self._levels.append(levels)
        self._chosen.append(self.routes[route] if route >= 0 else chosen)
        self._properties.append(properties)
        self._route_of = grown(self._route_of, number + 1, IGNORED)
        self._route_of[number] = route

    def route_of(self, topics: NDArray[np.int32]) -> NDArray[np.int32]:
        """Route number of each topic number; -1 stays -1, and a topic that its route ignores has IGNORED."""
        if len(topics) and topics.min() < 0:
            return np.where(topics < 0, np.int32(-1), self._route_of[topics])
        return self._route_of[topics]

    def taken(self, topic: int) -> Route | None:
        """The route that takes a topic, by its number; None where there is no such topic."""
        if topic >= len(self._topics):
            return None
        return self._chosen[topic]

    def is_ignored(self, topic: int) -> bool:
        """Whether the route that takes a topic ignores it."""
        return int(self._route_of[topic]) == IGNORED

    def is_decided_by_payload(self, topic: int) -> bool:
        """Whether payloads have a say in what messages on a topic are, by its number."""
        settings = self._chosen[topic].settings
        if not (settings.profile or settings.is_open):
            return False
        index = self.profiles.index(settings.profile)
        return index.depends_on_payload("/".join(self._levels[topic]))

    def route_for(self, profile: Profile, message: int) -> Route:
        """The route of the first place of the configuration, for a kind of message of a profile."""
        return self.routes[self._number(0, profile, message)]

    def levels(self, topic: int) -> list[str]:
        """The levels of a topic, by its number."""
        return self._levels[topic]

    def owner(self, topic: int) -> str:
        """The device that messages on a topic are of, as far as the topic tells."""
        route = int(self._route_of[topic])
        levels = self._levels[topic]
        named = self._properties[topic]
        return self.book.current(self.routes[route].owner(levels, named) if route >= 0 else "/".join(levels))

    def unit_told(self, topic: int) -> str:
        """The unit that the properties of messages tell, by the number of topic and properties; "" where none is."""
        asked = self._chosen[topic].settings.properties
        return self._properties[topic].get(asked.unit, "") if asked is not None else ""

    def _number(self, place: int, profile: Profile | None, message: int, content_type: str = "") -> int:
        """The number of the route at a place of the configuration, for a kind of message of a profile, or for messages
        of a content type that chooses their codec."""
        key = (place, "" if profile is None else profile.name, message, content_type)
        if key not in self._numbers:
            settings = self.settings[place]
            kind = None if profile is None else profile.messages[message]
            asked = settings.properties.codecs[content_type] if settings.properties and content_type else None
            component = component_of(settings, kind, asked)
            codec = self._codec(component)
            route = Route(settings, self._detector_names, codec, component, profile=profile, message=kind)
            self._numbers[key] = len(self.routes)
            self._places.append(place)
            self.routes.append(route)
        return self._numbers[key]

    def _codec(self, chosen: ComponentSettings) -> Codec:
        """The codec of a route: one instance for all routes that ask for the same, so that it decodes their messages
        in one call.
        """
        number = self._codec_numbers.setdefault(chosen.model_dump_json(), len(self.codecs))
        if number == len(self.codecs):
            self.codecs.append(codecs.create(chosen.type, chosen.parameters))
        return self.codecs[number]

    def _add_topic(self, raw: bytes, payload: bytes) -> int | Refusal:
        try:
            topic = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            return Refusal(Reason.BAD_TOPIC, f"topic {shortened(raw, 240)}: expected UTF-8, byte {error.start} is not")
        if not topic or any(ord(c) < 0x20 or c in "+#\x7f" for c in topic):
            return Refusal(Reason.BAD_TOPIC, f"topic {topic[:80]!r}: expected no control character, + or #")
        if len(raw) > LONGEST_TOPIC or topic.count("/") >= MOST_LEVELS:
            return Refusal(
                Reason.BAD_TOPIC,
                f'topic "{topic[:80]}..." of {len(raw)} bytes and {topic.count("/") + 1} levels: expected at most '
                f"{LONGEST_TOPIC} bytes and {MOST_LEVELS} levels",
            )
        chosen = ((place, self._choose(place, topic, payload)) for place in range(len(self.settings)))
        place, route = next(((place, route) for place, route in chosen if route is not None), (-1, None))
        if route is None:
            return Refusal(Reason.NO_ROUTE, f'topic "{topic[:200]}": no route\'s filter matches it')
        if len(self._topics) >= self._max_topics:
            refusal = Refusal(
                Reason.TOO_MANY_SERIES, f'topic "{topic[:200]}": {self._max_topics} topics are known already'
            )
            self._refused_topics.note(raw, refusal)  # No topic is ever forgotten.
            return refusal
        number = self._topics.add(raw)
        ignored = any(matches(each, topic) for each in (*self.settings[place].ignore, *left_out(self.settings[place])))
        self._note(number, topic.split("/"), IGNORED if ignored else route, self.routes[route])
        kinds = self._chosen[number].kinds_at(topic) if not ignored else []
        if len(kinds) > 1:
            self._kinds_at[number] = kinds
        self._flag(number, asking=self.settings[place].asks_properties and not ignored, mixed=len(kinds) > 1)
        return number

    def _flag(self, number: int, *, asking: bool, mixed: bool) -> None:
        """Note of a topic's number whether its messages are told apart by properties, or by their payloads."""
        self._is_asking = grown(self._is_asking, number + 1, False)
        self._is_asking[number] = asking
        self._is_mixed = grown(self._is_mixed, number + 1, False)
        self._is_mixed[number] = mixed

    def _choose(self, place: int, topic: str, payload: bytes) -> int | None:
        """The number of the route that takes a topic, of those at a place of the configuration; None if none does."""
        settings = self.settings[place]
        if not any(matches(each, topic) for each in topic_filters(settings, self.profiles)):
            return None
        if settings.profile:
            profile = self.profiles.find(settings.profile)
            found = self._recognise(topic, payload, profile)
            if found is not None:
                return self._number(place, *found)
            readings = (i for i, each in enumerate(profile.messages) if each.role.outcome is None)
            return self._number(place, profile, next(readings, 0)) if settings.filter else None
        if settings.is_open:
            found = self._recognise(topic, payload, None)
            if found is not None:
                return self._number(place, *found)
        return self._number(place, None, 0)

    def _recognise(self, topic: str, payload: bytes, only: Profile | None) -> tuple[Profile, int] | None:
        """The profile of a topic, and which of its messages; of one profile alone where it is given.

        What its first payload decides is remembered, so that a restart decides the same.
        """
        known = self._recognised.get(topic)
        if known is not None:
            name, _, number = known.partition(" ")
            profile = self.profiles.get(name)
            return None if profile is None or int(number) >= len(profile.messages) else (profile, int(number))
        index = self.profiles.index("" if only is None else only.name)
        found = index.recognise(topic, payload)
        if index.depends_on_payload(topic):
            self._recognised[topic] = "" if found is None else f"{found[0].name} {found[1]}"
        return found


def topic_filters(settings: RouteSettings, profiles: Profiles) -> Sequence[str]:
    """The topic filters of a route: its own, else those of its profile."""
    if settings.filter:
        return (settings.filter,)
    return profiles.find(settings.profile).subscribe


def left_out(settings: RouteSettings) -> list[str]:
    """Filters of the product's own topics, of which a route's messages hold no readings."""
    levels = settings.filter.split("/")
    wanted = "/".join(levels[2:] if levels[0] == "$share" else levels)
    return [own for own in OWN_TOPICS if own == NEVER_READ or not covers(own, wanted)]
