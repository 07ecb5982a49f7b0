"""How commands reach what a service has stored: through the running service, else by the database file itself."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.addresses import is_loopback_url
from driftline.cli.console import CommandError, Exit
from driftline.cli.tables import Rows

SERVICE_FILE = "service.json"
"""Written by a running service into its data folder: {"pid", "url", "broker"}."""

TOKEN_FILE = "service.token"
"""Beside it, for the folder's owner alone: what lets commands in where people have to sign in."""

TIMEOUT_SECONDS = 60.0

_PLACE = re.compile(r"(^|; )body(?:\.sql: |: |\.)")


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that runs on a data folder: its process, its API (empty where it serves none), and its broker."""

    pid: int
    url: str
    broker: str
    token: str = ""


def running_service(data: Path) -> RunningService | None:
    """The service that runs on the data folder; None where none does."""
    try:
        found = json.loads((data / SERVICE_FILE).read_bytes())
        url = str(found["url"]).rstrip("/")
        service = RunningService(int(found["pid"]), url, str(found["broker"]), _token(data))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return service if _is_alive(service.pid) else None


def _token(data: Path) -> str:
    try:
        return (data / TOKEN_FILE).read_text().strip()
    except OSError:
        return ""


def broker_url(data: Path) -> str:
    """Where devices publish to the service that runs on the data folder. Raises CommandError where none runs."""
    service = running_service(data)
    if service is None:
        raise CommandError(
            f'no service runs on "{data}": start `driftline up`, or name the broker with --url mqtt://HOST:PORT',
            code=Exit.UNREACHABLE,
        )
    return service.broker


def query(data: Path, sql: str, *, limit: int) -> Rows:
    """Rows of one read-only SQL query over the data folder's stored data, whether or not a service runs on it.

    Raises CommandError: UNREACHABLE where a service runs but does not answer, FAILED where the query fails.
    """
    service = running_service(data)
    return _query_service(service, sql, limit) if service else _query_file(data, sql, limit)


def get(service: RunningService, path: str, *, accept_red: bool = False) -> Any:
    """The JSON reply of a GET under the API's prefix; with `accept_red` also one that says that a stage has failed.

    Raises CommandError as `query` does.
    """
    return _request(service, "GET", path, accepted=503 if accept_red else None)


def all_devices(service: RunningService) -> list[dict[str, Any]]:
    """Every device as the API tells it, retired ones too, page by page. Raises CommandError as `query` does."""
    found: list[dict[str, Any]] = []
    while True:
        page = get(service, f"devices?retired=true&offset={len(found)}")
        found += page["devices"]
        if not page["devices"] or len(found) >= page["total"]:
            return found


def needed_service(data: Path) -> RunningService:
    """The service that runs on the data folder. Raises CommandError where none does."""
    service = running_service(data)
    if service is None:
        raise CommandError(f'no service runs on "{data}": start `driftline up` there first', code=Exit.UNREACHABLE)
    return service


def send(
    service: RunningService, method: str, path: str, content: object = None, *, seconds: float = TIMEOUT_SECONDS
) -> Any:
    """The JSON reply of a request that changes something, under the API's prefix. Raises CommandError."""
    arguments: dict[str, Any] = {} if content is None else {"json": content}
    return _request(service, method, path, seconds=seconds, **arguments)


def _query_service(service: RunningService, sql: str, limit: int) -> Rows:
    reply = _request(service, "POST", "query", json={"sql": sql, "limit": limit})
    return Rows(reply["columns"], reply["rows"], reply["truncated"])


def _request(
    service: RunningService,
    method: str,
    path: str,
    accepted: int | None = None,
    *,
    seconds: float = TIMEOUT_SECONDS,
    **arguments: Any,
) -> Any:
    import httpx  # noqa: PLC0415  only commands that ask a service pay for it

    if not service.url:
        raise CommandError(
            f"the service (process {service.pid}) serves no API: http.enabled = false in its configuration",
            code=Exit.UNREACHABLE,
        )
    url = f"{service.url}/api/v1/{path}"
    headers = {"Authorization": f"Bearer {service.token}"} if service.token else {}
    # A certificate is made for the name that others use, not for this machine's loopback address.
    verify = not is_loopback_url(url)
    try:
        reply = httpx.request(
            method, url, timeout=seconds, trust_env=False, headers=headers, verify=verify, **arguments
        )
    except httpx.HTTPError as error:
        raise CommandError(
            f"the service (process {service.pid}) does not answer at {service.url}: {error}", code=Exit.UNREACHABLE
        ) from None
    if reply.is_error and reply.status_code != accepted:
        raise CommandError(_message(reply.text, reply.status_code))
    return reply.json()


def _message(body: str, status: int) -> str:
    try:
        # The place in the request is the API's own word: who types a command sent no body.
        return _PLACE.sub(r"\1", str(json.loads(body)["error"]["message"]))
    except (ValueError, KeyError, TypeError):
        return f"the service answered {status}: {body[:200]}"


def _query_file(data: Path, sql: str, limit: int) -> Rows:
    from common.storage_errors import StorageCorruptError  # noqa: PLC0415
    from driftline.http.reply import to_json  # noqa: PLC0415
    from driftline.runtime.data_folder import DataFolder  # noqa: PLC0415
    from storage.embedded.database import EmbeddedStore  # noqa: PLC0415  brings the database
    from storage.embedded.sql_guard import QueryError  # noqa: PLC0415

    folder = DataFolder(data)
    if not folder.database.is_file():
        raise CommandError(
            f'no data in "{data}": start `driftline up` there first, or name another folder with --data',
            code=Exit.UNREACHABLE,
        )
    try:
        with EmbeddedStore(folder.database, read_only=True) as store:
            result = store.query(sql, limit)
    except (QueryError, StorageCorruptError, OSError) as error:
        raise CommandError(str(error)) from None
    return Rows(result.columns, json.loads(to_json(result.rows)), result.truncated)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
