"""Route: which profile a message is of, by its topic and payload.

A topic that is met for the first time is held against every profile there is, and anybody who may publish can make
topics up. So the patterns are looked up by a level that they name: few of them have to be tried.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache

from common.suggestions import unknown
from devices.profile import COMMON, Profile, ProfileMessage, find_profile, load_profiles

_WILDCARDS = frozenset("*+")


class ProfileIndex:
    """The messages of some profiles by a level that topics of theirs have; those without such a level for any topic."""

    def __init__(self, profiles: Iterable[Profile]) -> None:
        # What is common to many devices counts last.
        ordered = sorted(profiles, key=lambda each: each.name == COMMON)
        self._messages: list[tuple[Profile, int, ProfileMessage]] = [
            (profile, number, message) for profile in ordered for number, message in enumerate(profile.messages)
        ]
        self._by_level: defaultdict[str, set[int]] = defaultdict(set)
        self._anywhere: set[int] = set()
        for place, (_, _, message) in enumerate(self._messages):
            for text in message.topics:
                literal = [level for level in text.split("/") if not _WILDCARDS.intersection(level)]
                (self._by_level[literal[-1]] if literal else self._anywhere).add(place)

    def recognise(self, topic: str, payload: bytes) -> tuple[Profile, int] | None:
        """The profile that a message is of, and which of its messages; None where it is of none.

        The most certain profile counts: the one whose first fitting message has the most literal levels, a payload
        that is as expected being worth one.
        """
        best: tuple[int, Profile, int] | None = None
        fitted = ""
        for profile, number, message in self._candidates(topic):
            if profile.name == fitted:
                continue
            certainty = message.certainty(topic, payload)
            if certainty:
                fitted = profile.name
                if best is None or certainty > best[0]:
                    best = (certainty, profile, number)
        return None if best is None else (best[1], best[2])

    def depends_on_payload(self, topic: str) -> bool:
        """Whether, with this topic, the payload has a say in what the message is."""
        return any(message.payload and message.certainty(topic) for _, _, message in self._candidates(topic))

    def _candidates(self, topic: str) -> list[tuple[Profile, int, ProfileMessage]]:
        places = set(self._anywhere)
        for level in topic.split("/"):
            places |= self._by_level.get(level, set())
        return [self._messages[place] for place in sorted(places)]


class Profiles:
    """The profiles that come with the project, and people's own, which take the place of those of the same name."""

    def __init__(self, own: Iterable[Profile] = ()) -> None:
        self.own = {profile.name: profile for profile in own}
        self._indexes: dict[str, ProfileIndex] = {}

    def get(self, name: str) -> Profile | None:
        """The profile of a name, None where there is none."""
        return self.own.get(name) or load_profiles().get(name)

    def find(self, name: str) -> Profile:
        """The same. Raises ValueError naming the nearest and all known names."""
        found = self.get(name)
        if found is None:
            raise ValueError(unknown(name, sorted({*load_profiles(), *self.own}), "profile"))
        return found

    def index(self, name: str = "") -> ProfileIndex:
        """The index of one profile by name, or of all there are."""
        if not self.own:
            return profile_index(name)
        if name not in self._indexes:
            chosen = [self.find(name)] if name else {**load_profiles(), **self.own}.values()
            self._indexes[name] = ProfileIndex(chosen)
        return self._indexes[name]


@lru_cache(maxsize=64)
def profile_index(name: str = "") -> ProfileIndex:
    """The index of one profile by name, or of all there are. Raises ValueError for a name that is none."""
    return ProfileIndex([find_profile(name)] if name else load_profiles().values())


def recognise(topic: str, payload: bytes) -> tuple[Profile, int] | None:
    """The profile of all there are that a message is of, and which of its messages (`ProfileIndex.recognise`)."""
    return profile_index().recognise(topic, payload)
