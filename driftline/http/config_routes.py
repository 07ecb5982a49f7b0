"""The configuration file over HTTP: shown, checked, compared and put in place whole, by admins alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from common.visible import without_secrets
from driftline.config import PROFILES, changed_for_next_start, parse_config
from driftline.config_edit import NEW_FILE, Edit, text_edit
from driftline.config_errors import ConfigError
from driftline.config_warnings import config_warnings
from driftline.http.access_guard import Admin
from driftline.http.errors import ApiError
from driftline.http.notice_routes import Audit
from driftline.http.reply import json_response
from driftline.http.view import ServiceView

_HIDDEN = "********"
_MOST_TEXT = 500_000


class ConfigFileReply(BaseModel):
    """The configuration file. Passwords in addresses, which it must not hold, are shown as stars."""

    file: str
    exists: bool
    text: str
    version: str = Field(description="What a change has to name, so that nobody's change is lost.")
    errors: list[str] = Field(description="What is wrong with it, a line each; then it is not in force.")


class ConfigFileChange(BaseModel):
    """Another text for the configuration file."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(max_length=_MOST_TEXT)
    version: str = Field(max_length=100, description="Of the file that was changed.")
    write: bool = Field(default=False, description="Write the file; else only check the text and show the change.")


class ConfigFileChangeReply(BaseModel):
    """What would be changed, or was."""

    file: str
    errors: list[str] = Field(description="What is wrong, a line each, with place, value and expectation.")
    warnings: list[str] = Field(description="What is valid and hardly meant.")
    next_start: list[str] = Field(description="Changed settings that take effect at the next start only.")
    difference: str
    written: bool
    version: str = Field(description="Of the file as it is now.")


def config_router(view: ServiceView, audit: Audit) -> APIRouter:
    """The endpoints, without a prefix."""
    router = APIRouter(tags=["service"])

    @router.get("/config/file", response_model=ConfigFileReply)
    def show(who: Admin) -> Response:
        """The configuration file as it stands, which need not be in force."""
        del who
        path = view.editable_config()
        text = _read(path)
        _, errors = _checked(path, text)
        shown = {"file": str(path), "exists": path.exists(), "text": without_secrets(text), "version": _version(text)}
        return json_response(shown | {"errors": errors})

    @router.post("/config/file", response_model=ConfigFileChangeReply)
    def change(who: Admin, given: ConfigFileChange) -> Response:
        """Check another text for the configuration file, show the change, or put it in place.

        Nothing is written where anything is wrong with it. A change takes effect within a second, keeping what was
        learned; some settings wait for the next start, which are named.
        """
        path = view.editable_config()
        before = _read(path)
        if given.version != _version(before):
            raise ApiError(409, "changed_meanwhile", f"{path} was changed by somebody else meanwhile: load it again")
        if _HIDDEN in given.text:
            raise ApiError(400, "invalid_request", "body.text: a secret is hidden in it: take it out of the file")
        edit, errors = _checked(path, given.text)
        reply = {"file": str(path), "errors": errors, "warnings": [], "next_start": [], "difference": ""}
        if edit is None:
            return json_response(reply | {"written": False, "version": given.version})
        reply |= {"warnings": config_warnings(edit.config), "next_start": _next_start(edit)}
        reply["difference"] = without_secrets(edit.difference)
        if given.write and edit.difference:
            try:
                edit.write()
            except OSError as error:
                raise ApiError(409, "not_written", f"{path}: cannot be changed: {error}") from None
            lines = without_secrets(edit.difference).splitlines()
            audit(
                who.name,
                who.address,
                "configuration changed",
                f"{len(lines)} lines of change",
                before=_lines(lines, "-"),
                after=_lines(lines, "+"),
            )
        return json_response(reply | {"written": given.write, "version": _version(_read(path))})

    return router


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig") if path.exists() else NEW_FILE
    except (OSError, UnicodeDecodeError) as error:
        raise ApiError(409, "not_read", f"{path}: cannot be read: {error}") from None


def _lines(difference: list[str], sign: str) -> str:
    """The lines of one side of a difference, without its head."""
    return "\n".join(line[1:] for line in difference if line.startswith(sign) and not line.startswith(sign * 3))


def _checked(path: Path, text: str) -> tuple[Edit | None, list[str]]:
    try:
        return text_edit(path, text), []
    except ConfigError as error:
        return None, [without_secrets(each) for each in error.errors]


def _version(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _next_start(edit: Edit) -> list[str]:
    try:
        return changed_for_next_start(parse_config(edit.before, profiles=edit.path.parent / PROFILES), edit.config)
    except ConfigError:
        return []
