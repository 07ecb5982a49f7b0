"""Errors of the API: one JSON shape for all of them, `{"error": {"code", "message"}}`."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from common.suggestions import did_you_mean
from driftline.http.reply import json_response
from storage.embedded.sql_guard import QueryError

_log = logging.getLogger(__name__)
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}


class ApiError(Exception):
    """A refusal: HTTP `status`, a `code` for programs, a `message` naming place, value and expectation."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers: dict[str, str] = {}


def error_response(status: int, code: str, message: str) -> Response:
    """The one shape of errors."""
    return json_response({"error": {"code": code, "message": message}}, status=status)


def unknown(place: str, value: str, known: Iterable[str]) -> ApiError:
    """404 for a name that does not exist, with the nearest that does."""
    names = list(known)
    hint = did_you_mean(value, names) or f"; {len(names)} known"
    return ApiError(404, "not_found", f'{place}: unknown "{value}"{hint}')


def unknown_parameter(name: str, known: Iterable[str]) -> ApiError:
    """400 for a query parameter that does not exist, with the nearest that does."""
    names = sorted(known)
    return ApiError(
        400,
        "invalid_request",
        f'query: unknown parameter "{name}"{did_you_mean(name, names)} (known: {", ".join(names) or "none"})',
    )


def install_error_handlers(app: FastAPI) -> None:
    """Give every error of `app` the one shape."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(QueryError, _query_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


async def _api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    response = error_response(error.status, error.code, error.message)
    response.headers.update(error.headers)
    return response


async def _query_error(_: Request, error: Exception) -> Response:
    return error_response(400, "query_failed", f"body.sql: {error}")


async def _invalid_request(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    sentences = []
    for each in error.errors():
        place = ".".join(str(part) for part in each["loc"])
        given = repr(each["input"])
        if len(given) > 80:
            given = given[:77] + "..."
        sentences.append(f"{place}: {each['msg'].removeprefix('Value error, ')}, got {given}")
    return error_response(400, "invalid_request", "; ".join(sentences))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "http_error")
    message = f"{request.method} {request.url.path}: {error.detail}"
    return error_response(error.status_code, code, message)


async def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return error_response(500, "internal_error", f"{request.method} {request.url.path}: failed; see the log")
