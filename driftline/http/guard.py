"""What stands between browsers and the API: host names, origins and security headers.

A web page elsewhere must not be able to reach a server on loopback, or a session, through the user's browser.
DNS rebinding is stopped by the Host header, cross-site posting by the Origin header
(RFC 9110 section 7.2, RFC 6454 section 7).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.addresses import is_loopback
from driftline.http.errors import error_response
from driftline.http.http_settings import HttpSettings
from driftline.http.phone_routes import PHONE_PAGE

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
PHONE_POLICY = "camera=(), geolocation=(), microphone=(self), accelerometer=(self), gyroscope=(self)"
"""Of the page that a phone opens to be a sensor."""
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """ASGI middleware: refuses foreign host names and origins with 403, adds the security headers to every reply."""

    def __init__(self, app: ASGIApp, settings: HttpSettings) -> None:
        self._app = app
        self._allowed = frozenset(name.lower().rstrip(".") for name in settings.allowed_hosts)
        self._checks_host = settings.on_loopback or bool(self._allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                if scope["path"] == f"/{PHONE_PAGE}":
                    headers["Permissions-Policy"] = PHONE_POLICY
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        if refusal:
            await error_response(403, "forbidden", refusal)(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)

    def _refusal(self, method: str, headers: Headers) -> str | None:
        host = headers.get("host", "")
        if self._checks_host and not self._is_allowed(host):
            return (
                f'header Host: "{host}" is not a name of this server; expected localhost, a loopback address, '
                "or a name in http.allowed_hosts"
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return f'header Origin: "{origin}" is another site; expected http://{host}'
        foreign = headers.get("sec-fetch-site") in {"cross-site", "same-site"}
        # A link to the page may stand anywhere; what another site's page loads or posts by itself may not.
        if foreign and not (method in _SAFE_METHODS and headers.get("sec-fetch-mode") == "navigate"):
            return "header Sec-Fetch-Site: the request comes from another site's page"
        return None

    def _is_allowed(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        return name in self._allowed or is_loopback(name)
