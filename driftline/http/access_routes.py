"""Signing in and out, and the accounts: `/me`, `/sign-in`, `/sign-out`, `/users`, `/tokens`, `/audit`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from common.durations import Duration, parse_duration
from driftline.access.accounts import AccountError, UnknownAccountError
from driftline.access.gate import COOKIE, Gate, SignInError
from driftline.access.identity import Identity, IdentityKind, Role
from driftline.http.access_guard import Admin, Viewer, identity_of
from driftline.http.errors import ApiError
from driftline.http.reply import json_response

Result = TypeVar("Result")


class MeReply(BaseModel):
    """Who asks. `name` and `role` are null before signing in; `csrf_token` goes into the header X-CSRF-Token."""

    sign_in: bool = Field(description="Whether this service asks people to sign in.")
    name: str | None
    role: Role | None
    kind: IdentityKind | None
    csrf_token: str | None


class SignInRequest(BaseModel):
    """Name and password."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=128)
    password: str = Field(max_length=1_000)


class NewUser(SignInRequest):
    """A user to add."""

    role: Role = Role.VIEWER


class UserChange(BaseModel):
    """What changes of a user."""

    model_config = ConfigDict(extra="forbid")
    role: Role | None = None
    password: str | None = Field(default=None, max_length=1_000)


class NewToken(BaseModel):
    """An API token to make."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=128)
    role: Role = Role.VIEWER
    lifetime: Duration | None = Field(default=None, description='How long it lasts, such as "90d"; for good if unset.')


class UserReply(BaseModel):
    """A person who may sign in."""

    name: str
    role: Role
    created: int


class UserListReply(BaseModel):
    """Everyone who may sign in."""

    users: list[UserReply]


class TokenReply(BaseModel):
    """An API token, without its text."""

    name: str
    role: Role
    created: int
    expires: int | None
    used: int | None


class TokenListReply(BaseModel):
    """Every API token."""

    tokens: list[TokenReply]


class NewTokenReply(BaseModel):
    """A token's text, which is shown this once."""

    name: str
    token: str


class AuditEntryReply(BaseModel):
    """One thing that was done, or tried."""

    time: int
    who: str
    address: str
    action: str
    detail: str
    before: str = Field(description="What was there before, where it changed something that can be shown so.")
    after: str = Field(description="What is there since.")


class AuditStateReply(BaseModel):
    """Whether the audit log is what was written."""

    entries: int = Field(description="Entries that fit, from the oldest on.")
    hash: str = Field(description="Of the newest that fits: note it elsewhere, and compare it later.")
    broken: str = Field(description="Where the log is not what was written; empty where it is.")


class AuditReply(BaseModel):
    """What was done, newest first."""

    entries: list[AuditEntryReply]


def access_router(gate: Gate) -> APIRouter:
    """The endpoints of signing in and of accounts, without a prefix."""
    router = APIRouter(tags=["access"])
    _add_sign_in(router, gate)
    _add_users(router, gate)
    _add_tokens(router, gate)

    @router.get("/audit", response_model=AuditReply)
    def audit(who: Admin, limit: Annotated[int, Query(ge=1, le=10_000, description="Most entries.")] = 200) -> Response:
        """What people and programs did, and failed sign-ins, newest first."""
        del who
        return json_response({"entries": [dataclasses.asdict(entry) for entry in gate.accounts.audit(limit)]})

    @router.get("/audit/verify", response_model=AuditStateReply)
    def verify(who: Admin) -> Response:
        """Walk along the audit log, in which each entry holds a hash of the one before it."""
        del who
        return json_response(gate.accounts.verify_audit())

    return router


