"""One way to ask a server over HTTP, for databases, Grafana and what else runs beside the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MOST_SHOWN = 300


class HttpRefusedError(OSError):
    """The server answered with a status other than 2xx: `status` with its `reason`, and the reply's `body` as text.

    `shortened` is the body on one line, cut.
    """

    def __init__(self, url: str, status: int, reason: str, body: str) -> None:
        self.status = status
        self.reason = reason
        self.body = body.strip()
        self.shortened = " ".join(body.split())[:_MOST_SHOWN]
        super().__init__(f"{url}: {status} {reason}" + (f": {self.shortened}" if self.shortened else ""))


class HttpClient:
    """Asks one server. Connections are kept; redirects are not followed. Any thread may ask.

    `seconds` is how long connecting, and each pause within an answer, may take. `trust_environment`: go through the
    proxy that the environment names, where it names one.
    """

    def __init__(
        self,
        url: str,
        *,
        seconds: float,
        headers: Mapping[str, str] | None = None,
        trust_environment: bool = False,
    ) -> None:
        import httpx  # noqa: PLC0415  not every command that may ask a server does

        self.url = url.rstrip("/")
        self._away = (httpx.HTTPError, httpx.InvalidURL)
        self._client = httpx.Client(timeout=seconds, headers=headers, trust_env=trust_environment)

    def close(self) -> None:
        """Close the connections; closing twice does nothing."""
        self._client.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        json: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """The reply's body, to a request with a form, JSON or a body of its own.

        Raises HttpRefusedError where the server does not answer with success, OSError where it does not answer.
        """
        given: dict[str, Any] = {"params": query, "data": form, "json": json, "content": body, "headers": headers}
        try:
            reply = self._client.request(
                method, f"{self.url}{path}", **{name: each for name, each in given.items() if each is not None}
            )
        except self._away as error:
            raise OSError(f"{self.url}{path}: {error or type(error).__name__}") from error
        if not reply.is_success:
            raise HttpRefusedError(f"{self.url}{path}", reply.status_code, reply.reason_phrase, reply.text)
        return reply.content
