"""Workflows: one machine from its first state to its end. What it does outside itself goes through `Steps`.

Given the same answers from `Steps` it takes the same way: that is what lets a run that was killed be taken up again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from workflows.choice_rules import holds, moment
from workflows.definition import processor_of
from workflows.json_paths import PathError, filled, find, is_larger, with_result
from workflows.resources import APPROVAL

_MOST_STATES = 10_000
"""States that one machine may enter: a circle without an end is found by this."""
_MOST_ITEMS = 1_000
_MOST_DATA = 4 << 20
"""Bytes of data, as JSON, that go from one state to the next: all of it is kept with every step."""
_FOREVER = 366 * 86_400.0
"""How long an approval waits where no TimeoutSeconds is given, in seconds."""
_LONGEST_PAUSE = 366 * 86_400.0

Ended = dict[str, Any]
"""How a machine ended: `state`, "succeeded" with `output`, or "failed" with `error`, `cause` and `at`, the place."""


class StateError(Exception):
    """A state has failed: the name of the error, as Retry and Catch name it, and its cause, a sentence."""

    def __init__(self, name: str, cause: str) -> None:
        super().__init__(f"{name}: {cause}")
        self.name = name
        self.cause = cause

    def is_named(self, names: Sequence[str]) -> bool:
        """Whether a list of ErrorEquals takes it."""
        own = {self.name, "States.ALL"}
        if self.name not in ("States.Timeout", "States.Runtime"):
            own.add("States.TaskFailed")
        return bool(own & set(names)) and (self.name != "States.Runtime" or self.name in names)


class Steps(Protocol):
    """What a machine asks for. Each answer is kept for good before it is given, and given again after a restart.

    `place` is the state's, unlike any other in the run; a state that is entered again has another.
    """

    async def task(self, place: str, attempt: int, resource: str, payload: Any) -> dict[str, Any]:
        """Do a task: `result`, or `error`, its name, with `cause`."""
        ...

    async def approval(self, place: str, payload: Any, seconds: float) -> dict[str, Any] | None:
        """What a person decided: `approved`, `by`, `comment`; None where nobody did in time."""
        ...

    async def sleep(self, place: str, seconds: float) -> None:
        """Wait."""
        ...

    async def wait_until(self, place: str, time: str) -> None:
        """Wait for a time, ISO 8601."""
        ...

    async def begin(
        self, place: str, machine: Mapping[str, Any], value: Any, context: Any
    ) -> Callable[[], Awaitable[Ended]]:
        """Begin a machine within this one, which runs beside others; what it gives waits for its end."""
        ...


@dataclass(frozen=True, slots=True)
class _Entry:
    """A state that is entered: its name, its place in the run, what was declared, and its input."""

    name: str
    place: str
    state: Mapping[str, Any]
    value: Any
    context: Mapping[str, Any]

    @property
    def input(self) -> Any:
        return _at(self.state, "InputPath", self.value, self.context)

    def payload(self, field: str = "Parameters") -> Any:
        value = self.input
        return self.bounded(filled(self.state[field], value, self.context)) if field in self.state else value

    def output(self, result: Any) -> Any:
        if "ResultSelector" in self.state:
            result = filled(self.state["ResultSelector"], result, self.context)
        path = self.state.get("ResultPath", "$")
        found = self.value if path is None else with_result(self.value, path, result)
        return self.bounded(_at(self.state, "OutputPath", found, self.context))

    def bounded(self, value: Any) -> Any:
        """`value`. Raises StateError where it is more than a run may carry: it is kept with every step."""
        if is_larger(value, _MOST_DATA):
            raise StateError("States.DataLimitExceeded", f"{self.name}: more than {_MOST_DATA >> 20} MiB of data")
        return value


def _at(state: Mapping[str, Any], field: str, value: Any, context: Any) -> Any:
    path = state.get(field, "$")
    return {} if path is None else find(path, value, context)


class Machine:
    """A definition that has no mistake, and where its answers come from. `context` is what `$$` stands for."""

    def __init__(
        self, definition: Mapping[str, Any], steps: Steps, context: Mapping[str, Any], prefix: str = ""
    ) -> None:
        self._definition = definition
        self._steps = steps
        self._context = context
        self._prefix = prefix
        self._kinds: dict[str, Callable[[_Entry], Awaitable[tuple[Any, str | None]]]] = {
            "Task": self._task,
            "Choice": self._choice,
            "Wait": self._wait,
            "Parallel": self._parallel,
            "Map": self._map,
            "Pass": self._pass,
            "Succeed": self._succeed,
            "Fail": self._fail,
        }

    async def run(self, value: Any) -> Ended:
        """From StartAt to the end."""
        name: str | None = self._definition["StartAt"]
        visits: Counter[str] = Counter()
        place = ""
        while name is not None:
            visits[name] += 1
            place = f"{self._prefix}{name}" + (f"~{visits[name]}" if visits[name] > 1 else "")
            if visits.total() > _MOST_STATES:
                cause = f"more than {_MOST_STATES:,} states were entered: a circle without an end"
                return {"state": "failed", "error": "States.Runtime", "cause": cause, "at": place}
            entry = _Entry(name, place, self._definition["States"][name], value, self._context_in(name))
            try:
                value, name = await self._enter(entry)
            except StateError as error:
                return {"state": "failed", "error": error.name, "cause": error.cause, "at": place}
        return {"state": "succeeded", "output": value}

    def _context_in(self, name: str) -> dict[str, Any]:
        return {**self._context, "State": {"Name": name}}

    async def _enter(self, entry: _Entry) -> tuple[Any, str | None]:
        """What the state gives, and the name of the next one; None at the end."""
        try:
            try:
                return await self._kinds[entry.state["Type"]](entry)
            except PathError as error:
                raise StateError("States.ParameterPathFailure", str(error)) from None
        except StateError as error:
            for catcher in entry.state.get("Catch", ()):
                if error.is_named(catcher["ErrorEquals"]):
                    return _caught(entry, catcher, error), catcher["Next"]
            raise

    async def _task(self, entry: _Entry) -> tuple[Any, str | None]:
        payload = entry.payload()
        resource = entry.state["Resource"]

        async def once(attempt: int) -> Any:
            if resource == APPROVAL:
                place = entry.place if attempt == 1 else f"{entry.place}#{attempt}"
                return await self._approved(place, payload, entry.state.get("TimeoutSeconds", _FOREVER))
            answer = await self._steps.task(entry.place, attempt, resource, payload)
            if "error" in answer:
                raise StateError(answer["error"], answer["cause"])
            return answer["result"]

        return entry.output(await self._retried(entry, once)), entry.state.get("Next")

    async def _approved(self, place: str, payload: Any, seconds: float) -> Any:
        decision = await self._steps.approval(place, payload, seconds)
        if decision is None:
            raise StateError("States.Timeout", f"nobody decided within {seconds:g} s")
        if not decision["approved"]:
            said = f": {decision['comment']}" if decision["comment"] else ""
            raise StateError("Driftline.Refused", f"refused by {decision['by']}{said}")
        return {"by": decision["by"], "comment": decision["comment"]}

    async def _retried(self, entry: _Entry, once: Callable[[int], Awaitable[Any]]) -> Any:
        retriers = entry.state.get("Retry", ())
        tries = [0] * len(retriers)
        attempt = 1
        while True:
            try:
                return await once(attempt)
            except StateError as error:
                chosen = next((n for n, each in enumerate(retriers) if error.is_named(each["ErrorEquals"])), None)
                if chosen is None or tries[chosen] >= retriers[chosen].get("MaxAttempts", 3):
                    raise
                await self._steps.sleep(entry.place, _pause(retriers[chosen], tries[chosen]))
                tries[chosen] += 1
                attempt += 1

    async def _choice(self, entry: _Entry) -> tuple[Any, str | None]:
        value = entry.input
        for rule in entry.state["Choices"]:
            if holds(rule, value, entry.context):
                return _at(entry.state, "OutputPath", value, entry.context), rule["Next"]
        if "Default" not in entry.state:
            raise StateError("States.NoChoiceMatched", f"{entry.name}: no rule holds, and there is no Default")
        return _at(entry.state, "OutputPath", value, entry.context), entry.state["Default"]

    async def _wait(self, entry: _Entry) -> tuple[Any, str | None]:
        state, value = entry.state, entry.input
        if "Seconds" in state or "SecondsPath" in state:
            seconds = state["Seconds"] if "Seconds" in state else find(state["SecondsPath"], value, entry.context)
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _LONGEST_PAUSE:
                cause = f"{entry.name}: got {seconds!r}, expected a number of seconds, at most a year"
                raise StateError("States.Runtime", cause)
            await self._steps.sleep(entry.place, seconds)
        else:
            time = state["Timestamp"] if "Timestamp" in state else find(state["TimestampPath"], value, entry.context)
            if moment(time) is None:
                cause = f"{entry.name}: got {time!r}, expected a time such as 2026-03-01T12:00:00Z"
                raise StateError("States.Runtime", cause)
            await self._steps.wait_until(entry.place, time)
        return _at(state, "OutputPath", value, entry.context), state.get("Next")

    async def _parallel(self, entry: _Entry) -> tuple[Any, str | None]:
        payload = entry.payload()

        async def once(attempt: int) -> Any:
            place = entry.place if attempt == 1 else f"{entry.place}#{attempt}"
            branches = entry.state["Branches"]
            begun = [
                await self._steps.begin(f"{place}[{number}]/", branch, payload, self._context)
                for number, branch in enumerate(branches)
            ]
            return _outputs([await each() for each in begun])

        return entry.output(await self._retried(entry, once)), entry.state.get("Next")

    async def _map(self, entry: _Entry) -> tuple[Any, str | None]:
        value = entry.input
        items = find(entry.state.get("ItemsPath", "$"), value, entry.context)
        if not isinstance(items, list) or len(items) > _MOST_ITEMS:
            given = f"{len(items):,} elements" if isinstance(items, list) else "something else"
            raise StateError("States.Runtime", f"{entry.name}: expected a list of at most {_MOST_ITEMS:,}; got {given}")
        beside = entry.state.get("MaxConcurrency") or len(items)

        async def once(attempt: int) -> Any:
            place = entry.place if attempt == 1 else f"{entry.place}#{attempt}"
            begun: list[Callable[[], Awaitable[Ended]]] = []
            ended: list[Ended] = []
            for number, item in enumerate(items):
                if number >= beside:
                    ended.append(await begun[number - beside]())
                context = {**entry.context, "Map": {"Item": {"Index": number, "Value": item}}}
                given = self._item(entry, value, item, context)
                begun.append(await self._steps.begin(f"{place}[{number}]/", processor_of(entry.state), given, context))
            return _outputs(ended + [await each() for each in begun[len(ended) :]])

        return entry.output(await self._retried(entry, once)), entry.state.get("Next")

    @staticmethod
    def _item(entry: _Entry, value: Any, item: Any, context: Any) -> Any:
        field = next((name for name in ("ItemSelector", "Parameters") if name in entry.state), None)
        return item if field is None else entry.bounded(filled(entry.state[field], value, context))

    async def _pass(self, entry: _Entry) -> tuple[Any, str | None]:
        result = entry.state["Result"] if "Result" in entry.state else entry.payload()
        return entry.output(result), entry.state.get("Next")

    async def _succeed(self, entry: _Entry) -> tuple[Any, str | None]:
        return _at(entry.state, "OutputPath", entry.input, entry.context), None

    async def _fail(self, entry: _Entry) -> tuple[Any, str | None]:
        raise StateError(
            entry.state.get("Error", "States.Failed"), entry.state.get("Cause", f"{entry.name} was reached")
        )


def _pause(retrier: Mapping[str, Any], tries: int) -> float:
    """The seconds before a retry: each one is `BackoffRate` times as long as the one before."""
    most = float(retrier.get("MaxDelaySeconds", _LONGEST_PAUSE))
    pause = float(retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** min(tries, 64))
    return min(pause, most, _LONGEST_PAUSE)


def _outputs(ended: Sequence[Ended]) -> list[Any]:
    """What machines that ran side by side gave, in their order. Raises StateError: the first of them that failed."""
    for each in ended:
        if each["state"] != "succeeded":
            raise StateError(each["error"], f"{each['cause']} (at {each['at']})")
    return [each["output"] for each in ended]


def _caught(entry: _Entry, catcher: Mapping[str, Any], error: StateError) -> Any:
    told = {"Error": error.name, "Cause": error.cause}
    path = catcher.get("ResultPath", "$")
    return entry.value if path is None else with_result(entry.value, path, told)