def _add_sign_in(router: APIRouter, gate: Gate) -> None:
    @router.get("/me", response_model=MeReply)
    def me(request: Request) -> Response:
        """Who asks, and the CSRF token that goes with what they change."""
        return json_response(_me(gate, identity_of(request)))

    @router.post("/sign-in", response_model=MeReply)
    def sign_in(request: Request, given: SignInRequest) -> Response:
        """Begin a session, which a cookie stands for."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        peer = request.client.host if request.client else ""
        address = gate.address(headers, peer)
        try:
            session = gate.sign_in(given.name, given.password, address)
        except SignInError as error:
            if error.wait:
                reply = ApiError(429, "too_many_attempts", str(error))
                reply.headers["Retry-After"] = str(math.ceil(error.wait))
                raise reply from None
            raise ApiError(401, "sign_in_failed", str(error)) from None
        identity = gate.identify({}, {COOKIE: session}, peer)
        response = json_response(_me(gate, identity))
        secure = gate.is_encrypted(headers, peer, request.url.scheme)
        response.set_cookie(COOKIE, session, httponly=True, samesite="strict", secure=secure, path="/")
        return response

    @router.post("/sign-out", response_model=MeReply)
    def sign_out(who: Viewer, request: Request) -> Response:
        """End the session."""
        if who.kind is IdentityKind.SESSION:
            gate.accounts.end_session(request.cookies.get(COOKIE, ""))
            gate.accounts.log(who.name, who.address, "signed out")
        response = json_response(_me(gate, None))
        response.delete_cookie(COOKIE, path="/")
        return response


def _me(gate: Gate, identity: Identity | None) -> dict[str, Any]:
    return {
        "sign_in": gate.needs_sign_in,
        "name": identity.name if identity else None,
        "role": identity.role if identity else None,
        "kind": identity.kind if identity else None,
        "csrf_token": gate.csrf_token(identity) if identity and identity.needs_csrf_token else None,
    }


def _add_users(router: APIRouter, gate: Gate) -> None:
    accounts = gate.accounts

    def everyone() -> Response:
        return json_response({"users": [dataclasses.asdict(user) for user in accounts.users()]})

    @router.get("/users", response_model=UserListReply)
    def users(who: Admin) -> Response:
        """Everyone who may sign in."""
        del who
        return everyone()

    @router.post("/users", response_model=UserListReply)
    def add_user(who: Admin, given: NewUser) -> Response:
        """Add a user. The first one has to be an admin, since from then on everyone has to sign in."""
        if not accounts.has_users and given.role is not Role.ADMIN:
            raise ApiError(400, "invalid_request", "body.role: the first user has to be an admin")
        _try(lambda: accounts.add_user(given.name, given.role, given.password))
        accounts.log(who.name, who.address, "user added", f"{given.name} as {given.role}")
        return everyone()

    @router.patch("/users/{name}", response_model=UserListReply)
    def change_user(who: Admin, name: str, given: UserChange) -> Response:
        """Give a user another role, password, or both."""
        _try(lambda: accounts.change_user(name, role=given.role, password=given.password))
        if given.role is not None:
            accounts.log(who.name, who.address, "role changed", f"{name} is {given.role}")
        if given.password is not None:
            accounts.log(who.name, who.address, "password changed", name)
        return everyone()

    @router.delete("/users/{name}", response_model=UserListReply)
    def remove_user(who: Admin, name: str) -> Response:
        """Remove a user, and end their sessions."""
        _try(lambda: accounts.remove_user(name))
        accounts.log(who.name, who.address, "user removed", name)
        return everyone()


def _add_tokens(router: APIRouter, gate: Gate) -> None:
    accounts = gate.accounts

    def all_tokens() -> Response:
        return json_response({"tokens": [dataclasses.asdict(token) for token in accounts.tokens()]})

    @router.get("/tokens", response_model=TokenListReply)
    def tokens(who: Admin) -> Response:
        """Every API token, without its text."""
        del who
        return all_tokens()

    @router.post("/tokens", response_model=NewTokenReply)
    def add_token(who: Admin, given: NewToken) -> Response:
        """Make an API token; its text is in this reply and nowhere else."""
        lifetime = None if given.lifetime is None else parse_duration(given.lifetime)
        text = _try(lambda: accounts.add_token(given.name, given.role, lifetime))
        accounts.log(who.name, who.address, "token added", f"{given.name} as {given.role}")
        return json_response({"name": given.name, "token": text})

    @router.delete("/tokens/{name}", response_model=TokenListReply)
    def remove_token(who: Admin, name: str) -> Response:
        """Take an API token back."""
        _try(lambda: accounts.remove_token(name))
        accounts.log(who.name, who.address, "token removed", name)
        return all_tokens()


def _try(action: Callable[[], Result]) -> Result:
    try:
        return action()
    except UnknownAccountError as error:
        raise ApiError(404, "not_found", str(error)) from None
    except AccountError as error:
        raise ApiError(400, "invalid_request", str(error)) from None
