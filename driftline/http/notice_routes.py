"""Notices over HTTP: the channels, what they were told, a test message, and channels made on the page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from alerts.notices.channels import ChannelError
from alerts.notices.notice_settings import ADDRESS_IS_SECRET, NoticeSettings
from alerts.notices.notifier import Notifier
from common.visible import host_alone, without_secrets
from driftline.http.access_guard import Admin, Operator
from driftline.http.errors import ApiError, unknown
from driftline.http.reply import json_response


class Audit(Protocol):
    """Writes down who did what, and what it changed."""

    def __call__(self, who: str, address: str, action: str, detail: str, *, before: str = "", after: str = "") -> None:
        """Write it down: name, address, action, detail."""
        ...


class ChannelReply(BaseModel):
    """One channel; its secret is never shown, and of an address that is one only the host."""

    settings: NoticeSettings
    waiting: int = Field(description="Notices that it has not taken yet.")
    error: str = Field(description="What the last attempt ended with; empty where it is well.")
    made_on_page: bool = Field(description="Made here, rather than in the configuration file.")


class ChannelListReply(BaseModel):
    """Every channel."""

    channels: list[ChannelReply]


class NewChannel(NoticeSettings):
    """A channel to keep, with its secret. One without a new secret keeps the one that it has."""

    secret: str | None = Field(default=None, max_length=2_000)


class NoticeReply(BaseModel):
    """One notice and what became of it."""

    channel: str
    key: str
    state: str = Field(description="waiting, sent, digested, spared or given up.")
    created: int
    sent: int | None
    tries: int
    error: str
    subject: str


class NoticeListReply(BaseModel):
    """Notices, newest first."""

    notices: list[NoticeReply]


class TestReply(BaseModel):
    """A test message was taken by the channel."""

    key: str


def notice_router(notifier: Callable[[], Notifier | None], audit: Audit) -> APIRouter:
    """The endpoints of notices, without a prefix."""
    router = APIRouter(tags=["notices"])

    def present() -> Notifier:
        found = notifier()
        if found is None:
            raise ApiError(503, "starting", "notices: not started yet; try again in a moment")
        return found

    def listed() -> Response:
        return json_response({"channels": [_channel(state) for state in present().states()]})

    @router.get("/notices", response_model=NoticeListReply)
    def notices(limit: Annotated[int, Query(ge=1, le=2_000, description="Most notices.")] = 100) -> Response:
        """What was told to whom, newest first."""
        return json_response({"notices": [dataclasses.asdict(each) for each in present().outbox.newest(limit)]})

    @router.get("/notices/channels", response_model=ChannelListReply)
    def channels(who: Operator) -> Response:
        """Every channel and how it does."""
        del who
        return listed()

    @router.post("/notices/channels", response_model=ChannelListReply)
    def save(who: Admin, given: NewChannel) -> Response:
        """Make a channel, or change one that was made here."""
        _save(present(), given)
        where = f"{given.kind} {_shown_url(given)} {given.to}"
        audit(who.name, who.address, "notice channel saved", f"{given.name}: {where}")
        return listed()

    @router.delete("/notices/channels/{name}", response_model=ChannelListReply)
    def remove(who: Admin, name: str) -> Response:
        """Remove a channel that was made here; what waits for it is given up."""
        if not present().outbox.remove_channel(name):
            raise unknown("channel", name, [settings.name for settings, _, on_page in present().channels() if on_page])
        audit(who.name, who.address, "notice channel removed", name)
        return listed()

    @router.post("/notices/channels/{name}/test", response_model=TestReply)
    def test(who: Operator, name: str) -> Response:
        """Send a test message at once, and say whether the channel took it."""
        try:
            key = present().test(name)
        except KeyError:
            raise unknown("channel", name, [settings.name for settings, _, _ in present().channels()]) from None
        except ChannelError as error:
            raise ApiError(502, "channel_failed", f'channel "{name}": {error}') from None
        audit(who.name, who.address, "notice channel tested", name)
        return json_response({"key": key})

    return router


def _save(notifier: Notifier, given: NewChannel) -> None:
    """Make or change a channel. Raises ApiError where that is not the page's to do."""
    known = {settings.name: (settings, secret, on_page) for settings, secret, on_page in notifier.channels()}
    before, secret, on_page = known.get(given.name, (None, "", True))
    if not on_page:
        raise ApiError(400, "invalid_request", f'body.name: "{given.name}" is in the configuration; change it there')
    if given.secret_file is not None:
        raise ApiError(400, "invalid_request", "body.secret_file: expected a secret, not a file, from the page")
    settings = NoticeSettings.model_validate(given.model_dump(exclude={"secret"}))
    if before is not None and given.kind == before.kind and given.url == _shown_url(before):
        settings = settings.model_copy(update={"url": before.url})
    notifier.outbox.save_channel(settings, secret if given.secret is None else given.secret)


def _shown_url(settings: NoticeSettings) -> str:
    """The address as it may be shown; saving a channel with it keeps the one that there is."""
    return host_alone(settings.url) if settings.kind in ADDRESS_IS_SECRET else without_secrets(settings.url)


def _channel(state: Any) -> dict[str, Any]:
    return {
        "settings": state.settings.model_dump(mode="json", exclude={"secret_file"})
        | {"url": _shown_url(state.settings)},
        "waiting": state.waiting,
        "error": state.error,
        "made_on_page": state.made_on_page,
    }
