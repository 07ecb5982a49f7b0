"""The shapes of the API's replies about traces. See `driftline.http.schemas`."""

from __future__ import annotations

from pydantic import BaseModel, Field

from driftline.http.schemas import TIME, example
from driftline.tracing.traces import Why

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
"""An example."""


class TraceSummary(BaseModel):
    """A message that is traced."""

    model_config = example(
        trace_id=TRACE_ID,
        offset=1_200,
        topic="plant/pump-7",
        why=Why.SAMPLED.value,
        continues=False,
        start=TIME,
        end=TIME + 40_000_000,
        error="",
    )

    trace_id: str = Field(description="The trace that the message belongs to: the device's, where it began one.")
    offset: int = Field(description="The message's place in the journal.")
    topic: str
    why: Why = Field(description="Why it is traced.")
    continues: bool = Field(description="Whether the trace began before the message came here.")
    start: int = Field(description="When the message came.")
    end: int = Field(description="When the last stage that is known so far ended.")
    error: str = Field(description="What went wrong; empty where nothing did.")


class SpanReply(BaseModel):
    """One stage of a message's way."""

    name: str = Field(description='A stage\'s name, or "message" for the whole way.')
    span_id: str
    parent_id: str = Field(description="The span that it belongs to; empty where there is none.")
    start: int
    end: int
    attributes: dict[str, str | int]
    error: str


class TracedMessage(TraceSummary):
    """A message that is traced, with its way."""

    model_config = {"json_schema_extra": None}

    spans: list[SpanReply]


class TraceListReply(BaseModel):
    """The newest traces."""

    enabled: bool = Field(description="Whether messages are traced: the configuration has [tracing].")
    left_out: int = Field(description="Messages that were to be traced and were beyond `tracing.per_second`.")
    traces: list[TraceSummary]


class TraceReply(BaseModel):
    """One trace."""

    trace_id: str
    messages: list[TracedMessage] = Field(description="Its messages, in the order in which they came.")
