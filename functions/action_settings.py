"""Functions: the parameters of the ready-made actions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from common.addresses import is_web_address
from common.setting_texts import PlainName
from functions.templates import PLACE

_OWN_COLUMNS = ("written_at", "row_id")

ActionName = Literal["publish", "http", "row", "label", "shelve", "query", "workflow"]


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Publish(_Parameters):
    """Publish a message over MQTT, at QoS 1; without a payload, the event as JSON."""

    topic: str = Field(min_length=1)
    payload: Any = None
    retain: bool = False
    as_readings: bool = Field(default=False, description="Let routes take what is published, as a device's message.")

    @property
    def own_topics(self) -> str:
        """A filter of all topics that it publishes to."""
        fixed: list[str] = []
        for level in self.topic.split("/"):
            if "{" in level:
                return "/".join([*fixed, "#"])
            fixed.append(level)
        return self.topic

    @field_validator("topic")
    @classmethod
    def _is_topic(cls, topic: str) -> str:
        if set(topic) & set("+#\0"):
            raise ValueError(f'got "{topic}", expected a topic, which has no + or #')
        return topic

    @model_validator(mode="after")
    def _has_a_place(self) -> Self:
        if not self.as_readings and self.own_topics == "#":
            raise ValueError(
                f'topic "{self.topic}": expected a first level without a place, such as "told/{self.topic}"'
            )
        return self


class CallHttp(_Parameters):
    """Send an HTTP request; without a body, the event as JSON. Any answer of 200 to 299 is well."""

    url: str
    method: Literal["POST", "PUT", "PATCH", "GET", "DELETE"] = "POST"
    headers: dict[str, str] = {}
    body: Any = None
    secret: str = Field(default="", description="Environment variable with the secret that signs it.")

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        # What stands in for a part of it is not known before there is an event.
        if not is_web_address(PLACE.sub("1", url)):
            raise ValueError(
                f'got "{url}", expected an address that begins with http:// or https://, and a host, such as '
                "http://127.0.0.1:8080/told"
            )
        return url


def check_columns(names: Iterable[str]) -> None:
    """Raise ValueError where fields cannot be columns of a table that functions write into, beside its own two."""
    taken: dict[str, str] = {}
    for name in names:
        if not name or not name.isprintable():
            raise ValueError(f"the field {name!r} cannot be a column: expected a name that can be printed; give values")
        if name.lower() in _OWN_COLUMNS:
            raise ValueError(f'the field "{name}" cannot be a column: the table has one; give values with another name')
        if (other := taken.setdefault(name.lower(), name)) != name:
            raise ValueError(f'the fields "{other}" and "{name}" are one column in SQL: give values with other names')


class WriteRow(_Parameters):
    """Write a row into a table of its own, once for each event; without values, the event's fields."""

    table: PlainName
    values: dict[str, Any] | None = None

    @field_validator("table")
    @classmethod
    def _is_free(cls, table: str) -> str:
        from streams.definitions import BUILT_IN_TABLES  # noqa: PLC0415  it needs DuckDB

        if table in BUILT_IN_TABLES:
            raise ValueError(f'"{table}" is a table already; choose another name')
        return table

    @field_validator("values")
    @classmethod
    def _are_columns(cls, values: dict[str, Any] | None) -> dict[str, Any] | None:
        check_columns(values or {})
        return values


class Label(_Parameters):
    """Give a device labels; null takes one away."""

    device: str = Field(default="{device}", min_length=1)
    labels: dict[str, str | None] = Field(min_length=1)


class ShelveAlarm(_Parameters):
    """Shelve an alarm for so many seconds from now."""

    alarm: int | str = "{alarm}"
    seconds: float = Field(gt=0, le=366 * 86_400)


class RunQuery(_Parameters):
    """Run one SELECT over what is stored; the result are its rows."""

    sql: str = Field(min_length=1)
    limit: int = Field(default=1_000, ge=1, le=10_000)


class StartWorkflow(_Parameters):
    """Start a run of a workflow, once for each event; without an input, with the event."""

    workflow: PlainName
    input: Any = None


ACTIONS: dict[str, type[BaseModel]] = {
    "publish": Publish,
    "http": CallHttp,
    "row": WriteRow,
    "label": Label,
    "shelve": ShelveAlarm,
    "query": RunQuery,
    "workflow": StartWorkflow,
}
"""Ready-made actions by name, with their parameters."""
