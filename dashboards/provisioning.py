"""The files that set up a Grafana at its start, so that the dashboards are there at first login.

Format: https://grafana.com/docs/grafana/latest/administration/provisioning/. Secrets are not written: a file names the
place where Grafana finds them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from dashboards.alert_rules import RULES, rule_json
from dashboards.building import all_built
from dashboards.model import FOLDER_TITLE, FOLDER_UID
from dashboards.sources import Source

RECEIVER = "driftline"
_HEADER = "# Written by `driftline dashboards build`; changes here are lost when it runs again.\n"


class BuildSettings(BaseModel):
    """What dashboards and provisioning files are written for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database_url: str = Field(description="Where Grafana reaches the database.", pattern=r"^https?://.+")
    page_url: str = Field(default="http://127.0.0.1:8000/", description="Where a browser reaches Driftline's own page.")
    org: str = Field(default="driftline", description="InfluxDB's organisation.")
    bucket: str = Field(default="driftline", description="InfluxDB's bucket.")
    token_path: str = Field(
        default="", description="File, as Grafana sees it, that holds the token for InfluxDB; none where empty."
    )
    dashboards_path: str = Field(
        default="", description="Folder of the dashboards as Grafana sees it; where they are written, if empty."
    )
    webhook: str = Field(default="", description="Address that Grafana's alerts are posted to.")
    email: str = Field(
        default="", description="Address that Grafana's alerts are mailed to, where there is no webhook."
    )


def write_all(folder: Path, source: Source, settings: BuildSettings, *, units: Mapping[str, str]) -> list[Path]:
    """Write dashboards and provisioning files below `folder`; the same input gives the same bytes. Raises OSError."""
    dashboards = all_built(source, units=units, page_url=settings.page_url)
    shown_at = settings.dashboards_path or str((folder / "dashboards").resolve())
    files: dict[str, str] = {
        f"dashboards/{uid}.json": json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"
        for uid, dashboard in dashboards.items()
    }
    files["provisioning/datasources/driftline.yaml"] = _yaml(data_sources(source, settings))
    files["provisioning/dashboards/driftline.yaml"] = _yaml(provider(shown_at))
    files["provisioning/alerting/driftline-rules.yaml"] = _yaml(alert_rules(source))
    files["provisioning/alerting/driftline-contact.yaml"] = _yaml(contact_point(settings))
    written = []
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def data_sources(source: Source, settings: BuildSettings) -> dict[str, Any]:
    """The data source that the dashboards ask."""
    one = dict(source.settings(settings.database_url, org=settings.org, bucket=settings.bucket))
    if settings.token_path:
        one["secureJsonData"] = {"token": f"$__file{{{settings.token_path}}}"}
    return {"apiVersion": 1, "datasources": [{"orgId": 1, "editable": True, **one}]}


def provider(path: str) -> dict[str, Any]:
    """Where Grafana finds the dashboards; they may be changed there, and are then the user's."""
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": "driftline",
                "orgId": 1,
                "folder": FOLDER_TITLE,
                "folderUid": FOLDER_UID,
                "type": "file",
                "disableDeletion": False,
                "allowUiUpdates": True,
                "updateIntervalSeconds": 30,
                "options": {"path": path, "foldersFromFilesStructure": False},
            }
        ],
    }


def alert_rules(source: Source) -> dict[str, Any]:
    """All alert rules as one group."""
    rules = [rule_json(rule, source, receiver=RECEIVER) for rule in RULES]
    group = {"orgId": 1, "name": "driftline", "folder": FOLDER_TITLE, "interval": "30s", "rules": rules}
    return {"apiVersion": 1, "groups": [group]}


def contact_point(settings: BuildSettings) -> dict[str, Any]:
    """Whom Grafana's alerts go to: a webhook, else a mail address."""
    if settings.webhook:
        receiver = {"uid": "driftline-webhook", "type": "webhook", "settings": {"url": settings.webhook}}
    else:
        to = settings.email or "driftline@localhost"
        receiver = {"uid": "driftline-email", "type": "email", "settings": {"addresses": to, "singleEmail": True}}
    return {"apiVersion": 1, "contactPoints": [{"orgId": 1, "name": RECEIVER, "receivers": [receiver]}]}


def _yaml(content: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=120)
    return _HEADER + text
