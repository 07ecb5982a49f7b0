"""Functions, their declarations held against each other and against the streams: all that is wrong, at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.suggestions import unknown
from devices.topics import matches
from functions.action_settings import Publish
from functions.function_settings import FunctionSettings
from streams.stream_settings import StreamSettings, stream_targets

_SAMPLE_LEVEL = "x"
_PATHS = ("calls",)
"""Names that stand behind /functions/ in the API already."""


@dataclass(frozen=True, slots=True)
class FunctionMistake:
    """What is wrong: the section, the number of the table in it, the key, and a sentence."""

    section: str
    number: int
    key: str
    sentence: str


def mistakes_of(
    functions: Mapping[int, FunctionSettings], streams: Mapping[int, StreamSettings]
) -> list[FunctionMistake]:
    """Names given twice or unknown, two triggers of one function, and circles; tables by their number in the file."""
    return [*_names(functions, streams), *_targets(functions, streams), *_circles(functions, streams)]


def _names(functions: Mapping[int, FunctionSettings], streams: Mapping[int, StreamSettings]) -> list[FunctionMistake]:
    mistakes = []
    first: dict[str, int] = {}
    known = [stream.name for stream in streams.values()]
    for number, each in functions.items():
        if first.setdefault(each.name, number) != number:
            sentence = f'"{each.name}" is taken by functions[{first[each.name]}]; give each its own name'
            mistakes.append(FunctionMistake("functions", number, "name", sentence))
        if each.name in _PATHS:
            sentence = f'"{each.name}" is an address of the API, GET /functions/{each.name}; choose another name'
            mistakes.append(FunctionMistake("functions", number, "name", sentence))
        if each.trigger.stream and each.trigger.stream not in known:
            mistakes.append(
                FunctionMistake("functions", number, "trigger.stream", unknown(each.trigger.stream, known, "stream"))
            )
        table = each.with_.get("table") if each.action == "row" else None
        if table in known:
            sentence = f'"{table}" is the table of a stream; choose another name'
            mistakes.append(FunctionMistake("functions", number, "with.table", sentence))
    return mistakes


def _targets(functions: Mapping[int, FunctionSettings], streams: Mapping[int, StreamSettings]) -> list[FunctionMistake]:
    """What streams name as a function must be one, that nothing else calls."""
    by_name = {each.name: each for each in functions.values()}
    numbers = {each.name: number for number, each in streams.items()}
    mistakes = []
    taken: dict[str, str] = {}
    for stream, name in stream_targets(list(streams.values())):
        sentence = ""
        if name not in by_name:
            sentence = unknown(name, by_name, "function")
        elif by_name[name].trigger.type != "http":
            sentence = f'"{name}" has a trigger of type {by_name[name].trigger.type}: leave one of the two out'
        elif taken.setdefault(name, stream) != stream:
            sentence = f'"{name}" is called by the stream {taken[name]} already; give each stream a function of its own'
        if sentence:
            mistakes.append(FunctionMistake("streams", numbers[stream], "to", sentence))
    return mistakes


def _circles(functions: Mapping[int, FunctionSettings], streams: Mapping[int, StreamSettings]) -> list[FunctionMistake]:
    """Functions that publish what calls them again, over others or by themselves."""
    numbers = {each.name: number for number, each in functions.items()}
    following = {
        each.name: [other.name for other in functions.values() if _calls(each, other, streams)]
        for each in functions.values()
    }
    mistakes = []
    told: set[str] = set()
    for name in following:
        circle = _way_back(name, following)
        if circle and not told & set(circle):
            told |= set(circle)
            sentence = f"a circle: {' calls '.join([*circle, circle[0]])}; publish to a topic that none of them takes"
            mistakes.append(FunctionMistake("functions", numbers[name], "with.topic", sentence))
    return mistakes


def _calls(one: FunctionSettings, other: FunctionSettings, streams: Mapping[int, StreamSettings]) -> bool:
    """Whether what one function publishes calls the other."""
    if one.action != "publish" or not one.with_.get("as_readings"):
        return False
    topic = str(one.with_["topic"])
    if other.trigger.type == "device" and "new" in other.trigger.changes and "{" in topic:
        return True
    sample = "/".join(_SAMPLE_LEVEL if "{" in level else level for level in topic.split("/"))
    return any(matches(each, sample) for each in _heard_topics(other, streams))


def published_topics(functions: Sequence[FunctionSettings]) -> list[str]:
    """Topic filters of what ready-made actions publish for others, and no route is to take."""
    wanted = [Publish.model_validate(each.with_) for each in functions if each.action == "publish"]
    return [each.own_topics for each in wanted if not each.as_readings]


def _heard_topics(function: FunctionSettings, streams: Mapping[int, StreamSettings]) -> Sequence[str]:
    """Topic filters of the readings that call a function, straight or through streams."""
    trigger = function.trigger
    if trigger.type == "readings":
        return trigger.topics
    by_name = {stream.name: stream for stream in streams.values()}
    named = [stream for stream, target in stream_targets(list(streams.values())) if target == function.name]
    place = trigger.stream or (named[0] if named else "")
    seen: set[str] = set()
    while place in by_name and place not in seen:
        seen.add(place)
        if by_name[place].from_ == "readings":
            return by_name[place].topics
        place = by_name[place].from_
    return ()


def _way_back(name: str, following: Mapping[str, Sequence[str]]) -> list[str]:
    """The functions from one back to itself, without the last; empty where there is no way."""
    ways = [[name]]
    seen = set()
    while ways:
        way = ways.pop(0)
        for each in following[way[-1]]:
            if each == name:
                return way
            if each not in seen:
                seen.add(each)
                ways.append([*way, each])
    return []
