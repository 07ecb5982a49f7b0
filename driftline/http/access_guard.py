"""Who may ask what of the API: all but the page's files and the sign-in needs an identity, where people sign in.

The default is refusal: a path that is not named here is for those who are known.
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from driftline.access.gate import CSRF_HEADER, Gate
from driftline.access.identity import Identity, IdentityKind, Role
from driftline.http.errors import ApiError, error_response

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_API = "/api/"
_FOR_EVERYONE = frozenset({"/api/v1/me", "/api/v1/sign-in", "/api/v1/health", "/api/v1/openapi.json"})
_METRICS = "/metrics"
_FOR_SENDERS = frozenset({"/api/v1/messages", "/api/v2/write"})
_EVERYONE = Identity("local", Role.ADMIN, IdentityKind.OPEN)


class AccessGuard:
    """ASGI middleware: finds out who asks (401 where it has to know and cannot), and checks CSRF tokens (403)."""

    def __init__(self, app: ASGIApp, gate: Gate, *, open_metrics: bool) -> None:
        self._app = app
        self._gate = gate
        self._open_metrics = open_metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = _first_headers(Headers(scope=scope))
        peer = (scope.get("client") or ("", 0))[0]
        identity = self._gate.identify(headers, _cookies(headers.get("cookie", "")), peer)
        scope.setdefault("state", {})["identity"] = identity
        refusal = None
        if identity is None and self._is_closed(scope["path"]):
            refusal = error_response(401, "sign_in", "sign in first: with the page, or an API token as a bearer token")
        elif identity is not None and identity.role is Role.SENDER and scope["path"] not in _FOR_SENDERS:
            refusal = error_response(403, "forbidden", f"{identity.name} may send readings, and nothing else")
        elif (
            identity is not None
            and scope["method"] not in _SAFE_METHODS
            and not self._gate.csrf_fits(identity, headers)
        ):
            refusal = error_response(403, "csrf", f"header {CSRF_HEADER}: missing or stale; GET /api/v1/me gives it")
        await (refusal or self._app)(scope, receive, send)

    def _is_closed(self, path: str) -> bool:
        if path == _METRICS or path.startswith(f"{_METRICS}/"):
            return not self._open_metrics
        return path.startswith(_API) and path not in _FOR_EVERYONE


def identity_of(request: Request) -> Identity | None:
    """Who asks; None where that is not known, as before signing in. Everyone where the application has no gate."""
    if not request.app.state.has_gate:
        return _EVERYONE
    found: Identity | None = request.state.identity
    return found


def needs(role: Role) -> object:
    """A dependency of routes that only those may use who have `role`, or one that includes it; gives the identity."""

    def check(request: Request) -> Identity:
        identity = identity_of(request)
        if identity is None:
            raise ApiError(401, "sign_in", "sign in first")
        if not identity.role.includes(role):
            raise ApiError(403, "forbidden", f'{identity.name} is {identity.role}; this needs the role "{role}"')
        return identity

    return Depends(check)


Viewer = Annotated[Identity, needs(Role.VIEWER)]
Operator = Annotated[Identity, needs(Role.OPERATOR)]
Admin = Annotated[Identity, needs(Role.ADMIN)]


def _first_headers(headers: Headers) -> dict[str, str]:
    """By lower-case name. Of a header that is there twice the first counts, and never both."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        found.setdefault(name.lower(), value)
    return found


def _cookies(header: str) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}
