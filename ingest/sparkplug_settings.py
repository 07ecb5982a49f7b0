"""Receive, its settings as a host application of Sparkplug B."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from common.durations import Duration


class SparkplugSettings(BaseModel):
    """What is sent to Sparkplug B edge nodes. They are read without any of this."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host_id: str = Field(
        default="",
        max_length=128,
        pattern=r"^[^+#/\x00-\x1f\x7f]*$",
        description="Name as a host application. Where it is set, spBv1.0/STATE/NAME says whether the service is "
        "there, so that edge nodes that have it as their primary host keep their data while it is not. Empty: nothing "
        "is said.",
    )
    request_births: bool = Field(
        default=True,
        description="Ask an edge node for its births (Node Control/Rebirth) where data came without one or messages "
        "are missing.",
    )
    reorder_timeout: Duration = Field(
        default="2s", description="How long missing messages may still come before births are asked for."
    )
