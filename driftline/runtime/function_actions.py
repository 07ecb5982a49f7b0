"""Functions at run time: what the service does for them: publish, call, write, label, shelve, query."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import orjson
from pydantic import BaseModel, ValidationError

from alerts.actions import Action, Shelve
from common.suggestions import unknown
from common.time_units import SECOND
from devices.device_actions import LabelDevice
from devices.records import ActionRecord
from driftline.http.reply import plain_value
from functions.action_settings import (
    ACTIONS,
    CallHttp,
    Label,
    Publish,
    RunQuery,
    ShelveAlarm,
    StartWorkflow,
    WriteRow,
    check_columns,
)
from functions.http_call import call_http
from functions.templates import filled
from ingest.broker_settings import BrokerSettings
from ingest.confirmed_publishing import ConfirmedPublisher, Message
from storage.embedded.database import EmbeddedStore
from storage.embedded.sql_guard import QueryError

Act = Callable[[Sequence[Action]], list[ActionRecord]]
Begin = Callable[[str, Any, str], str]
"""Begins a run of a workflow with an input, one for a key; its name. Raises ValueError."""


class Publishing(Protocol):
    """Publishes a message; raises OSError where the broker does not take it."""

    def __call__(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Publish it, and wait until it is taken."""
        ...


class MessagePublisher:
    """Publishes single messages over one connection, which is made at the first. Any thread may call it."""

    def __init__(self, settings: BrokerSettings, password: str | None) -> None:
        self._publisher = ConfirmedPublisher(settings, password)

    def __call__(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Publish it, and wait until the broker has taken it. Raises OSError, where the broker refuses it too."""
        [refusal] = self._publisher.publish([Message(topic, payload, retain)])
        if refusal:
            raise OSError(f'the broker refuses what is published on "{topic}": {refusal}')

    def close(self) -> None:
        """End the connection."""
        self._publisher.close()


class FunctionActions:
    """The ready-made actions. See `functions.runner.Actions`."""

    def __init__(
        self, store: EmbeddedStore, act: Act, publish: Publishing, begin: Begin, *, clock: Callable[[], int]
    ) -> None:
        self._store = store
        self._begin = begin
        self._act = act
        self._publish = publish
        self._clock = clock

    def act(self, action: str, parameters: Mapping[str, Any], *, event: Any, function: str, key: str) -> Any:
        """Do a ready-made action; what it gives. Raises ValueError or OSError, whose text says why it could not."""
        if action not in ACTIONS:
            raise ValueError(unknown(action, ACTIONS, "action"))
        try:
            return self._done_as(_parameters(action, parameters, event), event, function, key)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(f"{action}: {place}: {first['msg'].removeprefix('Value error, ')}") from None

    def _done_as(self, wanted: BaseModel, event: Any, function: str, key: str) -> Any:
        by = f"function {function}"
        if isinstance(wanted, Publish):
            self._publish(
                wanted.topic, _payload(event if wanted.payload is None else wanted.payload), retain=wanted.retain
            )
            return None
        if isinstance(wanted, CallHttp):
            return call_http(wanted, event, key=key, now=self._clock())
        if isinstance(wanted, WriteRow):
            return self._write_row(wanted, event, function, key)
        if isinstance(wanted, Label):
            return self._done(LabelDevice(by=by, at=self._clock(), device=wanted.device, labels=wanted.labels))
        if isinstance(wanted, ShelveAlarm):
            until = self._clock() + int(wanted.seconds * SECOND)
            return self._done(Shelve(by=by, at=self._clock(), alarm=_number(wanted.alarm), until=until))
        if isinstance(wanted, StartWorkflow):
            return self._begin(wanted.workflow, event if wanted.input is None else wanted.input, f"{function}/{key}")
        assert isinstance(wanted, RunQuery)
        return self._query(wanted)

    def _write_row(self, wanted: WriteRow, event: Any, function: str, key: str) -> None:
        values = event if wanted.values is None else wanted.values
        if not isinstance(values, Mapping):
            raise ValueError("row: the event has no fields: expected values")
        try:
            check_columns(map(str, values))
        except ValueError as error:
            raise ValueError(f"row: {error}") from None
        self._store.write_row(wanted.table, dict(values), key=f"{function}/{key}", time=self._clock())

    def _done(self, action: Action) -> str:
        """What came of something that the journal holds from now on."""
        (record,) = self._act([action])
        if record.refused:
            raise ValueError(record.refused)
        return record.text

    def _query(self, wanted: RunQuery) -> list[dict[str, Any]]:
        try:
            found = self._store.query(wanted.sql, wanted.limit)
        except QueryError as error:
            raise ValueError(f"query: {error}") from None
        rows = [dict(zip(found.columns, map(plain_value, row), strict=True)) for row in found.rows]
        plain: list[dict[str, Any]] = orjson.loads(orjson.dumps(rows, default=str))
        return plain


def _parameters(action: str, parameters: Mapping[str, Any], event: Any) -> BaseModel:
    """The parameters, checked; what is not given is taken from the event, as the defaults say.

    Raises ValueError, ValidationError where a parameter is at fault.
    """
    given = dict(parameters)
    try:
        # What the journal, the store and messages hold is JSON.
        orjson.dumps(given)
        wanted = ACTIONS[action].model_validate(given)
        unset = {name for name in type(wanted).model_fields if name not in wanted.model_fields_set}
        defaults = {name: filled(getattr(wanted, name), event, f"{action}.{name}") for name in unset}
        return ACTIONS[action].model_validate({**given, **defaults})
    except TypeError as error:
        raise ValueError(f"{action}: the parameters cannot be written as JSON: {error}") from None


def _payload(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else orjson.dumps(value)


def _number(alarm: int | str) -> int:
    try:
        return int(alarm)
    except ValueError:
        raise ValueError(f'alarm: got "{alarm}", expected the number of an alarm') from None
