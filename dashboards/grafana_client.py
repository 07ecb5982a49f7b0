"""One Grafana over HTTP, by the grafana-api package; no other module knows that package.

API: https://grafana.com/docs/grafana/latest/developers/http_api/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from grafana_api.grafana_api import GrafanaClientError, GrafanaException
from grafana_api.grafana_face import GrafanaFace

Json = dict[str, Any]


class GrafanaError(Exception):
    """Grafana refused, or is not there; the message gives its words."""


class ConflictError(GrafanaError):
    """The dashboard was saved by somebody else since it was read, or its name is taken (412)."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A dashboard as Grafana has it. `message` is what was said when this version was saved."""

    dashboard: Json
    version: int
    message: str
    folder_uid: str
    provisioned: bool


class Grafana:
    """A Grafana at `url`, asked with a token of a service account that may edit dashboards and data sources."""

    def __init__(self, url: str, token: str, *, timeout: float = 10.0) -> None:
        split = urlsplit(url)
        if split.scheme not in {"http", "https"} or not split.hostname:
            raise ValueError(f'"{url}" is not an address of a Grafana: expected one such as http://localhost:3000')
        prefix = split.path.strip("/")
        host = f"[{split.hostname}]" if ":" in split.hostname else split.hostname
        self.url = url.rstrip("/")
        self._face = GrafanaFace(
            token,
            host=host,
            port=split.port,
            url_path_prefix=f"{prefix}/" if prefix else "",
            protocol=split.scheme,
            timeout=timeout,
        )

    def version(self) -> str:
        """Grafana's version. Raises GrafanaError."""
        health: Json = self._asked(lambda: self._face.api.GET("/health"))
        return str(health.get("version", "unknown"))

    def ensure_folder(self, uid: str, title: str) -> bool:
        """Make the folder where it is missing; says whether it was. Raises GrafanaError."""
        if self._found(lambda: self._face.folder.get_folder(uid)) is not None:
            return False
        self._asked(lambda: self._face.folder.create_folder(title, uid))
        return True

    def data_source(self, uid: str) -> Json | None:
        """The data source, or None. Raises GrafanaError."""
        found: Json | None = self._found(lambda: self._face.datasource.get_datasource_by_id(f"uid/{uid}"))
        return found

    def create_data_source(self, settings: Mapping[str, Any]) -> None:
        """Add a data source. Raises GrafanaError."""
        self._asked(lambda: self._face.datasource.create_datasource(dict(settings)))

    def update_data_source(self, uid: str, settings: Mapping[str, Any]) -> None:
        """Replace a data source's settings. Raises GrafanaError."""
        self._asked(lambda: self._face.datasource.update_datasource(f"uid/{uid}", dict(settings)))

    def dashboard(self, uid: str) -> Stored | None:
        """The dashboard with the message of its newest version, or None. Raises GrafanaError."""
        found = self._found(lambda: self._face.dashboard.get_dashboard(uid))
        if found is None:
            return None
        meta = found.get("meta", {})
        version = int(found["dashboard"].get("version", 0))
        return Stored(
            found["dashboard"],
            version,
            self._message(uid, version),
            str(meta.get("folderUid", "")),
            bool(meta.get("provisioned", False)),
        )

    def save_dashboard(
        self, dashboard: Json, *, folder_uid: str, message: str, version: int | None, overwrite: bool
    ) -> int:
        """Save a dashboard and return its new version. `version` is the one that it replaces, None where it is new.

        Raises ConflictError where Grafana holds another version than that, GrafanaError.
        """
        content = {**dashboard, "id": None}
        if version is not None:
            content["version"] = version
        body = {"dashboard": content, "folderUid": folder_uid, "message": message, "overwrite": overwrite}
        saved: Json = self._asked(lambda: self._face.dashboard.update_dashboard(body))
        return int(saved["version"])

    def _message(self, uid: str, version: int) -> str:
        listed = self._found(lambda: self._face.api.GET(f"/dashboards/uid/{uid}/versions?limit=1"))
        versions = listed.get("versions", []) if isinstance(listed, dict) else listed or []
        return next((str(one.get("message", "")) for one in versions if int(one["version"]) == version), "")

    def _found(self, ask: Any) -> Any:
        try:
            return self._asked(ask)
        except GrafanaError as error:
            cause = error.__cause__
            if isinstance(cause, GrafanaClientError) and cause.status_code == 404:
                return None
            raise

    def _asked(self, ask: Any) -> Any:
        try:
            return ask()
        except GrafanaException as error:
            kind = ConflictError if error.status_code == 412 else GrafanaError
            raise kind(f"{self.url}: {error.message}") from error
        except (requests.RequestException, ValueError) as error:
            raise GrafanaError(f"{self.url}: {error}") from error
